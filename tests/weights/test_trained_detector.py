"""From labelled photos to boxes: a detector is trained, scored, used and taken elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from boxed import NAMES, SPACE, rectangles
from helpers import invoke, refused
from PIL import Image

import scalesearch as ss

pytestmark = pytest.mark.slow  # a detector is trained

SETTINGS = [
    f"--set={s}"
    for s in (
        "epochs=30",
        "batch_size=6",
        "learning_rate=5e-3",
        "mosaic=0",
        "zoom=0.1",
        "colour=0",
        "hue=0",
        "precision=fp32",
    )
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALESEARCH_CACHE", str(folder / "cache"))
        data = rectangles(folder / "data")
        (folder / "net.yaml").write_text(SPACE.replace("{choice: [12, 16]}", "16"))
        done = invoke(
            "train",
            str(folder / "net.yaml"),
            "--data",
            str(data),
            "--out",
            str(folder / "out"),
            "--resolution",
            "64",
            *SETTINGS,
        )
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(autouse=True)
def same_cache(trained, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(trained / "cache"))


def test_it_learns_and_scores_the_same_by_itself(trained):
    summary = json.loads((trained / "out" / "summary.json").read_text())
    scores = summary["scores"]
    assert scores["test_ap50"] > 0.8
    assert summary["data"]["classes"] == list(NAMES)
    payload = json.loads(invoke("evaluate", str(trained / "out"), "--data", str(trained / "data"), "--json").stdout)
    assert payload["ap"] == pytest.approx(scores["test_ap"], abs=1e-5)
    assert payload["ap50"] == pytest.approx(scores["test_ap50"], abs=1e-5)
    assert payload["low"] <= payload["ap"] <= payload["high"]
    assert set(payload["by_class"]) == set(NAMES)
    assert all(0 < row["threshold"] < 1 and row["f1"] > 0.7 for row in payload["by_class"].values())


def test_what_is_kept_of_it_class_by_class(trained):
    payload = json.loads(next((trained / "out" / "by_class" / "train").iterdir()).read_text())
    assert payload["classes"] == list(NAMES)
    assert len(payload["ap50"]) == 2
    assert len(payload["curves"][0]) == 101
    assert np.array(payload["confusion"]).shape == (3, 3)
    assert all(p.startswith("data:image/webp") for shown in payload["shown"] for p in shown["pictures"])


def test_boxes_in_a_new_photo_and_by_onnxruntime_alone(trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    photo = sorted((trained / "data" / "images" / "test").iterdir())[0]
    rows = json.loads(invoke("detect", str(trained / "out"), str(photo), "--json").stdout)
    assert rows
    assert {row["name"] for row in rows} <= set(NAMES)
    file = tmp_path / "net.onnx"
    assert invoke("export", str(trained / "out"), "--to", "onnx", "--boxes", "-o", str(file)).exit_code == 0
    session = onnxruntime.InferenceSession(str(file))
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(NAMES)
    image = Image.open(photo)
    inner = image.resize((64, 51), Image.Resampling.BILINEAR)
    box = Image.new("RGB", (64, 64), (114, 114, 114))
    box.paste(inner, (0, 6))
    x = (np.asarray(box, np.float32).transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5
    boxes, scores, classes = session.run(None, {"image": x})
    for row, box, score, class_ in zip(rows, boxes[0], scores[0], classes[0]):
        assert score == pytest.approx(row["score"], abs=1e-4)
        assert class_ == row["class"]
        assert box[0] * 1.25 == pytest.approx(row["x"], abs=0.1) or row["x"] == 0
    assert (scores[0] > 0.25).sum() == len(rows)


def test_what_does_not_fit_together_is_refused(trained, tmp_path):
    out, data = str(trained / "out"), str(trained / "data")
    assert "resnet18+yolov8 is a detector on it" in refused("train", "resnet18", "--data", data)
    assert "recipe.cutmix" in refused("train", "yolov8n", "--data", data, "--recipe", "imagenet")
    assert "the network finds boxes" in refused("evaluate", out, "--data", "digits")
    other = rectangles(tmp_path / "other", 8)
    (other / "data.yaml").write_text("train: images/train\ntest: images/test\nnames: [cat, dog, eel]\n")
    assert "other names" in refused("evaluate", out, "--data", str(other))


def test_anchors_of_the_data_stand_in_the_trained_network(trained, tmp_path):
    """Of shapes 14 × 30 and 34 × 16 in photos of 80 pixels, at 64."""
    out = tmp_path / "anchored"
    data = str(trained / "data")
    assert (
        invoke(
            "train",
            "resnet20_cifar+yolo",
            "--data",
            data,
            "--out",
            str(out),
            "--resolution",
            "64",
            "--set=epochs=1",
            "--set=batch_size=6",
        ).exit_code
        == 0
    )
    anchors = ss.load(out).head.get("anchors")
    shapes = {(round(w), round(h)) for w, h in anchors}
    assert shapes <= {(w, h) for w in (11, 27) for h in (13, 24)} | {(11, 24), (27, 13)}
    assert len(anchors) == 9
    assert invoke("detect", str(out), str(next((trained / "data" / "images" / "test").iterdir()))).exit_code == 0
