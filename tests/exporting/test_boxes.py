"""Detectors with decoding and suppression inside: the same boxes from onnxruntime alone, for any number of images."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import invoke, liven, refused
from safetensors.torch import save_file

import scalesearch as ss
from scalesearch.network.decoding import decoder
from scalesearch.network.suppressing import detector as detector_of, non_max_suppression
from scalesearch.space import arch_from_dict, arch_to_yaml

ALONE = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
said = session.get_modelmeta().custom_metadata_map
boxes, scores, classes = session.run(None, {"image": np.load(sys.argv[2])})
names = json.loads(said["classes"])
print(json.dumps([[[names[c], float(s), *map(float, b)] for b, s, c in zip(*image) if s > 0]
                  for image in zip(boxes, scores, classes)]))
"""


def detector(head):
    arch = arch_from_dict(
        {
            "name": "d",
            "resolution": [64, 96],
            "classes": 3,
            "stem": [{"conv": {"width": 8, "stride": 4}}],
            "stages": [{"stride": 2, "conv": {"width": 16}}, {"stride": 2, "conv": {"width": 16}}],
            "taps": [0, 1],
            "head": head,
        }
    )
    torch.manual_seed(2)
    return liven(ss.build(arch)).eval()


HEADS = {
    "yolov8": {"yolov8": {"bins": 4}},
    "yolo": {"yolo": {"anchors": [[8, 12], [20, 14], [40, 60]], "masks": [[0, 1], [2]]}},
    "new_coords": {
        "yolo": {
            "anchors": [[8, 12], [20, 14], [40, 60]],
            "masks": [[0, 1], [2]],
            "act": "sigmoid",
            "new_coords": True,
            "scale_xy": [2.0, 2.0],
        }
    },
}


def alike(found, boxes, scores, classes):
    for own, b, s, c in zip(found, boxes, scores, classes, strict=True):
        count = len(own.scores)
        assert torch.equal(s[:count], own.scores)
        assert (s[count:] == 0).all()
        assert torch.allclose(b[:count], own.boxes)
        assert torch.equal(c[:count], own.classes)


@pytest.mark.parametrize("head", HEADS)
def test_inside_or_after_it_is_the_same(head):
    network = detector(HEADS[head])
    x = torch.rand(5, 3, 64, 96)
    with torch.no_grad():
        boxes, scores = decoder(network.arch)(network(x))
        least = float(scores.amax(-1).quantile(0.4))
        for iou in (0.2, 0.6):
            found = non_max_suppression(boxes, scores, least, iou, 20)
            assert 3 < max(len(own.scores) for own in found) <= 20
            alike(found, *detector_of(network, least, iou, 20)(x))


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_onnxruntime_alone_finds_the_same_boxes(head, tmp_path):
    network = detector(HEADS[head])
    (tmp_path / "d.yaml").write_text(arch_to_yaml(network.arch))
    message = {
        "preparation": json.dumps({"crop": [64, 96], "resize": [64, 96], "mean": [0, 0, 0], "std": [1, 1, 1]}),
        "classes": json.dumps(["cat", "dog", "eel"]),
    }
    save_file(network.state_dict(), tmp_path / "w.safetensors", message)
    x = np.random.default_rng(0).random((3, 3, 64, 96), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    with torch.no_grad():
        boxes, scores = decoder(network.arch)(network(torch.from_numpy(x)))
    least = round(float(scores.amax(-1).quantile(0.4)), 3)
    invoke(
        "export",
        str(tmp_path / "d.yaml"),
        "--weights",
        str(tmp_path / "w.safetensors"),
        "--to",
        "onnx",
        "--boxes",
        "--confidence",
        str(least),
        "--iou",
        "0.4",
        "--most",
        "15",
        "-o",
        str(tmp_path / "d.onnx"),
    )
    (tmp_path / "alone.py").write_text(ALONE)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "alone.py"), str(tmp_path / "d.onnx"), str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        check=True,
    )
    for own, rows in zip(non_max_suppression(boxes, scores, least, 0.4, 15), json.loads(done.stdout), strict=True):
        assert len(rows) == len(own.scores) > 1
        assert [row[0] for row in rows] == [["cat", "dog", "eel"][c] for c in own.classes.tolist()]
        assert np.allclose([row[1] for row in rows], own.scores, atol=1e-4)
        assert np.allclose([row[2:] for row in rows], own.boxes, atol=1e-2)


