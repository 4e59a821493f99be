"""Building blocks of name tables, which pair the names of our layers with those of another library.

A family's table is a generator of `(ours, theirs)`: names of layers, or of tensors where the other library
has no layer. A table may contain layers that a particular network does not have; those pairs are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from scalesearch import yamlfile
from scalesearch.arch import BlockGraph, Graph
from scalesearch.plain_data import PlainDict

Pairs = Iterator[tuple[str, str]]
# The tables of `tensor_names.yaml`, by library.
TENSOR_NAMES: dict[str, PlainDict] = yamlfile.read(Path(__file__).with_name("tensor_names.yaml")).data
CONV_NORM = {"conv": "0", "norm": "1"}
CONV_BN = {"conv": "conv", "norm": "bn"}


class PlacedBlock(NamedTuple):
    """A block of the stages.

    Attributes:
        path: Its path, `stages.2.0`.
        stage: The number of its stage.
        depth: Its number in the stage.
        index: Its number among all blocks of the stages.
        graph: Its layers.
    """

    path: str
    stage: int
    depth: int
    index: int  # type: ignore[assignment]  # as in operators
    graph: BlockGraph

    @property
    def parts(self) -> list[str]:
        """Returns the first part of the names of its layers with weights, in order: `["expand", "depthwise", "se"]`."""
        names = [layer.name for layer in self.graph.layers if has_weights(layer.op)]
        return list(dict.fromkeys(name.split(".")[0] for name in names))


def has_weights(op: object) -> bool:
    """Returns whether an operator has weights or buffers."""
    return type(op).__name__ in ("Conv", "Linear", "Norm", "LayerNorm", "LayerScale", "Expectation")


def placed_blocks(graph: Graph) -> list[PlacedBlock]:
    """Returns the blocks of the stages of a `Graph`, in order."""
    blocks: list[PlacedBlock] = []
    for i, stage in enumerate(graph.stages):
        blocks += [PlacedBlock(f"stages.{i}.{j}", i, j, len(blocks) + j, block) for j, block in enumerate(stage)]
    return blocks


def prefixed(ours: str, theirs: str, table: Mapping[str, str]) -> Pairs:
    """Yields a table's pairs with a prefix on either side."""
    for name, other in table.items():
        yield f"{ours}.{name}", f"{theirs}.{other}" if theirs else other
