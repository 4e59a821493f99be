"""A block counted as it runs: no layer is kept, so a network never met before costs a tenth of a millisecond."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, Self

from scalesearch.arch import BlockGraph, BlockSpec, Shape, SymTensor, run
from scalesearch.counting.operators import COUNTERS, Cost, Counts, conv_counts, layer_cost, norm_counts, total_of


class Tally:
    """What the tensors of a block add to: the costs of all layers, and how many tensors no layer has taken yet."""

    __slots__ = ("add", "costs", "loose", "same")

    def __init__(self, same: bool):
        self.costs: list[Counts] = []
        self.add, self.same, self.loose = self.costs.append, same, 0


class Tallied(SymTensor):
    """A tensor that knows what it costs, given its `parents` which it is made of; `loose` until a layer takes it."""

    __slots__ = ("cost", "loose", "parents")

    def __init__(self, tape: Tally, shape: Shape, cost: Counts | None = None, parents: tuple[Tallied, ...] = ()):
        self.tape, self.shape, self.cost, self.parents, self.loose = tape, shape, cost, parents, True
        tape.loose += 1

    def take(self) -> None:
        if self.loose:
            self.loose = False
            self.tape.loose -= 1

    def _record(self, op: type, given: tuple, name: str, shape: Any, others: Sequence[Self] = ()) -> Self:
        for other in others:
            other.take()
        cost = COUNTERS[op](given, self.shape, shape) if op in COUNTERS else None
        return self._after(cost, shape, others)

    def _after(self, cost: Counts | None, shape: Any, others: Sequence[Self] = ()) -> Self:
        tally = self.tape
        if self.loose:
            self.loose = False
            tally.loose -= 1
        if cost:
            tally.add(cost)
        return Tallied(tally, shape, cost, (self, *others) if others else (self,))  # type: ignore[return-value]

    # Most of a network's time goes through these; what they do the general way comes out the same.
    def conv(self, width, kernel=1, stride=1, *, groups=1, dilation=1, padding=None, bias=False, name="conv"):
        if padding is None and dilation == 1 and (fitted := self._fitted(width, kernel, stride, groups)):
            shape, pixels = fitted
            return self._after(conv_counts(self.shape[0], width, kernel * kernel, groups, bias, pixels), shape)
        return super().conv(width, kernel, stride, groups=groups, dilation=dilation, padding=padding, bias=bias,
                            name=name)  # fmt: skip

    def conv_norm(self, width, kernel=1, stride=1, *, groups=1, act=None, name=""):
        if not (fitted := self._fitted(width, kernel, stride, groups)):
            return super().conv_norm(width, kernel, stride, groups=groups, act=act, name=name)
        shape, pixels = fitted
        params, macs, acts, total = conv_counts(self.shape[0], width, kernel * kernel, groups, False, pixels)
        more, _, _, norms = norm_counts(width, pixels)
        return self._after((params + more, macs, acts, total + norms), shape)

    def _fitted(self, width, kernel, stride, groups):
        """The shape and the pixels of what a usual convolution gives: an odd square kernel keeps the map's size."""
        if kernel.__class__ is int and stride.__class__ is int and len(self.shape) == 3:
            cin, height, side = self.shape
            fits = kernel > 0 and kernel % 2 and 1 <= stride <= height and stride <= side and width > 0 and groups > 0
            if fits and not (cin % groups or width % groups):
                height, side = -(-height // stride), -(-side // stride)
                return (width, height, side), height * side
        return None

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
    inputs = [Tallied(tally, shape) for shape in in_shapes]
    outputs: Any = run(spec, inputs, stride, classes)
    for tensor in (*inputs, *outputs):
        tensor.take()
    return Counted(total_of(_needed(outputs) if tally.loose else tally.costs), outputs[0].shape)


def _needed(outputs: Iterable[Tallied]) -> list[Counts]:
    """The costs of what the outputs are made of: networks leave out layers that nothing takes the output of."""
    found = list(dict.fromkeys(outputs))
    seen = set(found)
    for tensor in found:
        found += (new := set(tensor.parents) - seen)
        seen |= new
    return [tensor.cost for tensor in found if tensor.cost]
