"""The hand-built architectures people would pick: a name, a table in its family's file, an `Arch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from scalesearch.arch import Arch
from scalesearch.errors import InputError, unknown
from scalesearch.trials import task_of
from scalesearch.zoo import (
    convnext,
    densenet,
    efficientnet,
    inception,
    mnasnet,
    mobilenet,
    mobilenet_v4,
    regnet,
    resnet,
    shufflenet,
    squeezenet,
    vgg,
    yolo,
)
from scalesearch.zoo.detectors import HEADS, SEPARATOR, detector_on, in_common
from scalesearch.zoo.published_figures import published as published

FAMILIES = {
    "vgg": vgg,
    "resnet": resnet,
    "inception": inception,
    "densenet": densenet,
    "mobilenet": mobilenet,
    "mobilenet_v4": mobilenet_v4,
    "efficientnet": efficientnet,
    "mnasnet": mnasnet,
    "regnet": regnet,
    "shufflenet": shufflenet,
    "squeezenet": squeezenet,
    "convnext": convnext,
    "yolo": yolo,
}
MODELS = {name: make for family in FAMILIES.values() for name, make in family.MODELS.items()}


@cache
def model(name: str) -> Arch:
    """The hand-built architecture called `name`, at its native resolution with 1000 classes; with `+yolov8` or `+yolo`
    behind the name of a classifier, a detector on it.

    Raises `InputError` with the nearest name where there is none of that name.
    """
    backbone, plus, head = name.rpartition(SEPARATOR)
    if plus and name not in MODELS:
        return detector_on(model(backbone), head)
    if name not in MODELS:
        raise InputError(unknown("model", name, MODELS))
    return MODELS[name](name)


def backbone_of(detector: Arch, own: Arch | None = None) -> Arch | None:
    """The classifier that a detector stands on: the zoo's by the detector's name (`resnet18+yolov8` on resnet18, YOLOv3
    on Darknet-53, YOLOv8 on its own classifiers, whose last stages may be wider), else one's `own`. None where the
    detector lacks a stage that a detector on that classifier has of it."""
    name = detector.name.rpartition(SEPARATOR)[0] or yolo.BACKBONES.get(detector.name)
    if name in MODELS and detector.name in Networks():
        classifier = model(name)
        if in_common(classifier, detector) >= in_common(classifier, model(detector.name)):
            return classifier
    if own is None or not task_of(own).serves_as_backbone:
        return None
    try:
        standard = detector_on(own, HEADS[0])
    except InputError:  # no detector stands on it
        return None
    return own if in_common(own, detector) >= max(1, in_common(own, standard)) else None


def register_network(make: Callable[[str], Arch], name: str | None = None) -> Callable[[str], Arch]:
    """Make what `make(name)` gives a network of the zoo, by its name or by `name`; also as a decorator.

    Raises `InputError` for a name that is taken.
    """
    name = name or make.__name__
    if name in MODELS:
        raise InputError("is a network of the zoo already; give another name", name)
    MODELS[name] = make
    return make


def family_of(name: str) -> str:
    return next((family for family, module in FAMILIES.items() if name in module.MODELS), "own")


class Networks(Mapping):
    """The zoo by name and networks of one's `own`: every one as it was published, or as `change` makes it."""

    def __init__(self, change: Callable[[Arch], Arch] = lambda arch: arch, own: Mapping[str, Arch] | None = None):
        self.change, self.own = change, own or {}

    def __getitem__(self, name: str) -> Arch:
        return self.change(self.own[name] if name in self.own else model(name))

    def __contains__(self, name: object) -> bool:
        backbone, plus, head = str(name).rpartition(SEPARATOR)
        return name in self.own or name in MODELS or bool(plus and head in HEADS and backbone in MODELS)

    def __iter__(self) -> Iterator[str]:
        return iter((*self.own, *MODELS))

    def __len__(self) -> int:
        return len(self.own) + len(MODELS)
