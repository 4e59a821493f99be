"""A block's layers, kept as it runs: its graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from scalesearch.arch.graph import Layer
from scalesearch.arch.operators import Shape
from scalesearch.arch.symbolic import SymTensor


class Tape:
    """What a block's tensors record on, and what the names of the layers begin with at the moment."""

    __slots__ = ("layers", "prefix", "same")

    def __init__(self, same: bool):
        self.layers: list[Layer] = []
        self.same, self.prefix = same, ""


class Recorded(SymTensor):
    """A tensor whose every method puts a layer on the tape; `index` is that of the layer which it comes from."""

    __slots__ = ("index",)

    def __init__(self, tape: Tape, shape: Shape, index: int):
        super().__init__(tape, shape)
        self.index = index

    def _record(self, op: type, given: tuple, name: str, shape: Any, others: Sequence[Self] = ()) -> Self:
        tape = self.tape
        number = len(tape.layers)
        name = name or f"{op.__name__.lower()}{number}"
        tape.layers.append(Layer(op(*given), tape.prefix + name, (self.index, *[o.index for o in others]), shape))
        return type(self)(tape, shape, number)

    def inside(self, *names: str | int) -> AbstractContextManager[None]:
        return _Inside(self.tape, ".".join(map(str, names)))


class _Inside:
    __slots__ = ("before", "name", "tape")

    def __init__(self, tape: Tape, name: str):
        self.tape, self.name, self.before = tape, name, tape.prefix

    def __enter__(self) -> None:
        self.tape.prefix = f"{self.before}{self.name}."

    def __exit__(self, *_: object) -> None:
        self.tape.prefix = self.before
