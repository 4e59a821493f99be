"""Adapts a space to images of another size, by the same rule as `arch.adapt` does a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

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
from scalesearch.space.decisions import Leaf, Unit
from scalesearch.space.domains import OpenLeaf, Tie


def adapted_units(units: Iterable[Unit], resolution: Resolution) -> tuple[Unit, ...]:
    """Returns the units with the earliest strides lowered as far as images of `resolution` pixels need.

    Units of a space whose head knows its maps by their strides (detectors) are returned unchanged.

    Raises:
        InputError: If a stride is open, since the rule works on strides, or the images are below 2×2.
    """
    units = tuple(units)
    if any(unit.part == "head" and BLOCKS[unit.kind].keeps_strides for unit in units):
        return units
    layers = [unit for unit in units if unit.part in ("stem", "stages")]
    original_strides = [_stride(unit) for unit in layers]
    strides = adapted_strides(original_strides, resolution)
    if ends_in_small_map(original_strides, resolution):
        layers = [_without_valid_padding(unit) for unit in layers]
    adapted = [
        _with_stride(unit, stride)
        for unit, stride in zip(layers, strides)
        if not (unit.part == "stem" and is_unit_stride_pool(unit.kind, stride))
    ]
    side = last_map_side(strides, resolution)
    heads = [_with_small_pool(unit, side) for unit in units if unit.part == "head"]
    return (*adapted, *heads, *(unit for unit in units if unit.part == "auxiliary"))


def _stride(unit: Unit) -> int:
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


def _without_valid_padding(unit: Unit) -> Unit:
    """Replaces a fixed padding of 0 by the default, as `arch.without_valid_padding` does for a network."""

    def is_kept(name: str, leaf: Leaf) -> bool:
        return name.split(".")[-1] != "padding" or leaf != 0 or isinstance(leaf, bool)

    blocks = {
        kind: {name: leaf for name, leaf in args.items() if is_kept(name, leaf)} for kind, args in unit.blocks.items()
    }
    return replace(unit, blocks=blocks)


def _with_stride(unit: Unit, stride: int) -> Unit:
    if unit.part == "stages":
        if is_unit_stride_pool(unit.kind, stride) and unit.stride != stride:
            return replace(unit, stride=stride, kind="identity", blocks={"identity": {}})
        return replace(unit, stride=stride)
    if stride == _stride(unit):
        return unit
    return replace(unit, blocks={unit.kind: {**unit.blocks[unit.kind], "stride": stride}})


def _with_small_pool(unit: Unit, side: int) -> Unit:
    args = unit.blocks[unit.kind]
    if isinstance(args.get("pool"), (OpenLeaf, Tie)):
        return unit
    fixed_args = tuple((name, leaf) for name, leaf in args.items() if not isinstance(leaf, (OpenLeaf, Tie)))
    pool = with_small_pool(BlockSpec(unit.kind, fixed_args), side).get("pool")
    return unit if pool is None else replace(unit, blocks={unit.kind: {**args, "pool": pool}})
