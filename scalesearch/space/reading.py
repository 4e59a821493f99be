"""Reading an architecture against a space: which of its parts stands where, and what stands at a leaf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scalesearch.arch import Arch, Auxiliary, BlockSpec, Stage, value_at


def embeddings(units: Iterable[Any], arch: Arch) -> Iterator[dict[str, Any]]:
    """Ways to lay the parts of `arch` over the units, the earliest optional stages taken first."""
    stages = [u for u in units if u.part == "stages"]
    fixed: dict[str, Any] = {}
    for part, specs in (("stem", arch.stem), ("head", (arch.head,)), ("auxiliary", arch.auxiliary)):
        places = [u.path for u in units if u.part == part]
        if len(places) != len(specs):
            return
        fixed |= zip(places, specs)

    def lay(u: int, s: int) -> Iterator[dict[str, Any]]:
        if len(stages) - u < len(arch.stages) - s:
            return
        if u == len(stages):
            yield {}
            return
        if s < len(arch.stages) and arch.stages[s].block.kind in stages[u].blocks:
            yield from ({stages[u].path: arch.stages[s]} | rest for rest in lay(u + 1, s + 1))
        if stages[u].present is not True:
            yield from ({stages[u].path: None} | rest for rest in lay(u + 1, s))

    yield from (fixed | placed for placed in lay(0, 0))


def spec_of(part: Stage | Auxiliary | BlockSpec) -> BlockSpec:
    return part if isinstance(part, BlockSpec) else part.block


def read_leaf(path: str, placed: Mapping[str, Any], arch: Arch) -> Any:
    """The value that stands in `arch` at a leaf's path."""
    unit_path = next((p for p in placed if path.startswith(p + ".")), None)
    if unit_path is None:
        return getattr(arch, path)
    part, rest = placed[unit_path], path[len(unit_path) + 1 :].split(".")
    if rest == ["present"]:
        return part is not None
    if part is None:
        return None
    if rest in (["depth"], ["stride"]):
        return getattr(part, rest[0])
    if rest == ["block"]:
        return spec_of(part).kind
    spec = spec_of(part)
    return value_at(spec, rest[1:]) if spec.kind == rest[0] else None
