"""Reads how Darknet's networks end: in a classifier, in detection layers, or in a map."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from scalesearch.arch import BOX_VALUES, Arch, BlockSpec, Graph, block
from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict
from scalesearch.signature import fields_of
from scalesearch.space import settings_keys
from scalesearch.zoo.darknet_keys import check_keys
from scalesearch.zoo.sections import Section

DETECTORS = {"yolo": "yolo", "gaussian_yolo": "gaussian", "region": "region"}  # and how their boxes are read
CLASSES = fields_of(settings_keys)["classes"]


def is_plain(conv: Section) -> bool:
    """Returns whether a layer is a 1×1 convolution with a bias and no norm, as heads have it."""
    has_padding = conv.number("padding", 0) and not conv.number("pad", 0)
    return (
        conv.name == "convolutional"
        and conv.number("size", 1) == 1
        and not conv.number("batch_normalize", 0)
        and conv.number("groups", 1) == 1
        and not has_padding
        and conv.text("activation", "logistic") in ("linear", "logistic")
        and all(conv.number(key, 1) == 1 for key in ("stride", "stride_x", "stride_y"))
    )


def split_head(body: list[Section]) -> tuple[list[Section], tuple[BlockSpec, int] | None]:
    """Splits the layers into a body and the head that they end in.

    Heads are `convolutional, avgpool`, `avgpool, convolutional`, `avgpool, connected` or `connected` of a
    classifier, and YOLOv1's `detection`.

    Returns:
        The layers before the head, and the head with its number of classes; None for it where there is none.
    """
    *_, previous, last = [None, None, *body]
    assert last is not None
    if last.name == "detection":
        return body[:-1], _yolov1_head(last)
    linear = last.text("activation", "logistic") == "linear" and not last.number("batch_normalize", 0)
    if (
        previous is not None
        and previous.name == "avgpool"
        and linear
        and (last.name == "connected" or (last.name == "convolutional" and is_plain(last)))
    ):
        return body[:-2], (block("classifier", "head"), _class_count(last))
    if last.name == "avgpool" and previous is not None and previous.name == "convolutional" and is_plain(previous):
        act = None if previous.text("activation", "logistic") == "linear" else "sigmoid"
        return body[:-2], (block("conv_classifier", "head", act=act), _class_count(previous))
    if last.name == "connected" and linear:
        return body[:-1], (block("flat_classifier", "head"), _class_count(last))
    return body, None


def _yolov1_head(section: Section) -> tuple[BlockSpec, int]:
    """Returns YOLOv1's head, which predicts boxes for cells of the image, and its number of classes."""
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


def _class_count(last: Section) -> int:
    key = "output" if last.name == "connected" else "filters"
    try:
        return cast(int, CLASSES.check(last.number(key, 1)))
    except InputError as error:
        raise last.fault(error.message, key) from None


def with_map_head(graph: Graph, has_probabilities: bool) -> Arch:
    """Returns a network that ends in a map, with its classes set to the map's channels.

    Its head gives logits where the map has one pixel and the file turned it into probabilities, else
    features.
    """
    (shape,) = graph.head.in_shapes
    arch = graph.arch.with_(classes=shape[0])
    return arch.with_(head=block("logits", "head")) if has_probabilities and shape[1:] == (1, 1) else arch


def check_values(conv: Section, detection: Section) -> None:
    """Checks that the convolution before a detection layer has as many channels as that needs.

    Raises:
        InputError: If it has more or fewer.
    """
    box_format = DETECTORS[detection.name]
    masks, classes = _mask(detection), detection.number("classes", 20)
    expected = len(masks) * (BOX_VALUES[box_format] + classes)
    if conv.number("filters", 1) != expected:
        raise conv.fault(
            f"must be {expected} before [{detection.name}] with {format_count(len(masks), 'mask')} and "
            f"{format_count(classes, 'class')}, got {conv.number('filters', 1)}",
            "filters",
        )


def _mask(section: Section) -> tuple[int, ...]:
    all_anchors = tuple(range(min(1_000, section.number("num", 1))))
    return all_anchors if section.name == "region" else section.numbers("mask") or all_anchors


def detection_head(sections: list[Section], predicts: bool, act: str | None) -> tuple[BlockSpec, int]:
    """Returns the head that joins all detection layers, and its number of classes.

    Layers with different anchors share one list, in which their anchors follow each other.

    Args:
        sections: The detection layers.
        predicts: Whether the head has the convolutions before them.
        act: The activation after these convolutions.

    Raises:
        InputError: If the layers differ in kind, classes or `new_coords`, or have impossible anchors or
            masks.
    """
    first = sections[0]
    for previous, section in pairwise(sections):
        if section.name != previous.name or section.number("classes", 20) != previous.number("classes", 20):
            key = "classes" if section.name == previous.name else ""
            raise section.fault(f"differs from the one at line {previous.line}", key)
    if first.name == "region" and first.number("coords", 4) != 4:
        raise first.fault("takes 4", "coords")
    anchors: list[tuple[float, ...]] = []
    masks, first_anchor = [], dict[tuple[float, ...], int]()
    for section in sections:
        flat = section.decimals("anchors")
        if not flat or len(flat) % 2:
            raise section.fault("takes pairs of width and height", "anchors")
        if flat not in first_anchor:
            first_anchor[flat] = len(anchors)
            anchors += zip(flat[::2], flat[1::2])
        if not all(0 <= m < len(flat) // 2 for m in _mask(section)):
            raise section.fault(f"names an anchor that isn't among the {len(flat) // 2}", "mask")
        masks.append(tuple(m + first_anchor[flat] for m in _mask(section)))
    scale_xy = tuple(float(section.decimals("scale_x_y", "1")[0]) for section in sections)
    extra: PlainDict = {"scale_xy": scale_xy} if set(scale_xy) != {1.0} else {}
    if first.name == "region" and first.number("softmax", 0):
        extra["softmax"] = True
    new_coords = [bool(section.number("new_coords", 0)) for section in sections]
    if len({*new_coords}) > 1:
        raise sections[new_coords.index(not new_coords[0])].fault(
            f"differs from the one at line {first.line}", "new_coords"
        )
    try:
        head = block(
            "yolo",
            "head",
            anchors=tuple(anchors),
            masks=tuple(masks),
            boxes=DETECTORS[first.name],
            act=act,
            predicts=predicts,
            new_coords=new_coords[0],
            **extra,
        )
        return head, CLASSES.check(first.number("classes", 20))
    except InputError as error:
        raise error if error.in_a_file else first.fault(error.message, "anchors") from None
