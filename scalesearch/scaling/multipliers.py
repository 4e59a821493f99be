"""Scales an `Arch` in depth, width and resolution by multipliers, with the rounding rules of each kind of block."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeGuard

from scalesearch.arch import (
    ARCH_WANTED,
    Arch,
    BlockSpec,
    Stage,
    make_divisible,
    map_arguments,
    scaled_resolution,
    stem_stride,
    without_valid_padding,
)
from scalesearch.errors import InputError, check_kind, format_value
from scalesearch.signature import Field

MOST_FACTOR = 4096
QUANTUM = 8  # channels come in multiples of this
NOT_REPEATED = (
    "concat",
    "add",
    "upsample",
    "channels",
    "max_pool",
    "avg_pool",
    "transition",
    "identity",
    "sppf",
    "patchify",
)


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
    """Returns `arch` with its multipliers applied by EfficientNet's rounding rules.

    Depths are rounded up, widths to multiples of 8 and never below 90 %, resolution to whole pixels (Tan & Le
    2019; `round_repeats` and `round_filters` of the reference code). A detector's resolution stays a multiple of
    its total stride, a RegNet's widths multiples of the group width. Pools, joins and reductions are not
    repeated.

    Args:
        arch: The network to scale.
        depth: Multiplier of the depth, or the number of layers of every stage (as ResNet-101 differs from
            ResNet-50).
        width: Multiplier of the widths.
        resolution: Multiplier of the resolution.
        group: Multiplier of RegNet's group widths.
        keep: What keeps its width: `stem`, `head`, or a field of the head, as MobileNets' heads do when they
            shrink.
        most_width: Upper bound on the widths of stages, in channels (YOLOv8's `max_channels` times its width
            multiplier).

    Raises:
        InputError: If a multiplier is no number above 0 and of at most `MOST_FACTOR`, or `depth` is a list that
            does not give a positive whole number for every stage.
    """
    check_kind(arch, Arch, ARCH_WANTED, "scale")
    for name, multiplier in (("depth", depth), ("width", width), ("resolution", resolution), ("group", group)):
        is_list = name == "depth" and isinstance(depth, (list, tuple))
        if not is_list and not (isinstance(multiplier, (int, float)) and 0 < multiplier <= MOST_FACTOR):
            raise InputError(
                f"takes a number above 0 and of at most {MOST_FACTOR:,}, got {format_value(multiplier)}", name
            )
    if not isinstance(depth, (int, float)):
        if len(depth) != len(arch.stages) or any(not isinstance(d, int) or d < 1 for d in depth):
            raise InputError(
                f"takes a whole number of layers for each of the {len(arch.stages)} stages, got {list(depth)}", "depth"
            )
        deeper = arch.with_(stages=tuple(replace(s, depth=d) for s, d in zip(arch.stages, depth)))
        return scale(deeper, width=width, resolution=resolution, group=group, keep=keep, most_width=most_width)
    if group != 1.0:
        arch = arch.with_(stages=tuple(replace(s, block=_scale_groups(s.block, group)) for s in arch.stages))
    if most_width is not None:
        uncapped = scale(arch, depth=depth, width=width, resolution=resolution, keep=keep)
        capped = (with_widths(s.block, lambda width: min(width, most_width)) for s in uncapped.stages)
        return uncapped.with_(stages=tuple(replace(s, block=b) for s, b in zip(uncapped.stages, capped)))
    inside_blocks = depth_is_within_blocks(arch)
    return arch.with_(
        resolution=scaled_resolution(arch.resolution, resolution, resolution_step(arch)),
        stem=arch.stem if "stem" in keep else tuple(widen(spec, width) for spec in arch.stem),
        stages=tuple(_scale_stage(s, depth, width, inside_blocks) for s in arch.stages),
        head=arch.head if "head" in keep else _restore_kept(widen(arch.head, width), arch.head, keep),
    )


def _restore_kept(wide: BlockSpec, before: BlockSpec, keep: Collection[str]) -> BlockSpec:
    """Returns the scaled head with the fields named in `keep` set back to their values before."""
    return map_arguments(
        wide, lambda field, value: before.get(field.name, field.default) if field.name in keep else value
    )


def _scale_stage(stage: Stage, depth: float, width: float, depth_inside: bool) -> Stage:
    """Scales one stage: a block that repeats a part of itself grows inside; others are repeated more often."""
    wide = widen(stage.block, width)
    if depth_inside or not is_repeatable(stage):
        return replace(stage, block=deepen(wide, depth))
    return replace(stage, block=wide, depth=max(1, math.ceil(stage.depth * depth)))


def depth_is_within_blocks(arch: Arch) -> bool:
    """Returns whether the network grows deeper inside its blocks (as C2f does).

    The stages in between are then not repeated.
    """
    return any(deepen(stage.block, 2.0) != stage.block for stage in arch.stages)


def is_repeatable(stage: Stage) -> bool:
    """Returns whether the stage's block can be repeated.

    It cannot where it joins, resizes or pools maps, or shrinks them at their border for lack of padding.
    """
    return not (
        stage.inputs
        or stage.block.kind in NOT_REPEATED
        or (stage.depth == 1 and without_valid_padding(stage.block) != stage.block)
    )


def widen(spec: BlockSpec, multiplier: float) -> BlockSpec:
    """Returns `spec` with every width that it states or defaults to multiplied and rounded."""
    if multiplier == 1.0:
        return spec
    return with_widths(spec, lambda width: make_divisible(width * multiplier, width_step(spec)))


def _scale_groups(spec: BlockSpec, multiplier: float) -> BlockSpec:
    """Returns a RegNet block with its group width multiplied and rounded.

    The group width becomes a multiple of 8, the width a multiple of the group width.
    """
    if spec.kind != "regnet":
        return spec
    group_width = make_divisible(spec.get("group_width", QUANTUM) * multiplier)
    width = max(group_width, round(spec.get("width") / group_width) * group_width)
    changes = {"group_width": group_width, "width": width}
    return map_arguments(spec, lambda field, value: changes.get(field.name, value))


def has_groups(arch: Arch) -> bool:
    """Returns whether the network has group widths that can be scaled (RegNet blocks)."""
    return any(stage.block.kind == "regnet" for stage in arch.stages)


def width_step(spec: BlockSpec) -> int:
    """Returns what widths must be a multiple of: 8, and the group width where the block has one."""
    return math.lcm(QUANTUM, spec.get("group_width", 1)) if spec.kind == "regnet" else QUANTUM


def resolution_step(arch: Arch) -> int:
    """Returns what the resolution must be a multiple of, in pixels; 1 for most networks.

    A neck that upsamples meets its backbone's maps only at multiples of the total stride.
    """
    kinds = [stage.block.kind for stage in arch.stages]
    if "upsample" not in kinds:
        return 1
    down = arch.stages[: kinds.index("upsample")]
    return math.prod([*map(stem_stride, arch.stem), *(stage.stride for stage in down)])


def with_widths(spec: BlockSpec, change: Callable[[int], int], axis: str = "width") -> BlockSpec:
    """Returns `spec` with `change` applied to every whole number that scales along `axis` (`width` or `depth`)."""

    def scales(field: Field, value: object) -> TypeGuard[int]:
        return field.rule.scales == axis and isinstance(value, int) and not isinstance(value, bool)

    return map_arguments(spec, lambda field, value: change(value) if scales(field, value) else value)


def deepen(spec: BlockSpec, multiplier: float) -> BlockSpec:
    """Returns `spec` with its inner repeats (C2f's bottlenecks) multiplied and rounded, as Ultralytics does."""
    return spec if multiplier == 1.0 else with_widths(spec, lambda n: max(1, round(n * multiplier)), "depth")


def widths(spec: BlockSpec) -> list[int]:
    """Returns the widths, in channels, that a block states or defaults to."""
    collected: list[int] = []

    def collect(width: int) -> int:
        collected.append(width)
        return width

    with_widths(spec, collect)
    return collected
