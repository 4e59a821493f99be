"""Images to classes: prepared as torchvision prepares them, named, and bad images refused or skipped."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers import invoke, liven, refused
from PIL import Image
from safetensors.torch import save_file

import scalesearch as ss
from scalesearch.data.images import resize_and_crop
from scalesearch.errors import InputError
from scalesearch.weights.metadata import preparation_of, timm_config
from scalesearch.weights.predicting import photo_as_input
from scalesearch.zoo.preprocessing import class_names, preprocessing_for
from scalesearch.zoo.published_figures import Preprocessing


def image(path, size=(90, 70), seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.mark.parametrize("size", [(90, 70), (61, 200), (64, 64), (31, 33)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_images_are_prepared_as_torchvision_prepares_them(size, interpolation, tmp_path, torchvision_models):
    from torchvision.transforms import InterpolationMode, _presets

    path = image(tmp_path / "a.png", size)
    preset = _presets.ImageClassification(crop_size=48, resize_size=56, interpolation=InterpolationMode(interpolation))
    ours = photo_as_input(path, Preprocessing(48, 56, interpolation), 3)
    assert torch.allclose(ours, preset(Image.open(path)), atol=1e-5)


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("size", [(90, 70), (61, 200), (31, 33)])
def test_images_are_prepared_as_timms_config_says(mode, size, tmp_path, torchvision_models):
    from timm.data import create_transform

    message = {
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.5, 0.5],
        "crop_pct": 0.75,
        "crop_mode": mode,
        "interpolation": "bicubic",
    }
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": message}))
    prepare = preprocessing_for(ss.load("resnet18", resolution=48), "timm", timm_config(tmp_path / "model.safetensors"))
    theirs = create_transform(
        48, mean=message["mean"], std=message["std"], crop_pct=0.75, crop_mode=mode, interpolation="bicubic"
    )
    path = image(tmp_path / "a.png", size)
    assert torch.allclose(photo_as_input(path, prepare, 3), theirs(Image.open(path).convert("RGB")), atol=1e-5)
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": message | {"crop_mode": "border"}}))
    with pytest.raises(InputError, match="crop_mode: takes"):
        preprocessing_for(ss.load("resnet18"), "timm", timm_config(tmp_path / "model.safetensors"))


def test_preparation_is_that_of_the_weights(tmp_path):
    b0 = ss.load("efficientnet_b0")
    assert preprocessing_for(b0, "torchvision")[:3] == (224, 256, "bicubic")
    assert preprocessing_for(b0.with_(resolution=112), "torchvision")[:3] == (112, 128, "bicubic")
    assert preprocessing_for(ss.load("inception_v3"), "torchvision")[2:5] == ("bilinear", (0.5,) * 3, (0.5,) * 3)
    assert preprocessing_for(ss.load("mobilenet_v4_conv_large"), "timm")[:2] == (384, 404)
    assert preprocessing_for(ss.load("yolov8n_cls"), "ultralytics").mean == (0.0, 0.0, 0.0)
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "crop_pct": 0.5, "interpolation": "bicubic"}}
        )
    )
    assert preprocessing_for(b0, "timm", timm_config(tmp_path / "model.safetensors"))[:5] == (
        224,
        448,
        "bicubic",
        (0.1, 0.2, 0.3),
        (1.0, 1.0, 1.0),
    )
    for other in ('{"lr": 0.1}', "[]", "no json", '{"architectures": ["ResNet"]}'):
        (tmp_path / "config.json").write_text(other)
        assert timm_config(tmp_path / "model.safetensors") is None
    assert class_names(b0)[:2] == ("tench", "goldfish")
    assert len(class_names(b0)) == 1000


@pytest.mark.parametrize(
    "message",
    [
        "[1]",
        "5",
        "{",
        '{"mean": [0.5]}',
        *(
            json.dumps({"crop": 64, "resize": 64, "mean": [0, 0, 0], "std": [1, 1, 1], **odd})
            for odd in (
                {"stored": [1, 2, 3]},
                {"crop": [64]},
                {"stored": [5, 0]},
                {"crop": -3},
                {"resize": "all"},
                {"std": [0, 1, 1]},
                {"unknown": 1},
                {"crop": 0},
                {"mean": "x"},
            )
        ),
    ],
)
def test_words_of_a_file_about_its_images_that_make_no_sense_are_refused(message, tmp_path):
    save_file(
        ss.build(ss.load("squeezenet1_1", resolution=64)).state_dict(),
        tmp_path / "w.safetensors",
        {"preparation": message},
    )
    with pytest.raises(InputError, match=r"w\.safetensors: has a description of its images that cannot be read"):
        preparation_of(ss.load("squeezenet1_1", resolution=64), "scalesearch", tmp_path / "w.safetensors")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = liven(ss.build(ss.load("squeezenet1_1", resolution=64)))
    path = tmp_path / "w.safetensors"
    save_file(model.state_dict(), path)
    return model.eval(), path


def test_predict_gives_the_networks_own_probabilities(weights, tmp_path):
    model, path = weights
    picture = image(tmp_path / "a.png")
    arguments = ("predict", "squeezenet1_1", str(picture), "--weights", str(path), "--resolution", "64")
    (row,) = json.loads(invoke(*arguments, "--json").stdout)
    x = photo_as_input(picture, preprocessing_for(model.arch, "scalesearch"), 3)
    with torch.no_grad():
        expected = model(x[None]).softmax(1).topk(5)
    assert [best["class"] for best in row["top"]] == expected.indices[0].tolist()
    assert [best["probability"] for best in row["top"]] == pytest.approx(expected.values[0].tolist(), rel=1e-4)
    assert row["top"][0]["name"] == class_names(model.arch)[row["top"][0]["class"]]
    table = invoke(*arguments, "--top", "2").stdout
    assert class_names(model.arch)[row["top"][0]["class"]] in table
    assert "%" in table
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing{i}" for i in range(1000)), encoding="utf-8-sig")  # as editors on Windows do
    assert f"thing{row['top'][0]['class']}" in invoke(*arguments, "--names", str(names)).stdout
    other = json.loads(invoke(*arguments, "--json", "--mean", "0,0,0", "--std", "1,1,1", "--resize", "80").stdout)
    assert other != [row]


def test_a_folder_is_walked_and_what_is_no_image_is_skipped_and_counted(weights, tmp_path):
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    for i in range(20):
        image(folder / f"{i:02}.png", seed=i)
    image(folder / "deeper" / "last.jpg")
    (folder / "05b.png").write_bytes(b"not an image")
    (folder / "06b.jpg").write_bytes(image(tmp_path / "cut.jpg", (200, 200)).read_bytes()[:300])
    (folder / "notes.txt").write_text("no image either")
    done = invoke("predict", "squeezenet1_1", str(folder), "--weights", str(weights[1]), "--resolution", "64", "--json")
    rows = json.loads(done.stdout)
    assert len(rows) == 21
    assert [r["image"] for r in rows] == sorted(r["image"] for r in rows)
    assert done.stderr.count("skipped") == 2
    assert "05b.png: is no image" in done.stderr
    assert (
        "21 images, 2 skipped"
        in invoke("predict", "squeezenet1_1", str(folder), "--weights", str(weights[1]), "--resolution", "64").stderr
    )


def test_sixteen_bit_grey_is_not_cut_off(tmp_path):
    levels = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    x = photo_as_input(tmp_path / "deep.png", Preprocessing(64, 64, "bilinear", (0.0,) * 3, (1.0,) * 3), 3)
    assert x.mean().item() == pytest.approx(0.5, abs=0.01)
    assert x.max() > 0.99


def test_names_with_brackets_are_printed_as_they_are(weights, tmp_path):
    picture = image(tmp_path / "a[red]b[b].png")
    done = invoke("predict", "squeezenet1_1", str(picture), "--weights", str(weights[1]), "--resolution", "64")
    assert "a[red]b[b].png" in done.stdout


def test_mistakes_are_one_line(weights, tmp_path):
    path, good = str(weights[1]), str(image(tmp_path / "a.png"))
    bad = tmp_path / "bad.png"
    bad.write_text("x")
    base = ("predict", "squeezenet1_1")
    assert "bad.png: is no image that can be read" in refused(
        *base, good, str(bad), "--weights", path, "--resolution", "64"
    )
    assert "nowhere: is no file and no folder" in refused(*base, "nowhere", "--weights", path)
    assert "none.pth: is no file" in refused(*base, good, "--weights", "none.pth")
    assert "yolov8n is no classifier; detect finds boxes" in refused("predict", "yolov8n", good, "--weights", path)
    assert "has 1,000 classes, head.conv.weight has 5" in refused(*base, good, "--weights", path, "--classes", "5")
    assert "--mean: takes 3 finite numbers with commas" in refused(*base, good, "--weights", path, "--mean", "1,2")
    message = refused(*base, good, "--weights", path, "--std", "1,0,1")
    assert "--std: takes 3 finite numbers above 0 with commas between" in message
    for values in ("nan,0,0", "0,inf,0"):
        assert "--mean: takes 3 finite numbers" in refused(*base, good, "--weights", path, "--mean", values)
    assert "--resize: takes at least 64, the side of the crop, got 40" in refused(
        *base, good, "--weights", path, "--resolution", "64", "--resize", "40"
    )
    assert "device tpu: cannot be used" in refused(*base, good, "--weights", path, "--device", "tpu")
    (tmp_path / "empty").mkdir()
    assert "has no images in it" in refused(*base, str(tmp_path / "empty"), "--weights", path)
    (tmp_path / "names.txt").write_text("one\ntwo")
    assert "has 2 lines, and the network 1,000 classes" in refused(
        *base, good, "--weights", path, "--names", str(tmp_path / "names.txt")
    )


@pytest.mark.parametrize(("size", "crop"), [((1, 60_000), 32), ((60_000, 1), 32), ((3, 9_000), 224), ((700, 40), 64)])
def test_a_thin_image_takes_no_more_memory_than_its_middle(size, crop, tmp_path):
    """And its middle is what resizing the whole would have given."""
    import tracemalloc

    Image.new("RGB", size, (10, 200, 90)).save(tmp_path / "thin.png")
    tracemalloc.start()
    x = photo_as_input(tmp_path / "thin.png", Preprocessing(crop, crop + 8, "bilinear", (0.0,) * 3, (1.0,) * 3), 3)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    assert x.shape == (3, crop, crop)
    assert torch.allclose(x[:, 0, 0] * 255, torch.tensor([10.0, 200.0, 90.0]), atol=1e-3)


def test_the_middle_of_a_thin_image_is_that_of_the_whole_resized():
    shades = np.random.default_rng(0).integers(0, 255, (40, 900), dtype=np.uint8)
    thin = Image.fromarray(shades)
    whole = thin.resize((1440, 64), Image.Resampling.BILINEAR).crop((688, 0, 752, 64))
    assert np.abs(np.asarray(resize_and_crop(thin, 64, 64)).astype(int) - np.asarray(whole).astype(int)).max() <= 1


def test_an_image_that_memory_does_not_do_for_is_skipped_as_others_are(weights, tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        image(folder / name)
    real = Image.Image.resize
    asked = []

    def resize(self, *arguments, **others):
        asked.append(1)
        if len(asked) == 1:
            raise MemoryError
        return real(self, *arguments, **others)

    monkeypatch.setattr(Image.Image, "resize", resize)
    done = invoke("predict", "squeezenet1_1", str(folder), "--weights", str(weights[1]), "--resolution", "64")
    assert "a.png: is no image that can be read; skipped" in done.stderr
    assert "1 image, 1 skipped" in done.stderr


def test_outputs_that_are_no_numbers_are_said_and_never_printed(tmp_path):
    torch.manual_seed(0)
    model = liven(ss.build(ss.load("squeezenet1_1", resolution=64)))
    huge = {key: value.clone() for key, value in model.state_dict().items()}
    huge["stem.0.conv.weight"].fill_(3e38)
    save_file(huge, tmp_path / "huge.safetensors")
    picture = image(tmp_path / "a.png")
    done = invoke(
        "predict",
        "squeezenet1_1",
        str(picture),
        "--weights",
        str(tmp_path / "huge.safetensors"),
        "--json",
        "--resolution",
        "64",
    )
    assert done.exit_code == 1
    assert "a.png: the network's outputs are no finite numbers" in done.stderr
    assert "NaN" not in done.stdout


@pytest.mark.parametrize("theirs", [None, 1_000, 10**9])
def test_images_of_too_many_pixels_are_refused_by_our_own_limit(tmp_path, monkeypatch, theirs):
    """Before any is decoded, and whatever limit Pillow has."""
    import struct
    import zlib

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", theirs)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(png)
    with pytest.raises(InputError, match="it has 100000 × 100000 pixels; at most 150,000,000"):
        photo_as_input(tmp_path / "bomb.png", Preprocessing(8, 8), 3)
    assert theirs == Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (64, 64)).save(tmp_path / "fine.png")
    assert photo_as_input(tmp_path / "fine.png", Preprocessing(8, 8), 3).shape == (3, 8, 8)