def test_pt2_has_them_inside_too(tmp_path):
    network = detector(HEADS["yolov8"])
    (tmp_path / "d.yaml").write_text(arch_to_yaml(network.arch))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    invoke(
        "export",
        str(tmp_path / "d.yaml"),
        "--weights",
        str(tmp_path / "w.safetensors"),
        "--to",
        "pt2",
        "--boxes",
        "-o",
        str(tmp_path / "d.pt2"),
    )
    files = {"arch": ""}
    again = torch.export.load(tmp_path / "d.pt2", extra_files=files).module()
    x = torch.rand(3, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(detector_of(network)(x), again(x)):
            assert torch.allclose(ours.float(), theirs.float(), atol=1e-4)
    assert json.loads(files["arch"])["name"] == "d"


PLAIN = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import d
network = d.build()
network.load_state_dict(torch.load(sys.argv[2], weights_only=True))
boxes, scores, classes = d.detector(network.eval())(torch.load(sys.argv[3], weights_only=True))
torch.save([boxes, scores, classes], sys.argv[3])
assert not {name.split(".")[0] for name in sys.modules} & {"scalesearch", "timm", "ultralytics"}
print(d.CLASSES, d.PREPARATION["mean"])
"""


@pytest.mark.parametrize("head", HEADS)
def test_a_python_file_has_them_inside_and_needs_torch_alone(head, tmp_path):
    network = detector(HEADS[head])
    (tmp_path / "d.yaml").write_text(arch_to_yaml(network.arch))
    message = {
        "preparation": json.dumps({"crop": [64, 96], "resize": [64, 96], "mean": [0, 0, 0], "std": [1, 1, 1]}),
        "classes": json.dumps(["cat", 'a "dog"', "eel"]),
    }
    save_file(network.state_dict(), tmp_path / "w.safetensors", message)
    invoke(
        "export",
        str(tmp_path / "d.yaml"),
        "--weights",
        str(tmp_path / "w.safetensors"),
        "--to",
        "py",
        "--boxes",
        "--confidence",
        "0.1",
        "--iou",
        "0.4",
        "--most",
        "15",
        "-o",
        str(tmp_path / "d.py"),
    )
    torch.save(network.state_dict(), tmp_path / "w.pth")
    torch.save(x := torch.rand(3, 3, 64, 96), tmp_path / "x.pt")
    (tmp_path / "plain.py").write_text(PLAIN)
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            str(tmp_path / "plain.py"),
            str(tmp_path),
            str(tmp_path / "w.pth"),
            str(tmp_path / "x.pt"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == """['cat', 'a "dog"', 'eel'] [0, 0, 0]\n"""
    with torch.no_grad():
        ours = detector_of(network, 0.1, 0.4, 15)(x)
    assert (ours[1] > 0).any()
    for one, other in zip(ours, torch.load(tmp_path / "x.pt", weights_only=True), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_mistakes_are_one_line(tmp_path):
    out = str(tmp_path / "a.onnx")
    assert "resnet18 is no detector" in refused("export", "resnet18", "--to", "onnx", "--boxes", "-o", out)
    assert "resnet18 is no detector" in refused("export", "resnet18", "--to", "py", "--boxes")
    weights = str(tmp_path / "a.safetensors")
    assert "--boxes: is for --to onnx, --to pt2 and --to py" in refused(
        "export", "yolov8n", "--to", "safetensors", "--boxes", "-o", weights
    )
