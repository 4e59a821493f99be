"""Networks fitted to small images: which strides are lowered, and that their names say so."""

from __future__ import annotations

import pytest

import scalesearch as ss
from scalesearch import zoo
from scalesearch.arch import adapt
from scalesearch.counting import describe_fitting
from scalesearch.errors import InputError
from scalesearch.space import arch_from_dict, load_space

NAMES = {
    ("mobilenet_v3_small", 48): "mobilenet_v3_small (stem stride 1)",
    ("yolov8n_cls", 32): "yolov8n_cls (stages.0 stride 1)",
    ("resnet18", 224): "resnet18",
    ("resnet18", 32): "resnet18 (stem stride 2)",
    ("resnet18", 16): "resnet18 (stem stride 1)",
    ("vgg11", 16): "vgg11 (stages.1 stride 1, head pool 1)",
    ("mobilenet_v2", 16): "mobilenet_v2 (stem and stages.1 stride 1)",
    ("inception_v3", 64): "inception_v3 (same padding)",
    ("inception_v3", 32): "inception_v3 (stem stride 4, same padding)",
    ("yolov8n", 64): "yolov8n",
}


@pytest.mark.parametrize(("model", "side"), NAMES)
def test_the_name_says_what_fitting_changed(model, side):
    arch = zoo.model(model)
    fitted = adapt(arch, resolution=side, classes=10)
    assert fitted.name == NAMES[model, side]
    assert (fitted.digest == arch.with_(resolution=side, classes=10).digest) == (fitted.name == model)
    assert adapt(fitted, resolution=side, classes=10) == fitted  # nothing is left to change
    assert arch_from_dict(fitted.to_dict()) == fitted  # and the name is one that files may have


def test_native_strides_stay_everywhere():
    native = adapt(zoo.model("mobilenet_v3_small"), resolution=48, classes=10, strides="native")
    assert native == ss.load("mobilenet_v3_small", resolution=48, classes=10)
    assert ss.cost(native).macs == 4_153_736
    fitted = ss.load("mobilenet_v3_small", resolution=48, classes=10, strides="fitted")
    assert fitted == adapt(zoo.model("mobilenet_v3_small"), resolution=48, classes=10)
    counted = ss.cost(fitted).macs
    assert describe_fitting(native, fitted) == (
        f"mobilenet_v3_small (stem stride 1) at 48×48: {counted:,} MACs; 4,153,736 with native strides"
    )
    assert describe_fitting(native, native) == ""
    assert ss.cost(ss.load("yolov8n_cls", resolution=32)).macs < ss.cost(ss.load("yolov8n_cls", resolution=64)).macs
    with pytest.raises(InputError, match="strides: takes one of fitted, native, got 'small'"):
        ss.load("resnet18", strides="small")


def test_a_space_keeps_its_strides_too():
    space = load_space("search_spaces/mbconv.yaml")
    native = space.adapted(resolution=16, strides="native")
    assert native.units == space.units
    assert native.settings["classes"] == space.settings["classes"]
    assert space.adapted(resolution=16).units != space.units
