"""What name tables are made of: pairs of our layers' names and a peer's.

A family's table is a generator of `(ours, theirs)`: names of layers, or of tensors where the peer has no layer. A table
may speak of layers that a particular network hasn't; those pairs are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from scalesearch.arch import BlockGraph

Pairs = Iterator[tuple[str, str]]
CONV_NORM = {"conv": "0", "norm": "1"}


class Placed(NamedTuple):
    """A block of the stages: its path, the numbers of stage, block in the stage and in the network, and its kind."""

    path: str
    stage: int
    depth: int
    index: int  # type: ignore[assignment]  # as in operators
    graph: BlockGraph

    @property
    def parts(self) -> list[str]:
        """The first names of its layers with weights, in order: `["expand", "depthwise", "se", "project"]`."""
        names = [layer.name for layer in self.graph.layers if has_weights(layer.op)]
        return list(dict.fromkeys(name.split(".")[0] for name in names))


def has_weights(op: object) -> bool:
    return type(op).__name__ in ("Conv", "Linear", "Norm", "LayerNorm", "LayerScale", "Expectation")


def placed(graph) -> list[Placed]:
    """The blocks of the stages in order."""
    found: list[Placed] = []
    for i, stage in enumerate(graph.stages):
        found += [Placed(f"stages.{i}.{j}", i, j, len(found) + j, block) for j, block in enumerate(stage)]
    return found


def under(ours: str, theirs: str, table: Mapping[str, str]) -> Pairs:
    """A table's pairs under a prefix on either side."""
    for name, other in table.items():
        yield f"{ours}.{name}", f"{theirs}.{other}" if theirs else other


def flat(*rows: tuple[str, str]) -> dict[str, str]:
    """conv and norm of parts given as `(part, pattern)`; `{}` in a pattern is "conv" or "norm" in the peer's words."""
    return {f"{part}.{ours}": pattern.format(theirs) for part, pattern in rows for ours, theirs in CONV_NORM.items()}
