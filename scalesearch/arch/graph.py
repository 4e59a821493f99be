"""Blocks as graphs of typed layers: what is counted, built, exported and drawn.

Shapes leave the batch out: `(channels, height, width)` for maps, `(features,)` for vectors.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from scalesearch.arch import operators as ops
from scalesearch.arch.operators import Shape

OVERWRITES = ("relu", "relu6", "leaky_relu")  # their backward pass needs the output alone


class ShapeError(ValueError):
    """Shapes that don't meet; `place` is where in the network."""

    place = ""


class TooSmall(ShapeError):
    """A map too small for what is asked of it: a larger resolution helps."""


class Layer(NamedTuple):
    """One operator in execution order; `inputs` are indices of earlier layers, -1, -2 … the block's inputs."""

    op: Any
    name: str
    inputs: tuple[int, ...]
    shape: Any


def named_structure(*parts: Any) -> str:
    """64 hex digits that name `parts`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class BlockGraph:
    """What one block records for the shapes of its inputs; a head may have several outputs."""

    kind: str
    in_shapes: tuple[Shape, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]

    def shape_of(self, index: int) -> Any:
        return self.in_shapes[-1 - index] if index < 0 else self.layers[index].shape

    @property
    def in_shape(self) -> Shape:
        """Of the first input."""
        return self.in_shapes[0]

    @property
    def out_shape(self) -> Shape:
        """Of the first output."""
        return self.shape_of(self.outputs[0])

    @cached_property
    def digest(self) -> str:
        """Names the structure: operators, wiring and shapes, not the layers' names nor the order in a sum."""
        values = [f"input {i} {shape}" for i, shape in enumerate(self.in_shapes)]
        terms: dict[int, list[str]] = {}  # of sums, those inside taken apart
        nodes: list[str] = []

        def named(i):
            return values[-1 - i] if i < 0 else nodes[i]

        for i, layer in enumerate(self.layers):
            inputs = [named(j) for j in layer.inputs]
            if isinstance(layer.op, ops.Add):
                terms[i] = sorted(term for j in layer.inputs for term in terms.get(j, [named(j)]))
                inputs = terms[i]
            elif isinstance(layer.op, ops.Mul):
                inputs.sort()
            nodes.append(named_structure(type(layer.op).__name__, tuple(layer.op), inputs, layer.shape))
        computing = sorted(node for layer, node in zip(self.layers, nodes) if not isinstance(layer.op, ops.Add))
        return named_structure(self.in_shapes, computing, [named(i) for i in self.outputs])

    @cached_property
    def in_place(self) -> frozenset[int]:
        """Activations that may overwrite their input: nothing else takes it, and no backward pass needs it."""
        uses = Counter(i for layer in self.layers for i in layer.inputs) + Counter(self.outputs)
        return frozenset(
            i
            for i, (op, _, (source, *_), _) in enumerate(self.layers)
            if isinstance(op, ops.Act)
            and op.fn in OVERWRITES
            and source >= 0
            and uses[source] == 1
            and isinstance(self.layers[source].op, (ops.Conv, ops.Norm, ops.Linear, ops.Add))
        )


def live(block: BlockGraph) -> BlockGraph:
    """The block without the layers that nothing takes the output of."""
    used, layers = set(block.outputs), block.layers
    for i in reversed(range(len(layers))):
        if i in used:
            used.update(layers[i].inputs)
    if all(i in used for i in range(len(layers))):
        return block
    kept = [i for i in range(len(layers)) if i in used]
    moved = {old: new for new, old in enumerate(kept)} | {-1 - i: -1 - i for i in range(len(block.in_shapes))}
    rewired = tuple(layers[i]._replace(inputs=tuple(moved[j] for j in layers[i].inputs)) for i in kept)
    return BlockGraph(block.kind, block.in_shapes, rewired, tuple(moved[i] for i in block.outputs))
