"""Blocks as graphs of typed layers, which are counted, built, exported and drawn.

Shapes leave the batch out: `(channels, height, width)` for maps, `(features,)` for vectors.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

from scalesearch.arch import operators as ops
from scalesearch.arch.operators import Shape

IN_PLACE_ACTIVATIONS = ("relu", "relu6", "leaky_relu")  # their backward pass needs only the output


class ShapeError(ValueError):
    """Raised where shapes do not fit together; `place` is where in the network, as `stages[2]`."""

    place = ""


class TooSmall(ShapeError):
    """Raised where a map is too small for a kernel or stride; a larger resolution helps."""


class Layer(NamedTuple):
    """One operator with its wiring, in execution order.

    `inputs` are the numbers of earlier layers; -1, -2, … are the block's inputs. `shape` is that of the output, a
    tuple of shapes for operators with several outputs.
    """

    op: Any
    name: str
    inputs: tuple[int, ...]
    shape: Any


def structure_digest(*parts: object) -> str:
    """Returns 64 hex digits (SHA-256 of their `repr`) that identify `parts`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class BlockGraph:
    """The layers that one block records for the shapes of its inputs.

    `outputs` are numbers of layers (or of inputs, below 0); a head may have several.
    """

    kind: str
    in_shapes: tuple[Shape, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]

    def shape_of(self, index: int) -> Any:
        """Returns the shape of layer `index`; -1, -2, … are the inputs."""
        return self.in_shapes[-1 - index] if index < 0 else self.layers[index].shape

    @property
    def in_shape(self) -> Shape:
        """Returns the shape of the first input."""
        return self.in_shapes[0]

    @property
    def out_shape(self) -> Shape:
        """Returns the shape of the first output."""
        return cast(tuple[int, ...], self.shape_of(self.outputs[0]))

    @cached_property
    def digest(self) -> str:
        """Returns hex digits that identify the structure: operators, wiring and shapes.

        Names of layers and the order of terms in a sum or product do not count.
        """
        values = [f"input {i} {shape}" for i, shape in enumerate(self.in_shapes)]
        terms: dict[int, list[str]] = {}  # of each sum, nested sums flattened
        nodes: list[str] = []

        def value_of(i: int) -> str:
            return values[-1 - i] if i < 0 else nodes[i]

        for i, layer in enumerate(self.layers):
            inputs = [value_of(j) for j in layer.inputs]
            if isinstance(layer.op, ops.Add):
                terms[i] = sorted(term for j in layer.inputs for term in terms.get(j, [value_of(j)]))
                inputs = terms[i]
            elif isinstance(layer.op, ops.Mul):
                inputs.sort()
            nodes.append(structure_digest(type(layer.op).__name__, tuple(layer.op), inputs, layer.shape))
        computing = sorted(node for layer, node in zip(self.layers, nodes) if not isinstance(layer.op, ops.Add))
        return structure_digest(self.in_shapes, computing, [value_of(i) for i in self.outputs])

    @cached_property
    def in_place(self) -> frozenset[int]:
        """Returns the numbers of the activations that may overwrite their input.

        Nothing else takes that input, and no backward pass needs it.
        """
        uses = Counter(i for layer in self.layers for i in layer.inputs) + Counter(self.outputs)
        return frozenset(
            i
            for i, (op, _, (source, *_), _) in enumerate(self.layers)
            if isinstance(op, ops.Act)
            and op.fn in IN_PLACE_ACTIVATIONS
            and source >= 0
            and uses[source] == 1
            and isinstance(self.layers[source].op, (ops.Conv, ops.Norm, ops.Linear, ops.Add))
        )


def without_dead_layers(block: BlockGraph) -> BlockGraph:
    """Returns the block without the layers whose output nothing takes."""
    used, layers = set(block.outputs), block.layers
    for i in reversed(range(len(layers))):
        if i in used:
            used.update(layers[i].inputs)
    live_indices = [i for i in range(len(layers)) if i in used]
    if len(live_indices) == len(layers):
        return block
    new_index = {old: new for new, old in enumerate(live_indices)}  # of layers; the inputs keep theirs
    rewired = (layers[i]._replace(inputs=tuple(new_index.get(j, j) for j in layers[i].inputs)) for i in live_indices)
    return BlockGraph(block.kind, block.in_shapes, tuple(rewired), tuple(new_index.get(i, i) for i in block.outputs))
