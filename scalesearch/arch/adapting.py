"""Adapts a network, hand-built or found by a search, to the size of the data's images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

from scalesearch.arch.arch import Arch, BlockSpec, Resolution, sides
from scalesearch.arch.blocks.registry import BLOCKS, block, map_arguments, normal_form
from scalesearch.errors import InputError
from scalesearch.signature import fields_of

SMALLEST_MAP = 2
# whether the earliest strides are lowered where images are small, or all stay as published
Strides = Literal["fitted", "native"]


def adapted_strides(strides: Sequence[int], resolution: Resolution, smallest_map: int = SMALLEST_MAP) -> list[int]:
    """Returns `strides` with the earliest ones lowered until the last map has at least `smallest_map` pixels a side.

    A stride is lowered to its largest divisor that suffices, else to 1, and the next one follows. People do this
    by hand when an ImageNet network meets small images (He et al. 2015, §4.2, for CIFAR-10).

    Args:
        strides: In execution order, stem first.
        resolution: Of the images, in pixels; the shorter side counts.
        smallest_map: Side of the smallest last map, in pixels.

    Raises:
        InputError: If the images are smaller than `smallest_map`.
    """
    side = min(sides(resolution))
    if side < smallest_map:
        raise InputError(
            f"{side} is too small; networks end in maps of at least {smallest_map}×{smallest_map}", "resolution"
        )
    adapted, total = list(strides), math.prod(strides)
    for i, stride in enumerate(strides):
        if total * smallest_map <= side:
            break
        other_strides = total // stride
        divisors = [d for d in range(stride, 0, -1) if stride % d == 0]
        adapted[i] = next((d for d in divisors if other_strides * d * smallest_map <= side), 1)
        total = other_strides * adapted[i]
    return adapted


def stem_stride(spec: BlockSpec) -> int:
    """Returns the stride of a stem block, stated or by default; 1 for blocks that take none."""
    field = fields_of(BLOCKS[spec.kind].function).get("stride")
    return spec.get("stride", field.default) if field else 1


def with_stride(spec: BlockSpec, stride: int) -> BlockSpec:
    """Returns `spec` with `stride` as an argument; `spec` itself where it has that stride already."""
    return spec if stem_stride(spec) == stride else normal_form(spec.kind, dict(spec.args) | {"stride": stride})


def ends_in_small_map(strides: Sequence[int], resolution: Resolution) -> bool:
    """Returns whether the last map would be below 4×4 pixels, too small for "valid" padding to eat its border."""
    return min(sides(resolution)) < 4 * math.prod(strides)


def without_valid_padding(spec: BlockSpec) -> BlockSpec:
    """Returns `spec` with every padding of 0, in its branches too, replaced by one that keeps the map's size.

    Inception's "valid" convolutions and pools eat the border of their map; small maps have none to spare.
    """
    return map_arguments(spec, lambda field, value: None if field.name == "padding" and value == 0 else value)


def is_unit_stride_pool(kind: str, stride: int) -> bool:
    """Returns whether the block is a max or average pool with stride 1, which reduces nothing."""
    return kind in ("max_pool", "avg_pool") and stride == 1


def with_small_pool(head: BlockSpec, side: int) -> BlockSpec:
    """Returns `head` with its fixed pool (VGG's 7×7) lowered to half of `side`, at least 1; other heads as they are.

    Args:
        head: The head's block spec.
        side: Shorter side of the map that reaches the head, in pixels; VGG's head halves it before the fixed
            pool.
    """
    fields = fields_of(BLOCKS[head.kind].function)
    if "pool" not in fields:
        return head
    pool = min(head.get("pool", fields["pool"].default), max(1, side // 2))
    return block(head.kind, "head", **dict(head.args) | {"pool": pool})


def last_map_side(strides: Sequence[int], resolution: Resolution) -> int:
    """Returns the shorter side, in pixels, of the map after all `strides`; every division rounds up."""
    side = min(sides(resolution))
    for stride in strides:
        side = -(-side // stride)
    return side


def adapt(arch: Arch, *, resolution: Resolution, classes: int, channels: int = 3, strides: Strides = "fitted") -> Arch:
    """Returns `arch` adapted to images of `resolution` pixels, `channels` channels and `classes` classes.

    With native strides nothing else changes. With fitted ones the earliest are lowered until the last map is at
    least 2×2; a network that already leaves such a map keeps its strides. Where the last map would be below 4×4,
    "valid" padding goes. Pools whose stride becomes 1 are dropped. The name of a network that this changes says
    so: `resnet18 (stem stride 1)`. Networks whose heads know their maps by their strides (detectors) keep them
    all.

    Raises:
        InputError: If the images are smaller than 2×2 and strides are to be fitted.
    """
    adapted = arch.with_(resolution=resolution, classes=classes, channels=channels)
    if strides == "native" or BLOCKS[arch.head.kind].keeps_strides:
        return adapted
    native_strides = [stem_stride(spec) for spec in arch.stem] + [stage.stride for stage in arch.stages]
    fitted_strides = adapted_strides(native_strides, resolution)
    convert = without_valid_padding if ends_in_small_map(native_strides, resolution) else lambda spec: spec
    stem = [
        with_stride(convert(spec), s)
        for spec, s in zip(arch.stem, fitted_strides)
        if not is_unit_stride_pool(spec.kind, s)
    ]
    stages = []
    for stage, s in zip(arch.stages, fitted_strides[len(arch.stem) :]):
        is_dropped = is_unit_stride_pool(stage.block.kind, s) and s != stage.stride
        stages.append(replace(stage, stride=s, block=block("identity") if is_dropped else convert(stage.block)))
    head = with_small_pool(arch.head, last_map_side(fitted_strides, resolution))
    changes = _stride_changes(native_strides, fitted_strides, len(arch.stem))
    if any(convert(spec) != spec for spec in (*arch.stem, *(stage.block for stage in arch.stages))):
        changes.append("same padding")
    if head != arch.head:
        changes.append(f"head pool {head.get('pool')}")
    name = f"{arch.name} ({', '.join(changes)})" if changes else arch.name
    return adapted.with_(name=name, stem=tuple(stem), stages=tuple(stages), head=head)


def _stride_changes(native: Sequence[int], fitted: Sequence[int], stem_blocks: int) -> list[str]:
    """Returns in words which strides differ: `stem stride 1`, `stages.0-3 stride 1`.

    Args:
        native: The published strides, in execution order.
        fitted: The strides for the images.
        stem_blocks: How many of them belong to the stem, whose stride is their product.
    """
    before, after = math.prod(native[:stem_blocks]), math.prod(fitted[:stem_blocks])
    changed = [("stem", after)] if after != before else []
    pairs = list(zip(native, fitted))[stem_blocks:]
    lowered = [(number, new) for number, (old, new) in enumerate(pairs) if new != old]
    for stride, group in groupby(lowered, key=lambda item: item[1]):
        numbers = [number for number, _ in group]
        span = f"-{numbers[-1]}" if len(numbers) > 1 else ""  # those in between had stride 1 before
        changed.append((f"stages.{numbers[0]}{span}", stride))
    return [
        f"{' and '.join(part for part, _ in group)} stride {stride}"
        for stride, group in groupby(changed, key=lambda item: item[1])
    ]
