"""The hand-built architectures people would pick: a name, a table in its family's file, an `Arch`."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from scalesearch.arch import Arch
from scalesearch.errors import InputError, unknown
from scalesearch.zoo import efficientnet, mobilenet, resnet, vgg

FAMILIES = {"vgg": vgg, "resnet": resnet, "mobilenet": mobilenet, "efficientnet": efficientnet}
MODELS = {name: make for family in FAMILIES.values() for name, make in family.MODELS.items()}


@cache
def model(name: str) -> Arch:
    """The hand-built architecture called `name`, at its native resolution with 1000 classes.

    Raises `InputError` with the nearest name where there is none of that name.
    """
    if name not in MODELS:
        raise InputError(unknown("model", name, MODELS))
    return MODELS[name](name)


def family_of(name: str) -> str:
    return next(family for family, module in FAMILIES.items() if name in module.MODELS)


class Published(NamedTuple):
    """A published ImageNet top-1 accuracy in percent, at which resolution it was measured, and whose figure it is."""

    top1: float | None
    top1_resolution: int | None
    source: str | None


def _torchvision(top1: float, resolution: int = 224, weights: str = "IMAGENET1K_V1") -> Published:
    return Published(top1, resolution, f"torchvision 0.28.0, {weights}")


PUBLISHED = {
    "vgg11": _torchvision(69.02), "vgg13": _torchvision(69.928), "vgg16": _torchvision(71.592), "vgg19": _torchvision(72.376),
    "vgg11_bn": _torchvision(70.37), "vgg13_bn": _torchvision(71.586), "vgg16_bn": _torchvision(73.36),
    "vgg19_bn": _torchvision(74.218),
    "resnet18": _torchvision(69.758), "resnet34": _torchvision(73.314), "resnet50": _torchvision(76.13),
    "resnet101": _torchvision(77.374), "resnet152": _torchvision(78.312),
    "mobilenet_v1": Published(75.388, 224, "timm results-imagenet.csv, mobilenetv1_100.ra4_e3600_r224_in1k"),
    "mobilenet_v2": _torchvision(71.878),
    "efficientnet_b0": _torchvision(77.692), "efficientnet_b1": _torchvision(78.642, 240),
    "efficientnet_b2": _torchvision(80.608, 288), "efficientnet_b3": _torchvision(82.008, 300),
    "efficientnet_b4": _torchvision(83.384, 380), "efficientnet_b5": _torchvision(83.444, 456),
    "efficientnet_b6": _torchvision(84.008, 528), "efficientnet_b7": _torchvision(84.122, 600),
}  # fmt: skip
