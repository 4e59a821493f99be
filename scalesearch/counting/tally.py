"""Counts a block while it runs, without recording layers: a new network takes a tenth of a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, Self

from scalesearch.arch import BlockGraph, BlockSpec, Padding, Shape, SymTensor, Window, record_block, run_block
from scalesearch.counting.operators import COST_FORMULAS, Cost, Counts, conv_counts, layer_cost, norm_counts, total_cost


class Tally:
    """Accumulates the cost of all layers of a block, and counts the tensors that no layer has used as input yet.

    `add` appends to `costs`; `same` is whether convolutions pad as TensorFlow's "same".
    """

    __slots__ = ("add", "costs", "same", "unconsumed")

    def __init__(self, same: bool):
        self.costs: list[Counts] = []
        self.add, self.same, self.unconsumed = self.costs.append, same, 0


class CostTensor(SymTensor):
    """A symbolic tensor that adds each layer's cost to a `Tally`; `unconsumed` until a layer uses it as input."""

    __slots__ = ("unconsumed",)

    def __init__(self, tape: Tally, shape: Shape, unconsumed: bool = True):
        self.tape, self.shape, self.unconsumed = tape, shape, unconsumed

    def consume(self) -> None:
        """Marks this tensor as used by a layer."""
        if self.unconsumed:
            self.unconsumed = False
            self.tape.unconsumed -= 1

    def _record(
        self, op: type, arguments: tuple[object, ...], name: str, shape: Any, inputs: Sequence[Self] = ()
    ) -> Self:
        for tensor in inputs:
            if tensor.unconsumed:
                tensor.consume()
        formula = COST_FORMULAS.get(op)
        return self._output(formula and formula(arguments, self.shape, shape), shape)

    def _output(self, cost: Counts | None, shape: Any) -> Self:
        tally = self.tape
        if cost:
            tally.add(cost)
        if self.unconsumed:  # this one is used now, its output not yet
            self.unconsumed = False
        else:
            tally.unconsumed += 1
        return CostTensor(tally, shape)  # type: ignore[return-value]

    # Fast paths for the most frequent layers; the general methods give the same counts.
    def conv(
        self,
        width: int,
        kernel: Window = 1,
        stride: Window = 1,
        *,
        groups: int = 1,
        dilation: Window = 1,
        padding: Padding | None = None,
        bias: bool = False,
        name: str = "conv",
    ) -> Self:
        if (
            padding is None
            and dilation == 1
            and (output := self._common_conv(width, kernel, stride, groups, bias, False))
        ):
            return output
        return super().conv(
            width, kernel, stride, groups=groups, dilation=dilation, padding=padding, bias=bias, name=name
        )

    def conv_norm(
        self,
        width: int,
        kernel: Window = 1,
        stride: Window = 1,
        *,
        groups: int = 1,
        dilation: Window = 1,
        padding: Padding | None = None,
        bias: bool = False,
        act: str | None = None,
        name: str = "",
        names: tuple[str, str, str] = ("conv", "norm", "act"),
    ) -> Self:
        if (
            padding is None
            and dilation == 1
            and (output := self._common_conv(width, kernel, stride, groups, bias, True))
        ):
            return output
        return super().conv_norm(
            width,
            kernel,
            stride,
            groups=groups,
            dilation=dilation,
            padding=padding,
            bias=bias,
            act=act,
            name=name,
            names=names,
        )

    def _common_conv(
        self, width: int, kernel: Window, stride: Window, groups: int, bias: bool, norm: bool
    ) -> Self | None:
        """Returns the output of a common convolution (odd kernel, size-keeping padding); None for any other."""
        try:
            cin, height, side = self.shape
            if kernel.__class__ is int:
                rows = columns = kernel
            else:
                rows, columns = kernel if kernel.__class__ is tuple else ()
        except (TypeError, ValueError):
            return None
        if rows < 1 or columns < 1 or not (rows & columns & 1) or width < 1:
            return None
        if groups != 1 and (groups < 1 or cin % groups or width % groups):
            return None
        if stride != 1:
            if stride.__class__ is not int or not 1 < stride <= height or stride > side:
                return None
            height, side = -(-height // stride), -(-side // stride)
        tally = self.tape
        tally.add(conv_counts(cin, width, rows * columns, groups, bias, height * side, norm))
        if self.unconsumed:  # as in `_output`
            self.unconsumed = False
        else:
            tally.unconsumed += 1
        return CostTensor(tally, (width, height, side))  # type: ignore[return-value]

    def norm(self, groups: int = 0, name: str = "norm") -> Self:
        if groups:
            return super().norm(groups, name)
        shape = self.shape
        pixels = shape[1] * shape[2] if len(shape) == 3 else prod(shape[1:])
        return self._output(norm_counts(shape[0], pixels), shape)

    def __add__(self, other: Self) -> Self:
        if self.shape != other.shape:
            return super().__add__(other)
        if other.unconsumed:
            other.consume()
        return self._output(None, self.shape)

    def _unchanged(self, _: object = None, name: str = "") -> Self:
        """Returns this tensor: the layer costs nothing and keeps the shape."""
        return self

    act = dropout = drop_path = softmax = _unchanged  # type: ignore[assignment]


class BlockCount(NamedTuple):
    """Holds the cost of a block and the shape of its first output, without the batch."""

    cost: Cost
    out_shape: Shape


def uncached_block_cost(block: BlockGraph) -> Cost:
    """Returns the cost of a recorded block; `block_cost` is the cached version."""
    return total_cost(layer_cost(layer, block) for layer in block.layers)


@lru_cache(maxsize=1 << 17)
def count_block(
    spec: BlockSpec,
    in_shapes: tuple[Shape, ...],
    same: bool = False,
    stride: int | None = None,
    classes: int | None = None,
    times: int = 1,
) -> BlockCount:
    """Returns the cost of a block on inputs of these shapes, and the shape of its first output.

    Args:
        spec: The block.
        in_shapes: The shape of each input, without the batch.
        same: Whether convolutions pad as TensorFlow's "same".
        stride: The stride of the (first) block, where it takes one.
        classes: The number of classes, for heads.
        times: Counts this many blocks in a row; those after the first have stride 1.

    Raises:
        ShapeError: If the shapes do not meet.
    """
    tally = Tally(same)
    outputs: Any = run_block(spec, [CostTensor(tally, shape, False) for shape in in_shapes], stride, classes)
    remaining = times
    while remaining > 1:
        outputs[0].consume()
        outputs, remaining = run_block(spec, outputs[:1], 1, classes), remaining - 1
    for tensor in outputs:
        tensor.consume()
    if tally.unconsumed:  # networks leave out layers whose output nothing uses, so count the graph
        return BlockCount(_cost_from_graphs(spec, in_shapes, same, stride, classes, times), outputs[0].shape)
    return BlockCount(total_cost(tally.costs), outputs[0].shape)


def _cost_from_graphs(
    spec: BlockSpec, in_shapes: tuple[Shape, ...], same: bool, stride: int | None, classes: int | None, times: int
) -> Cost:
    costs = []
    for _ in range(times):
        graph = record_block(spec, in_shapes, same, stride, classes)
        costs.append(uncached_block_cost(graph))
        in_shapes, stride = (graph.out_shape,), 1
    return total_cost(costs)
