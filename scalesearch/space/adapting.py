"""A space brought to images of another size, by the rule that `adapting.adapt` has for networks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from scalesearch.arch import (
    BLOCKS,
    BlockSpec,
    Resolution,
    adapted_strides,
    falls_away,
    has_no_border_to_spare,
    last_map,
    stem_stride,
    with_small_pool,
)
from scalesearch.errors import InputError
from scalesearch.space.domains import Open, Tie


def adapted_units(units: Iterable[Any], resolution: Resolution) -> tuple[Any, ...]:
    """The units of a space with the earliest strides set to 1, as many as images of `resolution` pixels ask for; those
    of detectors as they are.

    Raises `InputError` where a stride is open, since the rule is about strides.
    """
    units = list(units)
    layers = [unit for unit in units if unit.part in ("stem", "stages")]
    if any(unit.part == "head" and BLOCKS[unit.kind].keeps_strides for unit in units):
        return tuple(units)
    strides = adapted_strides([_stride(unit) for unit in layers], resolution)
    small = has_no_border_to_spare([_stride(unit) for unit in layers], resolution)
    fitted = [_padded(unit) for unit in layers] if small else layers
    restrided = [_restrided(unit, stride) for unit, stride in zip(fitted, strides) if not _gone(unit, stride)]
    return (
        *restrided,
        *(
            _small_pool(unit, last_map(strides, resolution)) if unit.part == "head" else unit
            for unit in units
            if unit not in layers
        ),
    )


def _stride(unit: Any) -> int:
    if unit.part == "stages":
        stride = unit.stride
    else:
        stride = unit.blocks[unit.kind].get("stride", stem_stride(BlockSpec(unit.kind)))
    if isinstance(stride, (Open, Tie)):
        raise InputError(
            "is open; a space is adapted to the images' size by its strides, so they must be fixed",
            f"{unit.path}.stride",
        )
    return stride


def _padded(unit: Any) -> Any:
    """As `adapting.padded` does for a network: a fixed padding of 0 becomes the usual one."""

    def keeps(name, leaf):
        return name.split(".")[-1] != "padding" or leaf != 0 or isinstance(leaf, bool)

    blocks = {
        kind: {name: leaf for name, leaf in args.items() if keeps(name, leaf)} for kind, args in unit.blocks.items()
    }
    return replace(unit, blocks=blocks)


def _gone(unit: Any, stride: int) -> bool:
    return unit.part == "stem" and falls_away(unit.kind, stride)


def _restrided(unit: Any, stride: int) -> Any:
    if unit.part == "stages":
        pooled_away = not isinstance(unit.kind, Open) and falls_away(unit.kind, stride) and unit.stride != stride
        return replace(unit, stride=stride, **({"kind": "identity", "blocks": {"identity": {}}} if pooled_away else {}))
    changed = {"stride": stride} if stride != _stride(unit) else {}
    return replace(unit, blocks={unit.kind: {**unit.blocks[unit.kind], **changed}})


def _small_pool(unit: Any, side: int) -> Any:
    args = unit.blocks[unit.kind]
    if isinstance(args.get("pool"), (Open, Tie)):
        return unit
    fixed = tuple((name, leaf) for name, leaf in args.items() if not isinstance(leaf, (Open, Tie)))
    small = dict(with_small_pool(BlockSpec(unit.kind, fixed), side).args)
    return replace(unit, blocks={unit.kind: {**args, **({"pool": small["pool"]} if "pool" in small else {})}})
