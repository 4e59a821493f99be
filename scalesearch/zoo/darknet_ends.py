"""How Darknet's networks end: in a classifier, in detection layers, or in a map."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from scalesearch.arch import BOX_VALUES, Arch, BlockSpec, Graph, block
from scalesearch.errors import InputError, numbered
from scalesearch.signature import fields_of
from scalesearch.space import settings_keys
from scalesearch.zoo.darknet_keys import check_keys
from scalesearch.zoo.sections import Section

DETECTORS = {"yolo": "yolo", "gaussian_yolo": "gaussian", "region": "region"}  # and how their boxes are read
CLASSES = fields_of(settings_keys)["classes"]


def is_plain(conv: Section) -> bool:
    """Whether a layer is a 1×1 convolution with a bias alone, as a head has it."""
    padded = conv.number("padding", 0) and not conv.number("pad", 0)
    return (
        conv.name == "convolutional"
        and conv.number("size", 1) == 1
        and not conv.number("batch_normalize", 0)
        and conv.number("groups", 1) == 1
        and not padded
        and conv.text("activation", "logistic") in ("linear", "logistic")
        and all(conv.number(key, 1) == 1 for key in ("stride", "stride_x", "stride_y"))
    )


def ending(body: list[Section]) -> tuple[list[Section], tuple[BlockSpec, int] | None]:
    """The layers, and a head with its classes where they end in one: a classifier's `convolutional, avgpool`, or
    `avgpool, convolutional|connected`, or `connected`; YOLOv1's `detection`."""
    *_, before, last = [None, None, *body]
    assert last is not None
    if last.name == "detection":
        return body[:-1], _cells(last)
    linear = last.text("activation", "logistic") == "linear" and not last.number("batch_normalize", 0)
    if (
        before is not None
        and before.name == "avgpool"
        and linear
        and (last.name == "connected" or (last.name == "convolutional" and is_plain(last)))
    ):
        return body[:-2], (block("classifier", "head"), _classes(last))
    if last.name == "avgpool" and before is not None and before.name == "convolutional" and is_plain(before):
        act = None if before.text("activation", "logistic") == "linear" else "sigmoid"
        return body[:-2], (block("conv_classifier", "head", act=act), _classes(before))
    if last.name == "connected" and linear:
        return body[:-1], (block("flat_classifier", "head"), _classes(last))
    return body, None


def _cells(section: Section) -> tuple[BlockSpec, int]:
    """YOLOv1's head, which predicts for cells of the image."""
    check_keys(section)
    if section.number("coords", 1) != 4:
        raise section.fault("takes 4", "coords")
    if section.text("sqrt", "0") not in ("0", "1") or section.text("softmax", "0") not in ("0", "1"):
        raise section.fault("takes 0 or 1", "sqrt" if section.text("sqrt", "0") not in ("0", "1") else "softmax")
    try:
        head = block(
            "yolov1",
            "head",
            side=section.number("side", 7),
            boxes=section.number("num", 1),
            sqrt=bool(section.number("sqrt", 0)),
            softmax=bool(section.number("softmax", 0)),
        )
        return head, CLASSES.check(section.number("classes", 1))
    except InputError as error:
        raise section.fault(error.message, {"boxes": "num"}.get(error.place, error.place)) from None


def _classes(last: Section) -> int:
    key = "output" if last.name == "connected" else "filters"
    try:
        return CLASSES.check(last.number(key, 1))
    except InputError as error:
        raise last.fault(error.message, key) from None


def with_open_end(graph: Graph, shared: bool) -> Arch:
    """A network that ends in a map: in logits where that has one pixel and shares are made of it, else in features."""
    (shape,) = graph.head.in_shapes
    arch = graph.arch.with_(classes=shape[0])
    return arch.with_(head=block("logits", "head")) if shared and shape[1:] == (1, 1) else arch


def check_values(conv: Section, detector: Section) -> None:
    """Raises `InputError` where a convolution doesn't give the detection layer after it what that takes."""
    boxes = DETECTORS[detector.name]
    masks, classes = _mask(detector), detector.number("classes", 20)
    wanted = len(masks) * (BOX_VALUES[boxes] + classes)
    if conv.number("filters", 1) != wanted:
        raise conv.fault(
            f"must be {wanted} before [{detector.name}] with {numbered(len(masks), 'mask')} and "
            f"{numbered(classes, 'class')}, got {conv.number('filters', 1)}",
            "filters",
        )


def _mask(section: Section) -> tuple[int, ...]:
    every = tuple(range(min(1_000, section.number("num", 1))))
    return every if section.name == "region" else section.numbers("mask") or every


def detector(sections: list[Section], predicts: bool, act: str | None) -> tuple[BlockSpec, int]:
    """The head of all detection layers; anchors that differ between them stand one after the other."""
    first = sections[0]
    for before, section in pairwise(sections):
        if section.name != before.name or section.number("classes", 20) != before.number("classes", 20):
            key = "classes" if section.name == before.name else ""
            raise section.fault(f"differs from the one at line {before.line}", key)
    if first.name == "region" and first.number("coords", 4) != 4:
        raise first.fault("takes 4", "coords")
    anchors: list[tuple[float, ...]] = []
    masks, starts = [], dict[tuple, int]()
    for section in sections:
        flat = section.decimals("anchors")
        if not flat or len(flat) % 2:
            raise section.fault("takes pairs of width and height", "anchors")
        if flat not in starts:
            starts[flat] = len(anchors)
            anchors += zip(flat[::2], flat[1::2])
        if not all(0 <= m < len(flat) // 2 for m in _mask(section)):
            raise section.fault(f"names an anchor that isn't among the {len(flat) // 2}", "mask")
        masks.append(tuple(m + starts[flat] for m in _mask(section)))
    reach = tuple(float(section.decimals("scale_x_y", "1")[0]) for section in sections)
    told: dict[str, Any] = {"scale_xy": reach} if set(reach) != {1.0} else {}
    if first.name == "region" and first.number("softmax", 0):
        told["softmax"] = True
    new = [bool(section.number("new_coords", 0)) for section in sections]
    if len({*new}) > 1:
        raise sections[new.index(not new[0])].fault(f"differs from the one at line {first.line}", "new_coords")
    try:
        head = block(
            "yolo",
            "head",
            anchors=tuple(anchors),
            masks=tuple(masks),
            boxes=DETECTORS[first.name],
            act=act,
            predicts=predicts,
            new_coords=new[0],
            **told,
        )
        return head, CLASSES.check(first.number("classes", 20))
    except InputError as error:
        raise error if error.in_a_file else first.fault(error.message, "anchors") from None
