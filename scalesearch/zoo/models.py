"""The zoo: each name has a row in its family's file, from which an `Arch` is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import cast

from scalesearch.arch import Arch
from scalesearch.errors import InputError, unknown_message
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
from scalesearch.zoo.detectors import HEADS, SEPARATOR, count_shared_stages, detector_on
from scalesearch.zoo.published_figures import published_figure as published_figure

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
    """Returns the zoo's architecture called `name`, at its native resolution and with its own number of classes.

    With `+yolov8` or `+yolo` after the name of a classifier it is a detector on that classifier.

    Raises:
        InputError: If there is none of that name; names the nearest.
    """
    backbone, plus, head = name.rpartition(SEPARATOR)
    if plus and name not in MODELS:
        return detector_on(model(backbone), head)
    if name not in MODELS:
        raise InputError(unknown_message("model", name, MODELS))
    return cast(Arch, MODELS[name](name)).with_(name=name)


def backbone_of(detector: Arch, custom: Arch | None = None) -> Arch | None:
    """Returns the classifier that a detector stands on, None where there is none.

    It is the zoo's by the detector's name (`resnet18+yolov8` stands on resnet18, YOLOv3 on Darknet-53, YOLOv8
    on its own classifiers, whose last stages may be wider), else `custom`, a classifier that is not in the
    zoo. It is None too where the detector lacks a stage that the standard detector on that classifier shares
    with it.
    """
    name = detector.name.rpartition(SEPARATOR)[0] or yolo.BACKBONES.get(detector.name)
    if name in MODELS and detector.name in Networks():
        classifier = model(name)
        if count_shared_stages(classifier, detector) >= count_shared_stages(classifier, model(detector.name)):
            return classifier
    if custom is None or not task_of(custom).serves_as_backbone:
        return None
    try:
        standard = detector_on(custom, HEADS[0])
    except InputError:  # no detector stands on it
        return None
    return custom if count_shared_stages(custom, detector) >= max(1, count_shared_stages(custom, standard)) else None


def register_network(make: Callable[[str], Arch], name: str | None = None) -> Callable[[str], Arch]:
    """Adds `make(name)` to the zoo, under its own name or under `name`; also usable as a decorator.

    Returns:
        `make`.

    Raises:
        InputError: If the zoo has that name already.
    """
    name = name or make.__name__
    if name in MODELS:
        raise InputError("is a network of the zoo already; give another name", name)
    MODELS[name] = make
    return make


def family_of(name: str) -> str:
    """Returns the family that the zoo's network `name` belongs to, "own" for a registered one."""
    return next((family for family, module in FAMILIES.items() if name in module.MODELS), "own")


class Networks(Mapping[str, Arch]):
    """Maps names to the zoo's networks and to `custom` ones, each as `change` returns it.

    Iteration and length leave out detectors on classifiers, such as `resnet18+yolov8`, though these can be
    looked up.
    """

    def __init__(self, change: Callable[[Arch], Arch] = lambda arch: arch, custom: Mapping[str, Arch] | None = None):
        self.change, self.custom = change, custom or {}

    def __getitem__(self, name: str) -> Arch:
        return self.change(self.custom[name] if name in self.custom else model(name))

    def __contains__(self, name: object) -> bool:
        backbone, plus, head = str(name).rpartition(SEPARATOR)
        return name in self.custom or name in MODELS or bool(plus and head in HEADS and backbone in MODELS)

    def __iter__(self) -> Iterator[str]:
        return iter((*self.custom, *MODELS))

    def __len__(self) -> int:
        return len(self.custom) + len(MODELS)
