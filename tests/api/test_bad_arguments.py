"""A mistake in an argument is an InputError that says what is taken: no other error, and nothing silently accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scalesearch as ss

GREY = np.zeros((8, 8), np.uint8)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A trained classifier's folder."""
    folder = tmp_path_factory.mktemp("bad") / "net"
    ss.train("resnet20_cifar", "digits", folder, recipe="quick", epochs=1, resolution=8, threads=1)
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> ss.Trained:
    """A detector with fresh weights."""
    from scalesearch.files import save_tensors

    file = tmp_path_factory.mktemp("bad") / "w.safetensors"
    arch = ss.load("yolov8n", resolution=32, classes=1)
    save_tensors(ss.build(arch).state_dict(), file, {})
    return ss.load_trained(arch, weights=file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threads": 100_000}, "threads: must be at most"),
        ({"threads": 0}, "threads: must be at least 1"),
        ({"threads": "x"}, "threads: takes a whole number"),
        ({"resolution": "x"}, "resolution: takes a whole number"),
        ({"resolution": (1, 2, 3)}, "resolution: takes"),
        ({"resolution": 100_000}, "resolution: must be at most"),
        ({"resolution": 0}, "resolution: must be at least 1"),
        ({"seed": -1}, "seed: must be at least 0"),
        ({"seed": 2**40}, "seed: must be at most"),
        ({"seed": 1.5}, "seed: takes a whole number"),
        ({"strides": "x"}, "strides: takes one of"),
        ({"save_every": -1}, "save_every: must be at least 0"),
        ({"device": 0}, "device: takes one of"),
        ({"settings": 3}, "settings: takes a mapping"),
        ({"out": 3}, "out: takes a path"),
        ({"data": (GREY, GREY)}, "data: takes a path"),
        ({"model": None}, "model: takes a name of the zoo"),
        ({"epoch": 3}, 'Did you mean "epochs"'),
    ],
)
def test_train(changes, message, tmp_path):
    arguments = {"model": "resnet20_cifar", "data": "digits", "out": tmp_path / "out", "epochs": 1} | changes
    with pytest.raises(ss.InputError, match=message):
        ss.train(**arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 2}, "confidence: must be at most 1"),
        ({"confidence": float("nan")}, "confidence"),
        ({"iou": "x"}, "iou: takes a number"),
        ({"most": 0}, "most: must be at least 1"),
        ({"batch": 1.5}, "batch: takes a whole number"),
        ({"every": 0}, "every: must be at least 1"),
        ({"bach": 3}, 'Did you mean "batch"|unknown'),
        ({"device": "cpu"}, "is opened already: device"),
    ],
)
def test_detect(detector, options, message):
    with pytest.raises(ss.InputError, match=message):
        ss.detect(detector, GREY, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: ss.predict(net, GREY, top=0), "top: must be at least 1"),
        (lambda net: ss.predict(net, GREY, top="3"), "top: takes a whole number"),
        (lambda net: ss.predict(net, GREY, batch=3), "batch"),
        (lambda net: ss.predict(net, ""), "got an empty text"),
        (lambda net: ss.predict("", GREY), "got an empty text"),
        (lambda net: ss.predict(None, GREY), "model: takes a name"),
        (lambda net: ss.predict(net, Image.new("L", (0, 0))), "takes a path, a Pillow image"),
        (lambda net: ss.evaluate(net, 3), "data: takes a path"),
        (lambda net: ss.load_trained(net, weights=3), "weights: takes a file"),
        (lambda net: ss.load_trained(net, class_names="abc"), "class_names: takes a list"),
        (lambda net: ss.load_trained(net, device="cud"), "device cud: cannot be used"),
        (lambda net: ss.export(net, "onnx", 3), "out: takes a file"),
        (lambda net: ss.export(net, "py", boxes=3), "boxes: takes a list of 3"),
        (lambda net: ss.export(net, "pt2", "x.pt2", seed="x"), "seed: takes a whole number"),
    ],
)
def test_a_trained_network(small, call, message):
    with pytest.raises(ss.InputError, match=message):
        call(small)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ss.load(None), "model: takes a name of the zoo"),
        (lambda: ss.cost("resnet18"), r'cost: takes an Arch, as ss.load\("resnet18"\)'),
        (lambda: ss.build("resnet18"), "build: takes an Arch"),
        (lambda: ss.scale("resnet18", width=0.5), "takes an Arch"),
        (lambda: ss.ScalingSpace("resnet18"), "base: takes an Arch"),
        (lambda: ss.ScalingSpace(ss.load("resnet18"), factor=0), "factor: takes a number above 0"),
        (lambda: ss.dataset("digits"), "is built in and needs no check"),
        (lambda: ss.dataset(3), "data: takes a path"),
        (lambda: ss.dataset(""), "got an empty text"),
        (lambda: ss.run(None), "study: takes a study"),
        (lambda: ss.run("effnet_phi", 3), "out: takes a folder"),
        (lambda: ss.search(ss.load_space(SPACE), 3, trials=1), "objective: takes a function"),
        (lambda: ss.search(ss.load_space(SPACE), len, trials=1, objectives="macs"), "objectives: takes a list"),
        (lambda: ss.search(ss.load_space(SPACE), len, trials=1, log=3), "log: takes a file"),
        (lambda: ss.search(ss.load_space(SPACE), len, trials=1, seed="x"), "seed: takes a whole number"),
    ],
)
def test_the_rest(call, message):
    with pytest.raises(ss.InputError, match=message):
        call()


SPACE = Path(__file__).parents[2] / "search_spaces" / "small_images.yaml"


def test_what_lies_in_a_folder_is_taken_as_a_model(small):
    trained = ss.train(
        "resnet20_cifar", "digits", small, recipe="quick", epochs=1, resolution=8, threads=1, resume=True
    )
    by_folder = ss.predict(small, GREY)[0].top
    assert ss.predict(trained, GREY)[0].top == by_folder
    assert "def build" in ss.export(ss.load_trained(small), "py")
