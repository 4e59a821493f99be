"""YOLO's blocks: Darknet's residual, C2f, SPPF, what joins maps in a neck, and the heads of YOLOv1, v3 and v8."""

from __future__ import annotations

from typing import Annotated, Literal

from scalesearch.arch.blocks.parts import residual
from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor, concat
from scalesearch.errors import format_count
from scalesearch.signature import Count, Kernel, Natural, Ratio, Repeats, Rule, Stride, Width

Anchors = tuple[tuple[Annotated[int | float, Rule(low=0, high=1_000_000)], ...], ...]
Masks = tuple[tuple[Natural, ...], ...]


def darknet(x: SymTensor, *, width: Width, act: ActName = "leaky_relu") -> SymTensor:
    """Applies 1×1 to half of `width` and 3×3 to `width`, added to the input.

    Source: YOLOv3, Redmon & Farhadi 2018, table 1. Where the input has another width nothing is added.
    """
    y = x.conv_norm(max(1, width // 2), act=act, name="reduce")
    y = y.conv_norm(width, 3, act=act, name="conv")
    return residual(x, y) if x.channels == width else y


def c2f(x: SymTensor, *, width: Width, repeats: Repeats = 1, skip: bool = True, act: ActName = "silu") -> SymTensor:
    """Applies C2f: a 1×1 split in two, `repeats` pairs of 3×3 in a row on the last half, all parts joined by a 1×1.

    With `skip` each pair's input is added to its output.
    """
    half = width // 2
    parts = x.conv_norm(2 * half, act=act, name="split_conv").split((half, half))
    for i in range(repeats):
        with x.inside("bottlenecks", i):
            y = parts[-1].conv_norm(half, 3, act=act, name="conv1")
            y = y.conv_norm(half, 3, act=act, name="conv2")
            parts.append(parts[-1] + y if skip else y)
    return concat(parts).conv_norm(width, act=act, name="join")


def sppf(x: SymTensor, *, width: Width, kernel: Kernel = 5, act: ActName = "silu") -> SymTensor:
    """Applies spatial pyramid pooling: 1×1 to half the input's width, three max pools in a row, all joined by a 1×1."""
    parts = [x.conv_norm(x.channels // 2, act=act, name="reduce")]
    for i in range(3):
        parts.append(parts[-1].max_pool(kernel, 1, kernel // 2, name=f"pool{i}"))
    return concat(parts).conv_norm(width, act=act, name="join")


def upsample(x: SymTensor, *, factor: Stride = 2) -> SymTensor:
    """Upsamples a map by an integer factor: every pixel is repeated (nearest neighbour)."""
    return x.upsample(factor)


def channels(x: SymTensor, *, groups: Count = 2, group: Natural = 0) -> SymTensor:
    """Returns part `group` (from 0) of `groups` equal parts of the channels (Darknet's route with groups)."""
    if x.channels % groups or group >= groups:
        raise ShapeError(f"cannot take part {group} of {groups} of {x.channels} channels")
    size = x.channels // groups
    return x.split((size,) * groups)[group]


def join(xs: list[SymTensor]) -> SymTensor:
    """Concatenates the maps' channels."""
    return concat(xs) if len(xs) > 1 else xs[0]


def add(xs: list[SymTensor], *, act: ActName | None = None) -> SymTensor:
    """Returns the sum of the maps, then `act` if given."""
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total.act(act) if act else total


# Per anchor beside the classes: box, objectness and, for "gaussian", deviations.
BOX_VALUES = {"yolo": 5, "region": 5, "gaussian": 9}


def yolo(
    xs: list[SymTensor],
    *,
    classes: Count,
    anchors: Anchors,
    masks: Masks,
    boxes: Literal["yolo", "region", "gaussian"] = "yolo",
    predicts: bool = True,
    act: ActName | None = None,
    new_coords: bool = False,
    scale_xy: tuple[Ratio, ...] = (),
    softmax: bool = False,
) -> list[SymTensor]:
    """Predicts, per map, box, objectness and classes for each of its anchors by one 1×1 convolution (YOLOv3).

    Outputs as many maps as there are inputs, of 5 + classes values an anchor (9 + classes for "gaussian"). How
    they become boxes is up to the decoder.

    Args:
        anchors: Widths and heights, in pixels ("region": in cells of the map).
        masks: For each map, the numbers of its anchors.
        boxes: "yolo"; YOLOv2's "region"; or "gaussian", with a deviation beside every coordinate (Choi et al.
            2019).
        predicts: Whether a 1×1 convolution makes the values; false if the inputs are those values.
        act: Activation of the values.
        new_coords: Decodes without exponential (Scaled-YOLOv4, Wang et al. 2020).
        scale_xy: Per map, the factor by which a centre's range is stretched about its cell's middle; 1 keeps it inside
            the cell, 1.2 lets it reach 0.1 cells out (YOLOv4's `scale_x_y`).
        softmax: Whether an anchor's classes exclude each other.
    """
    if len(xs) != len(masks):
        raise ShapeError(f"has {format_count(len(masks), 'mask')} for {format_count(len(xs), 'map')}")
    values = [len(mask) * (BOX_VALUES[boxes] + classes) for mask in masks]
    if predicts:
        xs = [x.conv(width, bias=True, name=f"predict.{i}") for i, (x, width) in enumerate(zip(xs, values))]
    for x, width in zip(xs, values):
        if x.channels != width:
            raise ShapeError(f"takes {width} channels of predictions, got {x.channels}")
    return [x.act(act, name=f"act.{i}") for i, x in enumerate(xs)] if act else xs


def yolov1(
    x: SymTensor, *, classes: Count, side: Count = 7, boxes: Count = 2, sqrt: bool = True, softmax: bool = False
) -> SymTensor:
    """Returns YOLOv1's vector of predictions (Redmon et al. 2015, §2) from a map of one pixel that holds them.

    For each of `side`² cells the classes' shares, then for each its `boxes`' confidences, then their centres,
    widths and heights: `(side² · (classes + 5 · boxes),)`. With `sqrt`, widths and heights are square roots; with
    `softmax`, classes are logits.
    """
    expected = side**2 * (classes + 5 * boxes)
    if x.shape != (expected, 1, 1):
        raise ShapeError(f"takes {expected} values as a map of one pixel, got {x.shape}")
    return x.flatten()


def yolov8(xs: list[SymTensor], *, classes: Count, bins: Count = 16, act: ActName = "silu") -> list[SymTensor]:
    """Applies YOLOv8's decoupled head: a box branch and a class branch on each map.

    Returns:
        Over all A positions of all maps: distances to left, top, right and bottom in strides, `(4, A)`, which are
        means of distributions over `bins` (distribution focal loss, Li et al. 2020); class logits,
        `(classes, A)`; and the distributions' logits, `(4·bins, A)`, which the loss needs.
    """
    box_width = max(16, xs[0].channels // 4, 4 * bins)
    class_width = max(xs[0].channels, min(classes, 100))
    boxes: list[SymTensor] = []
    scores: list[SymTensor] = []
    for i, x in enumerate(xs):
        for branch, inner, out, outputs in (
            ("box", box_width, 4 * bins, boxes),
            ("score", class_width, classes, scores),
        ):
            with x.inside(branch, i):
                y = x.conv_norm(inner, 3, act=act, name="conv1")
                y = y.conv_norm(inner, 3, act=act, name="conv2")
                outputs.append(y.conv(out, bias=True, name="predict").flatten(1, 2, name="flat"))
    box_logits, class_logits = concat(boxes, dim=1, name="boxes"), concat(scores, dim=1, name="scores")
    bins_last = box_logits.unflatten(0, (4, bins), name="sides").permute(0, 2, 1, name="bins_last")
    probabilities = bins_last.softmax().permute(2, 0, 1, name="bins_first")
    return [probabilities.expectation().flatten(0, 1, name="distances"), class_logits, box_logits]
