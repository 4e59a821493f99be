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
        return self._after(COUNTERS[op](given, self.shape, shape) if op in COUNTERS else None, shape)

    def _after(self, cost: Counts | None, shape: Any) -> Self:
        tally = self.tape
        if self.loose:  # one less, and one more
            self.loose = False
        else:
            tally.loose += 1
        if cost:
            tally.add(cost)
        return Tallied(tally, shape)  # type: ignore[return-value]

    # Most of a network's time goes through these; what they do the general way comes out the same.
    def conv(self, width, kernel=1, stride=1, *, groups=1, dilation=1, padding=None, bias=False, name="conv"):
        usual = padding is None and dilation == 1
        return (usual and self._usual(width, kernel, stride, groups, bias, False)) or super().conv(
            width, kernel, stride, groups=groups, dilation=dilation, padding=padding, bias=bias, name=name)  # fmt: skip

    def conv_norm(self, width, kernel=1, stride=1, *, groups=1, dilation=1, padding=None, bias=False, act=None,
                  name="", names=("conv", "norm", "act")):  # fmt: skip
        usual = padding is None and dilation == 1
        return (usual and self._usual(width, kernel, stride, groups, bias, True)) or super().conv_norm(
            width, kernel, stride, groups=groups, dilation=dilation, padding=padding, bias=bias, act=act, name=name,
            names=names)  # fmt: skip

    def _usual(self, width, kernel, stride, groups, bias, norm) -> Self | None:
        """What a usual convolution gives, whose odd kernel keeps the map's size; None of any other."""
        rows, columns = kernel if kernel.__class__ is tuple and len(kernel) == 2 else (kernel, kernel)
        if not (rows.__class__ is int and stride.__class__ is int and len(self.shape) == 3):
            return None
        cin, height, side = self.shape
        fits = rows > 0 and columns > 0 and rows % 2 and columns % 2 and 1 <= stride <= height and stride <= side
        if not fits or width < 1 or groups < 1 or cin % groups or width % groups:
            return None
        if stride > 1:
            height, side = -(-height // stride), -(-side // stride)
        counts = conv_counts(cin, width, rows * columns, groups, bias, height * side, norm)
        return self._after(counts, (width, height, side))

    def norm(self, groups=0, name="norm"):
        if groups:
            return super().norm(groups, name)
        return self._after(norm_counts(self.shape[0], prod(self.shape[1:])), self.shape)

    def _itself(self, *_: Any, **__: Any) -> Self:
        """Costs nothing and keeps the shape."""
        return self

    act = dropout = drop_path = softmax = _itself


class Counted(NamedTuple):
    cost: Cost
    out_shape: Shape


def recorded_cost(block: BlockGraph) -> Cost:
    return total_of(layer_cost(layer, block) for layer in block.layers)


@lru_cache(maxsize=1 << 17)
def counted(spec: BlockSpec, in_shapes: tuple[Shape, ...], same: bool = False, stride: int | None = None,
            classes: int | None = None) -> Counted:
    """What a block costs on inputs of these shapes, and the shape of its first output.

    Raises `ShapeError` where shapes don't meet.
    """
    tally = Tally(same)
    outputs: Any = run(spec, [Tallied(tally, shape, False) for shape in in_shapes], stride, classes)
    for tensor in outputs:
        tensor.take()
    if tally.loose:  # of layers that nothing takes the output of, which networks leave out
        return Counted(recorded_cost(record(spec, in_shapes, same, stride, classes)), outputs[0].shape)
    return Counted(total_of(tally.costs), outputs[0].shape)
