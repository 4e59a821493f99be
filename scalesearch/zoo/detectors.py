"""Detectors on any classifier: its maps at strides 8, 16 and 32, a neck that joins them, and a head."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from scalesearch.arch import Arch, Stage, block, expand, meets, padded
from scalesearch.errors import InputError
from scalesearch.trials import task_of
from scalesearch.zoo.yolo import ANCHORS

HEADS = ("yolov8", "yolo")
SEPARATOR = "+"
STRIDES = 8, 16, 32
WIDTHS = 64, 128, 256  # of the neck's maps, from fine to coarse: YOLOv8n's
MASKS = (6, 7, 8), (3, 4, 5), (0, 1, 2)


def detector_on(backbone: Arch, head: str) -> Arch:
    """`backbone` without its head, a path-aggregating pyramid (Lin et al. 2017; Liu et al. 2018) of C2f blocks on its
    last maps at strides 8, 16 and 32, and a `head`: "yolov8", or "yolo" as YOLOv3 has it. Strides that a backbone
    doesn't reach are those of further convolutions.

    Raises `InputError` for what is no classifier, or a pyramid cannot stand on.
    """
    if head not in HEADS:
        raise InputError(f"takes {' or '.join(HEADS)}, got {head!r}", "head")
    if backbone.taps or not task_of(backbone).serves_as_backbone:
        raise InputError(f"{backbone.name} is no classifier; a detector is made on one", "backbone")
    resolution = max(64, round(min(backbone.sides) / 32) * 32)
    body = replace(backbone, resolution=resolution, auxiliary=())
    if not _fits(body):
        body = replace(
            body,
            stem=tuple(map(padded, body.stem)),
            stages=tuple(replace(stage, block=padded(stage.block)) for stage in body.stages),
        )
    found = _at_strides(body)
    last = max((found[stride] for stride in STRIDES if stride in found), default=len(body.stages) - 1)
    stages = list(body.stages[: last + 1])

    def add(kind: str, *inputs: int, stride: int = 1, **args) -> int:
        stages.append(Stage(block(kind, **args), 1, stride, () if inputs == (len(stages) - 1,) else inputs))
        return len(stages) - 1

    for stride in STRIDES:
        if stride not in found:
            found[stride] = add("conv", found[stride // 2], stride=2, width=WIDTHS[STRIDES.index(stride)], act="silu")
    p3, p4, p5 = (found[stride] for stride in STRIDES)

    def lateral(tap, width):
        return add("conv", tap, width=width, kernel=1, act="silu")

    def join(a, b, width):
        return add("c2f", add("concat", a, b), width=width, skip=False)

    fine, middle, coarse = WIDTHS
    c5 = add("sppf", lateral(p5, coarse), width=coarse)
    c4, c3 = lateral(p4, middle), lateral(p3, fine)
    n4 = join(add("upsample", c5), c4, middle)
    n3 = join(add("upsample", n4), c3, fine)
    d4 = join(add("conv", n3, stride=2, width=fine, act="silu"), n4, middle)
    d5 = join(add("conv", d4, stride=2, width=middle, act="silu"), c5, coarse)
    made = block("yolov8", "head") if head == "yolov8" else block("yolo", "head", anchors=ANCHORS, masks=MASKS)
    taps = (n3, d4, d5) if head == "yolov8" else (d5, d4, n3)
    return replace(body, name=f"{backbone.name}{SEPARATOR}{head}", stages=tuple(stages), head=made, taps=taps)


def in_common(classifier: Arch, detector: Arch) -> int:
    """How many of a classifier's stages a detector begins with, the stem before them; convolutions in the detector
    may keep the border of their maps where the classifier's don't."""

    def alike(ours, theirs):
        return ours in (theirs, padded(theirs))

    if len(classifier.stem) != len(detector.stem) or not all(map(alike, detector.stem, classifier.stem)):
        return 0
    pairs = zip(detector.stages, classifier.stages)
    return sum(
        1
        for _ in takewhile(
            lambda pair: alike(pair[0].block, pair[1].block) and replace(pair[0], block=pair[1].block) == pair[1], pairs
        )
    )


def _at_strides(arch: Arch) -> dict[int, int]:
    """Of every stride the last stage whose map is at it, up to the largest that a detector has.

    Raises `InputError` where there is none to begin with.
    """
    found: dict[int, int] = {}
    for i, blocks in enumerate(expand(arch).stages):
        shape = blocks[-1].out_shape
        if len(shape) == 3 and min(arch.sides) % shape[1] == 0:
            found[min(arch.sides) // shape[1]] = i
    first = STRIDES[0]
    if first not in found and first // 2 not in found:
        raise InputError(
            f"{arch.name} has no map at stride {first // 2} or {first}, which a detector begins with", "backbone"
        )
    return found


def _fits(arch: Arch) -> bool:
    if not meets(arch):
        return False
    shapes = [blocks[-1].out_shape for blocks in expand(arch).stages]
    return all(len(shape) == 3 and min(arch.sides) % shape[1] == 0 for shape in shapes)
