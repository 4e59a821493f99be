"""An `Arch` made deeper, wider and finer by multipliers, with the rounding of each kind of block."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from scalesearch.arch import Arch, BlockSpec, Stage, make_divisible, padded, resized, stem_stride, with_leaves
from scalesearch.errors import InputError, shown

MOST_FACTOR = 4096
QUANTUM = 8  # channels come in multiples of this
SINGLE = ("concat", "add", "upsample", "channels", "max_pool", "avg_pool", "transition", "identity", "sppf", "patchify")


def scale(
    arch: Arch,
    *,
    depth: float | Sequence[int] = 1.0,
    width: float = 1.0,
    resolution: float = 1.0,
    group: float = 1.0,
    keep: Collection[str] = (),
    most_width: int | None = None,
) -> Arch:
    """`arch` with its multipliers applied by EfficientNet's rounding rules.

    Depths are rounded up, widths to multiples of 8 and never below 90 %, resolution to whole pixels (Tan & Le 2019;
    `round_repeats` and `round_filters` of the reference code). Detectors' resolution keeps to multiples of the total
    stride, RegNets' widths to multiples of the group width, which `group` multiplies; pools, joints and reductions are
    not repeated. What `keep` names (stem, head, or a leaf of the head) keeps its width, as MobileNets' heads do where
    they shrink. `depth` may be a list, the layers of every stage (as ResNet-101 differs from ResNet-50); no width grows
    beyond `most_width` (YOLOv8's `max_channels` times its width multiplier). Raises `InputError` for a list of another
    length and for multipliers that are no positive numbers.
    """
    for name, multiplier in (("depth", depth), ("width", width), ("resolution", resolution), ("group", group)):
        listed = name == "depth" and isinstance(depth, (list, tuple))
        if not listed and not (isinstance(multiplier, (int, float)) and 0 < multiplier <= MOST_FACTOR):
            raise InputError(f"takes a number above 0 and of at most {MOST_FACTOR:,}, got {shown(multiplier)}", name)
    if not isinstance(depth, (int, float)):
        if len(depth) != len(arch.stages) or any(not isinstance(d, int) or d < 1 for d in depth):
            raise InputError(
                f"takes a whole number of layers for each of the {len(arch.stages)} stages, got {list(depth)}", "depth"
            )
        deeper = arch.with_(stages=tuple(replace(s, depth=d) for s, d in zip(arch.stages, depth)))
        return scale(deeper, width=width, resolution=resolution, group=group, keep=keep, most_width=most_width)
    if group != 1.0:
        arch = arch.with_(stages=tuple(replace(s, block=_regrouped(s.block, group)) for s in arch.stages))
    if most_width is not None:
        uncapped = scale(arch, depth=depth, width=width, resolution=resolution, keep=keep)

        def capped(spec):
            return with_widths(spec, lambda w: min(w, most_width))

        return uncapped.with_(stages=tuple(replace(s, block=capped(s.block)) for s in uncapped.stages))
    step = resolution_step(arch)
    return arch.with_(
        resolution=resized(arch.resolution, resolution, step),
        stem=arch.stem if "stem" in keep else tuple(widen(spec, width) for spec in arch.stem),
        stages=tuple(_scaled_stage(s, depth, width, depth_is_inside(arch)) for s in arch.stages),
        head=arch.head if "head" in keep else _with_kept(widen(arch.head, width), arch.head, keep),
    )


def _with_kept(wide: BlockSpec, before: BlockSpec, keep: Collection[str]) -> BlockSpec:
    """The head with the leaves that are to stay as they were."""
    return with_leaves(
        wide, lambda field, value: before.get(field.name, field.default) if field.name in keep else value
    )


def _scaled_stage(stage: Stage, depth: float, width: float, inside: bool) -> Stage:
    """A block that repeats a part of itself grows deeper inside; others are repeated more often."""
    wide = widen(stage.block, width)
    if inside or not repeats(stage):
        return replace(stage, block=deepen(wide, depth))
    return replace(stage, block=wide, depth=max(1, math.ceil(stage.depth * depth)))


def _deepens_inside(stage: Stage) -> bool:
    return deepen(stage.block, 2.0) != stage.block


def depth_is_inside(arch: Arch) -> bool:
    """Whether the network's depth is that of parts which its blocks repeat; what stands between them is not repeated
    then."""
    return any(_deepens_inside(stage) for stage in arch.stages)


def repeats(stage: Stage) -> bool:
    """Whether more of the same block after it make sense: not where maps are joined, resized, pooled or eaten at their
    border."""
    return not (stage.inputs or stage.block.kind in SINGLE or (stage.depth == 1 and padded(stage.block) != stage.block))


def widen(spec: BlockSpec, multiplier: float) -> BlockSpec:
    """`spec` with every width it states or defaults to multiplied and rounded."""
    if multiplier == 1.0:
        return spec
    return with_widths(spec, lambda width: make_divisible(width * multiplier, quantum(spec)))


def _regrouped(spec: BlockSpec, multiplier: float) -> BlockSpec:
    """A grouped block with its group width multiplied, to a multiple of 8, and its width to a multiple of that."""
    if spec.kind != "regnet":
        return spec
    wide = make_divisible(spec.get("group_width", QUANTUM) * multiplier)
    width = max(wide, round(spec.get("width") / wide) * wide)
    return with_leaves(
        spec, lambda field, value: wide if field.name == "group_width" else width if field.name == "width" else value
    )


def has_groups(arch: Arch) -> bool:
    """Whether a group width is among what can be scaled."""
    return any(stage.block.kind == "regnet" for stage in arch.stages)


def quantum(spec: BlockSpec) -> int:
    """Widths come in multiples of this: of 8, and of the group width where a block has one."""
    return math.lcm(QUANTUM, spec.get("group_width", 1)) if spec.kind == "regnet" else QUANTUM


def resolution_step(arch: Arch) -> int:
    """Resolutions come in multiples of this: a neck that upsamples meets its backbone's maps only at multiples of the
    total stride."""
    kinds = [stage.block.kind for stage in arch.stages]
    if "upsample" not in kinds:
        return 1
    down = arch.stages[: kinds.index("upsample")]
    return math.prod([*map(stem_stride, arch.stem), *(stage.stride for stage in down)])


def with_widths(spec: BlockSpec, change: Callable[[int], int], axis: str = "width") -> BlockSpec:
    def scales(field, value):
        return field.rule.scales == axis and isinstance(value, int) and not isinstance(value, bool)

    return with_leaves(spec, lambda field, value: change(value) if scales(field, value) else value)


def deepen(spec: BlockSpec, multiplier: float) -> BlockSpec:
    """`spec` with what it repeats inside (C2f's bottlenecks) multiplied and rounded, as Ultralytics does."""
    return spec if multiplier == 1.0 else with_widths(spec, lambda n: max(1, round(n * multiplier)), "depth")


def widths(spec: BlockSpec) -> list[int]:
    """The widths a block states or defaults to."""
    found: list[int] = []

    def noted(width: int) -> int:
        found.append(width)
        return width

    with_widths(spec, noted)
    return found
