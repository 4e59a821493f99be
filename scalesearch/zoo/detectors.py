"""Detectors built on any classifier: its maps at strides 8, 16 and 32, a neck that joins them, and a head."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import Any

from scalesearch.arch import Arch, BlockSpec, Stage, block, expand, has_valid_shapes, without_valid_padding
from scalesearch.errors import InputError
from scalesearch.trials import task_of
from scalesearch.zoo.yolo import ANCHORS

HEADS = ("yolov8", "yolo")
SEPARATOR = "+"
STRIDES = 8, 16, 32
WIDTHS = 64, 128, 256  # channels of the neck's maps from fine to coarse, as in YOLOv8n
MASKS = (6, 7, 8), (3, 4, 5), (0, 1, 2)


def detector_on(backbone: Arch, head: str) -> Arch:
    """Builds a detector on the stages of a classifier.

    A path-aggregating pyramid (Lin et al. 2017; Liu et al. 2018) of C2f blocks takes the backbone's last maps
    at strides 8, 16 and 32; strides that the backbone does not reach are added as convolutions. The
    resolution becomes square: the smaller side, rounded to a multiple of 32, at least 64 pixels.

    Args:
        backbone: A classifier, whose head is left out.
        head: "yolov8", or "yolo" for YOLOv3's.

    Raises:
        InputError: For another head, for a backbone that is no classifier, and for one without a map at
            stride 4 or 8.
    """
    if head not in HEADS:
        raise InputError(f"takes {' or '.join(HEADS)}, got {head!r}", "head")
    if backbone.taps or not task_of(backbone).serves_as_backbone:
        raise InputError(f"{backbone.name} is no classifier; a detector is made on one", "backbone")
    resolution = max(64, round(min(backbone.sides) / 32) * 32)
    body = replace(backbone, resolution=resolution, auxiliary=())
    if not _sides_divide_evenly(body):
        body = replace(
            body,
            stem=tuple(map(without_valid_padding, body.stem)),
            stages=tuple(replace(stage, block=without_valid_padding(stage.block)) for stage in body.stages),
        )
    stage_at = _last_stage_by_stride(body)
    last_stage = max((stage_at[stride] for stride in STRIDES if stride in stage_at), default=len(body.stages) - 1)
    stages = list(body.stages[: last_stage + 1])

    def add(kind: str, *inputs: int, stride: int = 1, **args: Any) -> int:
        stages.append(Stage(block(kind, **args), 1, stride, () if inputs == (len(stages) - 1,) else inputs))
        return len(stages) - 1

    for stride in STRIDES:
        if stride not in stage_at:
            stage_at[stride] = add(
                "conv", stage_at[stride // 2], stride=2, width=WIDTHS[STRIDES.index(stride)], act="silu"
            )
    p3, p4, p5 = (stage_at[stride] for stride in STRIDES)

    def lateral(tap: int, width: int) -> int:
        return add("conv", tap, width=width, kernel=1, act="silu")

    def join(a: int, b: int, width: int) -> int:
        return add("c2f", add("concat", a, b), width=width, skip=False)

    fine, middle, coarse = WIDTHS
    c5 = add("sppf", lateral(p5, coarse), width=coarse)
    c4, c3 = lateral(p4, middle), lateral(p3, fine)
    n4 = join(add("upsample", c5), c4, middle)
    n3 = join(add("upsample", n4), c3, fine)
    d4 = join(add("conv", n3, stride=2, width=fine, act="silu"), n4, middle)
    d5 = join(add("conv", d4, stride=2, width=middle, act="silu"), c5, coarse)
    head_spec = block("yolov8", "head") if head == "yolov8" else block("yolo", "head", anchors=ANCHORS, masks=MASKS)
    taps = (n3, d4, d5) if head == "yolov8" else (d5, d4, n3)
    return replace(body, name=f"{backbone.name}{SEPARATOR}{head}", stages=tuple(stages), head=head_spec, taps=taps)


def count_shared_stages(classifier: Arch, detector: Arch) -> int:
    """Returns how many stages `detector` shares with `classifier`, counted from the first.

    It is 0 where the stems differ. A convolution or pool that pads in the detector only counts as the same.
    """

    def matches(ours: BlockSpec, theirs: BlockSpec) -> bool:
        return ours in (theirs, without_valid_padding(theirs))

    if len(classifier.stem) != len(detector.stem) or not all(map(matches, detector.stem, classifier.stem)):
        return 0
    pairs = zip(detector.stages, classifier.stages)
    return sum(
        1
        for _ in takewhile(
            lambda pair: matches(pair[0].block, pair[1].block) and replace(pair[0], block=pair[1].block) == pair[1],
            pairs,
        )
    )


def _last_stage_by_stride(arch: Arch) -> dict[int, int]:
    """Returns the number of the last stage at each stride.

    Raises:
        InputError: Where no map is at stride 4 or 8, so that there is nothing to begin with.
    """
    stage_at: dict[int, int] = {}
    for i, blocks in enumerate(expand(arch).stages):
        shape = blocks[-1].out_shape
        if len(shape) == 3 and min(arch.sides) % shape[1] == 0:
            stage_at[min(arch.sides) // shape[1]] = i
    finest = STRIDES[0]
    if finest not in stage_at and finest // 2 not in stage_at:
        raise InputError(
            f"{arch.name} has no map at stride {finest // 2} or {finest}, which a detector begins with", "backbone"
        )
    return stage_at


def _sides_divide_evenly(arch: Arch) -> bool:
    if not has_valid_shapes(arch):
        return False
    shapes = [blocks[-1].out_shape for blocks in expand(arch).stages]
    return all(len(shape) == 3 and min(arch.sides) % shape[1] == 0 for shape in shapes)
