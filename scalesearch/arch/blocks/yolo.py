"""YOLO's blocks: Darknet's residual, C2f, SPPF, and what a neck joins maps with. Heads of YOLOv3 and YOLOv8."""

from __future__ import annotations

from typing import Annotated, Literal

from scalesearch.arch.blocks.parts import residual
from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor, concat
from scalesearch.errors import numbered
from scalesearch.signature import Count, Kernel, Natural, Ratio, Repeats, Rule, Stride, Width

Anchors = tuple[tuple[Annotated[int | float, Rule(low=0, high=1_000_000)], ...], ...]
Masks = tuple[tuple[Natural, ...], ...]


def darknet(x: SymTensor, *, width: Width, act: ActName = "leaky_relu") -> SymTensor:
    """1×1 to half of `width`, 3×3 to `width`, added to the input (YOLOv3, Redmon & Farhadi 2018, table 1).

    Without the addition where the input has another width.
    """
    y = x.conv_norm(max(1, width // 2), act=act, name="reduce")
    y = y.conv_norm(width, 3, act=act, name="conv")
    return residual(x, y) if x.channels == width else y


def c2f(x: SymTensor, *, width: Width, repeats: Repeats = 1, skip: bool = True, act: ActName = "silu") -> SymTensor:
    """1×1, split in two, `repeats` pairs of 3×3 one after another on the last half, joined by a 1×1 (C2f)."""
    half = width // 2
    parts = x.conv_norm(2 * half, act=act, name="split_conv").split((half, half))
    for i in range(repeats):
        with x.inside("bottlenecks", i):
            y = parts[-1].conv_norm(half, 3, act=act, name="conv1")
            y = y.conv_norm(half, 3, act=act, name="conv2")
            parts.append(parts[-1] + y if skip else y)
    return concat(parts).conv_norm(width, act=act, name="join")


def sppf(x: SymTensor, *, width: Width, kernel: Kernel = 5, act: ActName = "silu") -> SymTensor:
    """1×1 to half the input's width, three max pools one after another, all joined by a 1×1 (spatial pyramid)."""
    parts = [x.conv_norm(x.channels // 2, act=act, name="reduce")]
    for i in range(3):
        parts.append(parts[-1].max_pool(kernel, 1, kernel // 2, name=f"pool{i}"))
    return concat(parts).conv_norm(width, act=act, name="join")


def upsample(x: SymTensor, *, factor: Stride = 2) -> SymTensor:
    """Nearest-neighbour upsampling."""
    return x.upsample(factor)


def channels(x: SymTensor, *, groups: Count = 2, group: Natural = 0) -> SymTensor:
    """One of `groups` equal parts of the channels (Darknet's route with groups)."""
    if x.channels % groups or group >= groups:
        raise ShapeError(f"cannot take part {group} of {groups} of {x.channels} channels")
    size = x.channels // groups
    return x.split((size,) * groups)[group]


def join(xs: list[SymTensor]) -> SymTensor:
    """The maps side by side: concatenation of channels."""
    return concat(xs) if len(xs) > 1 else xs[0]


def add(xs: list[SymTensor], *, act: ActName | None = None) -> SymTensor:
    """The sum of the maps."""
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total.act(act) if act else total


BOX_VALUES = {"yolo": 5, "region": 5, "gaussian": 9}  # of an anchor beside its classes: box, objectness, and deviations


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
    """One 1×1 convolution per map to 5 + classes values (box, objectness, classes) for each of its anchors (YOLOv3).

    `anchors` are widths and heights in pixels, `masks` which of them belong to which map. Outputs as many maps as
    inputs. Where it doesn't `predict`, the maps are these values already. How they are read as `boxes` is for whoever
    decodes them: YOLOv2's "region" has anchors in cells of its map and classes that exclude each other where there is
    a `softmax`, "gaussian" a deviation beside every coordinate
    (Choi et al. 2019), `new_coords` no exponential (Scaled-YOLOv4, Wang et al. 2020), `scale_xy` per map how far a
    centre reaches beyond its cell.
    """
    if len(xs) != len(masks):
        raise ShapeError(f"has {numbered(len(masks), 'mask')} for {numbered(len(xs), 'map')}")
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
    """A vector of predictions as YOLOv1 has them (Redmon et al. 2015, §2): for each of `side`² cells the shares of the
    classes, then for each its `boxes`' confidences, then their centres, widths and heights.

    With `sqrt`, widths and heights are square roots; with `softmax`, classes are logits. Output: `(side² · (classes +
    5 · boxes),)`.
    """
    wanted = side**2 * (classes + 5 * boxes)
    if x.shape != (wanted, 1, 1):
        raise ShapeError(f"takes {wanted} values as a map of one pixel, got {x.shape}")
    return x.flatten()


def yolov8(xs: list[SymTensor], *, classes: Count, bins: Count = 16, act: ActName = "silu") -> list[SymTensor]:
    """Decoupled head on several maps: a box branch and a class branch each (YOLOv8).

    Outputs, over all A positions of all maps: the distances to left, top, right and bottom in strides `(4, A)`, which
    are means of distributions over `bins` (Li et al. 2020, distribution focal loss); class logits `(classes, A)`; and
    the distributions' logits `(4·bins, A)`, which the loss needs.
    """
    box_width = max(16, xs[0].channels // 4, 4 * bins)
    class_width = max(xs[0].channels, min(classes, 100))
    boxes: list[SymTensor] = []
    scores: list[SymTensor] = []
    for i, x in enumerate(xs):
        for branch, inner, out, found in (("box", box_width, 4 * bins, boxes), ("score", class_width, classes, scores)):
            with x.inside(branch, i):
                y = x.conv_norm(inner, 3, act=act, name="conv1")
                y = y.conv_norm(inner, 3, act=act, name="conv2")
                found.append(y.conv(out, bias=True, name="predict").flatten(1, 2, name="flat"))
    logits, classes_ = concat(boxes, dim=1, name="boxes"), concat(scores, dim=1, name="scores")
    bins_last = logits.unflatten(0, (4, bins), name="sides").permute(0, 2, 1, name="bins_last")
    likely = bins_last.softmax().permute(2, 0, 1, name="bins_first")
    return [likely.expectation().flatten(0, 1, name="distances"), classes_, logits]
