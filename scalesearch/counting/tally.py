"""A block counted as it runs: no layer is kept, so a network never met before costs a tenth of a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, Self

from scalesearch.arch import BlockGraph, BlockSpec, Shape, SymTensor, record, run
from scalesearch.counting.operators import COUNTERS, Cost, Counts, conv_counts, layer_cost, norm_counts, total_of


class Tally:
    """What the tensors of a block add to: the costs of all layers, and how many tensors no layer has taken yet."""

    __slots__ = ("add", "costs", "loose", "same")

    def __init__(self, same: bool):
        self.costs: list[Counts] = []
        self.add, self.same, self.loose = self.costs.append, same, 0


class Tallied(SymTensor):
    """A tensor that says what it costs as it is made; `loose` until a layer takes it."""

    __slots__ = ("loose",)

    def __init__(self, tape: Tally, shape: Shape, loose: bool = True):
        self.tape, self.shape, self.loose = tape, shape, loose

    def take(self) -> None:
        if self.loose:
            self.loose = False
            self.tape.loose -= 1

    def _record(self, op: type, given: tuple, name: str, shape: Any, others: Sequence[Self] = ()) -> Self:
        for other in others:
            if other.loose:
                other.take()
        counter = COUNTERS.get(op)
        return self._after(counter and counter(given, self.shape, shape), shape)

    def _after(self, cost: Counts | None, shape: Any) -> Self:
        tally = self.tape
        if cost:
            tally.add(cost)
        if self.loose:  # one less, and one more
            self.loose = False
        else:
            tally.loose += 1
        return Tallied(tally, shape)  # type: ignore[return-value]

    # Most of a network's time goes through these; what they do the general way comes out the same.
    def conv(self, width, kernel=1, stride=1, *, groups=1, dilation=1, padding=None, bias=False, name="conv"):
        if padding is None and dilation == 1 and (usual := self._usual(width, kernel, stride, groups, bias, False)):
            return usual
        return super().conv(
            width, kernel, stride, groups=groups, dilation=dilation, padding=padding, bias=bias, name=name
        )

    def conv_norm(
        self,
        width,
        kernel=1,
        stride=1,
        *,
        groups=1,
        dilation=1,
        padding=None,
        bias=False,
        act=None,
        name="",
        names=("conv", "norm", "act"),
    ):
        if padding is None and dilation == 1 and (usual := self._usual(width, kernel, stride, groups, bias, True)):
            return usual
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

    def _usual(self, width, kernel, stride, groups, bias, norm) -> Self | None:
        """What a usual convolution gives, whose odd kernel keeps the map's size; None of any other."""
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
        if self.loose:  # as in `_after`
            self.loose = False
        else:
            tally.loose += 1
        return Tallied(tally, (width, height, side))  # type: ignore[return-value]

    def norm(self, groups=0, name="norm"):
        if groups:
            return super().norm(groups, name)
        shape = self.shape
        pixels = shape[1] * shape[2] if len(shape) == 3 else prod(shape[1:])
        return self._after(norm_counts(shape[0], pixels), shape)

    def __add__(self, other):
        if self.shape != other.shape:
            return super().__add__(other)
        if other.loose:
            other.take()
        return self._after(None, self.shape)

    def _itself(self, _: Any = None, name: str = "") -> Self:
        """Costs nothing and keeps the shape."""
        return self

    act = dropout = drop_path = softmax = _itself  # type: ignore[assignment]


class Counted(NamedTuple):
    cost: Cost
    out_shape: Shape


def recorded_cost(block: BlockGraph) -> Cost:
    return total_of(layer_cost(layer, block) for layer in block.layers)


@lru_cache(maxsize=1 << 17)
def counted(
    spec: BlockSpec,
    in_shapes: tuple[Shape, ...],
    same: bool = False,
    stride: int | None = None,
    classes: int | None = None,
    times: int = 1,
) -> Counted:
    """What a block costs on inputs of these shapes, and the shape of its first output.

    With `times`, that many of them in a row, the others with stride 1. Raises `ShapeError` where shapes don't meet.
    """
    tally = Tally(same)
    outputs: Any = run(spec, [Tallied(tally, shape, False) for shape in in_shapes], stride, classes)
    left = times
    while left > 1:
        outputs[0].take()
        outputs, left = run(spec, outputs[:1], 1, classes), left - 1
    for tensor in outputs:
        tensor.take()
    if tally.loose:  # of layers that nothing takes the output of, which networks leave out
        return Counted(_recorded(spec, in_shapes, same, stride, classes, times), outputs[0].shape)
    return Counted(total_of(tally.costs), outputs[0].shape)


def _recorded(
    spec: BlockSpec, in_shapes: tuple[Shape, ...], same: bool, stride: int | None, classes: int | None, times: int
) -> Cost:
    costs = []
    for _ in range(times):
        graph = record(spec, in_shapes, same, stride, classes)
        costs.append(recorded_cost(graph))
        in_shapes, stride = (graph.out_shape,), 1
    return total_of(costs)
