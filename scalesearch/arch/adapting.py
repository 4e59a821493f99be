"""One rule that brings every network, hand-built or found, to the size of the data's images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from scalesearch.arch.arch import Arch, BlockSpec, Resolution, sides
from scalesearch.arch.blocks.registry import BLOCKS, block, normal_form, with_leaves
from scalesearch.errors import InputError
from scalesearch.signature import fields_of

SMALLEST_MAP = 2


def adapted_strides(strides: Sequence[int], resolution: Resolution, smallest_map: int = SMALLEST_MAP) -> list[int]:
    """`strides`, the earliest of them lowered, to 1 if need be, until a map of `smallest_map` pixels is left at the
    end, of images that aren't square along their shorter side.

    This is what people do by hand when an ImageNet network meets small images (He et al. 2015, §4.2, for CIFAR-10).
    Raises `InputError` for images smaller than that map.
    """
    side = min(sides(resolution))
    if side < smallest_map:
        raise InputError(
            f"{side} is too small; networks end in maps of at least {smallest_map}×{smallest_map}", "resolution"
        )
    adapted, total = list(strides), 1
    for stride in strides:
        total *= stride
    for i, stride in enumerate(strides):
        if total * smallest_map <= side:
            break
        rest = total // stride
        divisors = [d for d in range(stride, 0, -1) if stride % d == 0]
        adapted[i] = next((d for d in divisors if rest * d * smallest_map <= side), 1)
        total = rest * adapted[i]
    return adapted


def stem_stride(spec: BlockSpec) -> int:
    field = fields_of(BLOCKS[spec.kind].function).get("stride")
    return spec.get("stride", field.default) if field else 1


def with_stride(spec: BlockSpec, stride: int) -> BlockSpec:
    return spec if stem_stride(spec) == stride else normal_form(spec.kind, dict(spec.args) | {"stride": stride})


def has_no_border_to_spare(strides: Sequence[int], resolution: Resolution) -> bool:
    """Whether the last maps would be so small that "valid" padding has to go: below 4×4."""
    return min(sides(resolution)) < 4 * math.prod(strides)


def padded(spec: BlockSpec) -> BlockSpec:
    """Convolutions and pools that eat the border of their map (Inception's "valid" ones) keep it: small maps have none
    to spare."""
    return with_leaves(spec, lambda field, value: None if field.name == "padding" and value == 0 else value)


def falls_away(kind: str, stride: int) -> bool:
    """A pool that no longer reduces anything."""
    return kind in ("max_pool", "avg_pool") and stride == 1


def with_small_pool(head: BlockSpec, side: int) -> BlockSpec:
    """A head that looks at a fixed map (VGG's 7×7) looks at no larger one than there is."""
    fields = fields_of(BLOCKS[head.kind].function)
    if "pool" not in fields:
        return head
    pool = min(head.get("pool", fields["pool"].default), max(1, side // 2))
    return block(head.kind, "head", **dict(head.args) | {"pool": pool})


def last_map(strides: Sequence[int], resolution: Resolution) -> int:
    """The shorter side of the map that is left."""
    side = min(sides(resolution))
    for stride in strides:
        side = -(-side // stride)
    return side


def adapt(arch: Arch, *, resolution: Resolution, classes: int, channels: int = 3) -> Arch:
    """`arch` for images of `resolution` pixels, `channels` channels and `classes` classes.

    A network whose strides already leave a map of 2×2 keeps them all; where maps become small, "valid" padding goes.
    Detectors keep their strides, which their maps are known by. Raises `InputError` for images smaller than 2×2.
    """
    if BLOCKS[arch.head.kind].keeps_strides:
        return arch.with_(resolution=resolution, classes=classes, channels=channels)
    strides = [stem_stride(spec) for spec in arch.stem] + [stage.stride for stage in arch.stages]
    adapted = adapted_strides(strides, resolution)
    fitted = padded if has_no_border_to_spare(strides, resolution) else lambda spec: spec
    stem = [with_stride(fitted(spec), s) for spec, s in zip(arch.stem, adapted) if not falls_away(spec.kind, s)]
    stages = [
        replace(
            stage,
            stride=s,
            block=block("identity") if falls_away(stage.block.kind, s) and s != stage.stride else fitted(stage.block),
        )
        for stage, s in zip(arch.stages, adapted[len(arch.stem) :])
    ]
    return arch.with_(
        resolution=resolution,
        classes=classes,
        channels=channels,
        stem=tuple(stem),
        stages=tuple(stages),
        head=with_small_pool(arch.head, last_map(adapted, resolution)),
    )
