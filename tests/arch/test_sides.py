"""Inputs that are not square: counted, built, scaled, exported and predicted on as high and wide as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers import invoke, liven, refused
from PIL import Image
from safetensors.torch import save_file

import scalesearch as ss
from scalesearch.budget import certify
from scalesearch.counting import fvcore_counts
from scalesearch.data.images import resize_and_crop
from scalesearch.exporting import to_python, write
from scalesearch.scaling import PRESETS
from scalesearch.space import arch_from_dict, space_from_dict

SMALL = {
    "name": "s",
    "resolution": [48, 80],
    "classes": 4,
    "stem": [{"conv": {"width": 8, "stride": 2}}],
    "stages": [{"stride": 2, "depth": 2, "mbconv": {"width": 16}}],
    "head": {"classifier": {}},
}


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "convnext_tiny",
        "yolov8n",
        "shufflenet_v2_x0_5",
        "densenet121",
    ],
)
def test_counts_are_fvcores_at_height_and_width(name):
    arch = ss.load(name, resolution=(96, 160))
    counted, measured = ss.cost(arch), fvcore_counts(ss.build(arch), (3, 96, 160))
    assert (counted.macs, counted.acts) == (measured["macs"], measured["acts"])
    assert counted.params == ss.cost(ss.load(name)).params
    assert ss.cost(ss.load(name, resolution=(96, 96))) == ss.cost(ss.load(name, resolution=96))


def test_a_square_has_one_side_however_it_is_written():
    square = arch_from_dict({**SMALL, "resolution": [64, 64]})
    assert square.resolution == 64
    assert square.digest == arch_from_dict({**SMALL, "resolution": 64}).digest
    wide = arch_from_dict(SMALL)
    assert wide.sides == (48, 80)
    assert arch_from_dict(json.loads(json.dumps(wide.to_dict()))) == wide


@pytest.mark.parametrize("message", [[48], [48, 80, 3], [0, 80], ["a", 80], [], [48, 9000], "48 by 80"])
def test_what_is_no_height_and_width_is_refused(message):
    with pytest.raises(ss.errors.InputError, match="resolution"):
        arch_from_dict({**SMALL, "resolution": message})


def test_commands_take_both_sides(tmp_path):
    (row,) = json.loads(invoke("cost", "resnet18", "--resolution", "384x640", "--json").stdout)
    assert row["resolution"] == [384, 640]
    assert row["macs"] == ss.cost(ss.load("resnet18", resolution=(384, 640))).macs
    (tmp_path / "a.yaml").write_text(json.dumps(SMALL))
    (own,) = json.loads(invoke("cost", str(tmp_path / "a.yaml"), "--json", "--fvcore").stdout)
    assert own["macs"] == own["fvcore_macs"]
    assert own["resolution"] == [48, 80]
    assert "at 384×640" in invoke("show", "resnet18", "--resolution", "384X640").stderr
    for wrong in ("384x", "0x3", "axb", "1x2x3", "9000", "-1", "3.5"):
        assert "takes a side from 1 to 8192, or HEIGHTxWIDTH" in refused("cost", "resnet18", "--resolution", wrong)


def test_gamma_scales_both_sides():
    base = ss.load("mobilenet_v2", resolution=(160, 320))
    grown = ss.scale(base, resolution=1.5)
    assert grown.sides == (240, 480)
    scaled = ss.scale_to(base, round(ss.cost(base).macs * 2), PRESETS["resolution"])
    height, width = scaled.arch.sides
    assert height > 160
    assert abs(width / height - 2) < 0.06
    assert abs(scaled.deviation) <= 0.03


def test_spaces_leave_sides_open_and_are_climbed_and_listed_so():
    message = {**SMALL, "resolution": {"choice": [32, [32, 64], [64, 32]]}}
    space = space_from_dict(message)
    found = certify(space, {})
    assert found.networks == 3
    assert {arch.sides for _, arch in map(space.sample, range(30))} == {(32, 32), (32, 64), (64, 32)}
    wide = {
        **SMALL,
        "stages": [
            {
                "depth": {"range": [1, 4]},
                "stride": 2,
                "mbconv": {
                    "width": {"range": [8, 512], "step": 8},
                    "expand": {"choice": [1, 2, 3, 4, 6]},
                    "kernel": {"choice": [3, 5]},
                },
            },
            {"depth": {"range": [1, 4]}, "mbconv": {"width": {"range": [8, 512], "step": 8}}},
        ],
    }
    climbed = certify(space_from_dict(wide), {"macs": "<= 20M"})
    assert climbed.climbed
    assert not climbed.exact
    assert climbed.smallest == min(
        ss.cost(arch).macs
        for arch in (
            arch_from_dict(
                {
                    **SMALL,
                    "stages": [
                        {"stride": 2, "mbconv": {"width": w, "expand": 1, "kernel": 3}},
                        {"mbconv": {"width": v}},
                    ],
                }
            )
            for w in (8, 16)
            for v in (8, 16)
        )
    )


def test_exports_say_and_take_both_sides(tmp_path):
    torch.manual_seed(0)
    network = liven(ss.build(arch_from_dict(SMALL))).eval()
    x = torch.randn(2, 3, 48, 80)
    namespace: dict = {}
    source = to_python(network.arch)
    exec(source, namespace)
    alone = namespace["build"]()
    alone.load_state_dict(network.state_dict())
    assert "48×80" in source
    assert "(batch, 3, 48, 80)" in source
    write(network, "pt2", tmp_path / "n.pt2")
    with torch.no_grad():
        expected = network(x)
        assert torch.allclose(alone.eval()(x), expected, atol=1e-6)
        assert torch.allclose(torch.export.load(tmp_path / "n.pt2").module()(x), expected, atol=1e-5)


def test_photos_are_brought_to_both_sides(tmp_path):
    """What covers both is resized, its middle cut out: nothing is squeezed."""
    shades = np.random.default_rng(0).integers(0, 255, (100, 300, 3), dtype=np.uint8)
    photo = Image.fromarray(shades)
    assert np.array_equal(
        np.asarray(resize_and_crop(photo, (50, 60), (50, 60))),
        np.asarray(photo.resize((150, 50), Image.Resampling.BILINEAR).crop((45, 0, 105, 50))),
    )
    photo.save(tmp_path / "a.png")
    torch.manual_seed(0)
    network = liven(ss.build(arch_from_dict(SMALL)))
    save_file(dict(network.state_dict()), tmp_path / "w.safetensors")
    (tmp_path / "a.yaml").write_text(json.dumps(SMALL))
    (found,) = json.loads(
        invoke(
            "predict",
            str(tmp_path / "a.yaml"),
            str(tmp_path / "a.png"),
            "--weights",
            str(tmp_path / "w.safetensors"),
            "--json",
        ).stdout
    )
    small = np.asarray(resize_and_crop(photo, (48, 80), (48, 80)))
    x = (torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        likely = network.eval()(x).softmax(1).max(1)
    assert found["top"][0]["class"] == likely.indices.item()
    assert found["top"][0]["probability"] == pytest.approx(likely.values.item(), rel=1e-4)
