"""Matches an architecture with a space: which part belongs to which unit, and what value stands at a leaf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from scalesearch.arch import Arch, Auxiliary, BlockSpec, Stage, leaf_value
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.space.decisions import Unit

Part: TypeAlias = Stage | Auxiliary | BlockSpec


def layouts(units: Iterable[Unit], arch: Arch) -> Iterator[PlainDict]:
    """Yields the ways to assign the parts of `arch` to units: by unit path the part, or None for an absent stage.

    Ways that use the earliest optional stages come first.
    """
    stages = [u for u in units if u.part == "stages"]
    fixed: PlainDict = {}
    for part, specs in (("stem", arch.stem), ("head", (arch.head,)), ("auxiliary", arch.auxiliary)):
        places = [u.path for u in units if u.part == part]
        if len(places) != len(specs):
            return
        fixed |= zip(places, specs)

    def lay_out(u: int, s: int) -> Iterator[PlainDict]:
        if len(stages) - u < len(arch.stages) - s:
            return
        if u == len(stages):
            yield {}
            return
        if s < len(arch.stages) and arch.stages[s].block.kind in stages[u].blocks:
            yield from ({stages[u].path: arch.stages[s]} | rest for rest in lay_out(u + 1, s + 1))
        if stages[u].present is not True:
            yield from ({stages[u].path: None} | rest for rest in lay_out(u + 1, s))

    yield from (fixed | layout for layout in lay_out(0, 0))


def spec_of(part: Part) -> BlockSpec:
    """Returns the block spec of a stage or auxiliary head; a spec itself as it is."""
    return part if isinstance(part, BlockSpec) else part.block


def read_leaf(path: str, layout: PlainMapping, arch: Arch) -> Any:
    """Returns the value that `arch` has at the leaf `path`; None where it has no such leaf.

    `layout` assigns parts to units, as `layouts` yields it.
    """
    unit_path = next((p for p in layout if path.startswith(p + ".")), None)
    if unit_path is None:
        return getattr(arch, path)
    part, rest = layout[unit_path], path[len(unit_path) + 1 :].split(".")
    if rest == ["present"]:
        return part is not None
    if part is None:
        return None
    if rest in (["depth"], ["stride"]):
        return getattr(part, rest[0])
    spec = spec_of(part)
    if rest == ["block"]:
        return spec.kind
    return leaf_value(spec, rest[1:]) if spec.kind == rest[0] else None
