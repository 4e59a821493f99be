"""Adapts a space to images of another size, by the same rule as `arch.adapt` does a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from scalesearch.arch import (
    BLOCKS,
    BlockSpec,
    Resolution,
    adapted_strides,
    ends_in_small_map,
    is_unit_stride_pool,
    last_map_side,
    stem_stride,
    with_small_pool,
)
from scalesearch.errors import InputError
from scalesearch.space.domains import OpenLeaf, Tie


def adapted_units(units: Iterable[Any], resolution: Resolution) -> tuple[Any, ...]:
    """Returns the units with the earliest strides lowered as far as images of `resolution` pixels need.

    Units of a space whose head knows its maps by their strides (detectors) are returned unchanged.

    Raises:
        InputError: If a stride is open, since the rule works on strides, or the images are below 2×2.
    """
    units = list(units)
    layers = [unit for unit in units if unit.part in ("stem", "stages")]
    if any(unit.part == "head" and BLOCKS[unit.kind].keeps_strides for unit in units):
        return tuple(units)
    strides = adapted_strides([_stride(unit) for unit in layers], resolution)
    ends_small = ends_in_small_map([_stride(unit) for unit in layers], resolution)
    prepared = [_without_valid_padding(unit) for unit in layers] if ends_small else layers
    adapted = [
        _with_stride(unit, stride) for unit, stride in zip(prepared, strides) if not _is_dropped_pool(unit, stride)
    ]
    return (
        *adapted,
        *(
            _with_small_pool(unit, last_map_side(strides, resolution)) if unit.part == "head" else unit
            for unit in units
            if unit not in layers
        ),
    )


def _stride(unit: Any) -> int:
    if unit.part == "stages":
        stride = unit.stride
    else:
        stride = unit.blocks[unit.kind].get("stride", stem_stride(BlockSpec(unit.kind)))
    if isinstance(stride, (OpenLeaf, Tie)):
        raise InputError(
            "is open; a space is adapted to the images' size by its strides, so they must be fixed",
            f"{unit.path}.stride",
        )
    return cast(int, stride)


def _without_valid_padding(unit: Any) -> Any:
    """Replaces a fixed padding of 0 by the default, as `arch.without_valid_padding` does for a network."""

    def is_kept(name: str, leaf: Any) -> bool:
        return name.split(".")[-1] != "padding" or leaf != 0 or isinstance(leaf, bool)

    blocks = {
        kind: {name: leaf for name, leaf in args.items() if is_kept(name, leaf)} for kind, args in unit.blocks.items()
    }
    return replace(unit, blocks=blocks)


def _is_dropped_pool(unit: Any, stride: int) -> bool:
    return unit.part == "stem" and is_unit_stride_pool(unit.kind, stride)


def _with_stride(unit: Any, stride: int) -> Any:
    if unit.part == "stages":
        is_dropped = (
            not isinstance(unit.kind, OpenLeaf) and is_unit_stride_pool(unit.kind, stride) and unit.stride != stride
        )
        return replace(unit, stride=stride, **({"kind": "identity", "blocks": {"identity": {}}} if is_dropped else {}))
    overrides = {"stride": stride} if stride != _stride(unit) else {}
    return replace(unit, blocks={unit.kind: {**unit.blocks[unit.kind], **overrides}})


def _with_small_pool(unit: Any, side: int) -> Any:
    args = unit.blocks[unit.kind]
    if isinstance(args.get("pool"), (OpenLeaf, Tie)):
        return unit
    fixed_args = tuple((name, leaf) for name, leaf in args.items() if not isinstance(leaf, (OpenLeaf, Tie)))
    pooled_args = dict(with_small_pool(BlockSpec(unit.kind, fixed_args), side).args)
    return replace(
        unit, blocks={unit.kind: {**args, **({"pool": pooled_args["pool"]} if "pool" in pooled_args else {})}}
    )
