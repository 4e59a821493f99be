"""Tensors that record the layers of a block as it runs; the record is the block's graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from scalesearch.arch.graph import Layer
from scalesearch.arch.operators import Shape
from scalesearch.arch.symbolic import SymTensor


class Tape:
    """The layers recorded so far, and the prefix of the names of the layers to come."""

    __slots__ = ("layers", "prefix", "same")

    def __init__(self, same: bool):
        self.layers: list[Layer] = []
        self.same, self.prefix = same, ""


class RecordingTensor(SymTensor):
    """A tensor that appends a layer to the tape with every method.

    `index` is the number of the layer that produced it; -1, -2, … are the block's inputs.
    """

    __slots__ = ("index",)

    def __init__(self, tape: Tape, shape: Shape, index: int):
        super().__init__(tape, shape)
        self.index = index

    def _record(
        self, op: type, fields: tuple[object, ...], name: str, shape: Any, other_inputs: Sequence[Self] = ()
    ) -> Self:
        tape = self.tape
        number = len(tape.layers)
        name = name or f"{op.__name__.lower()}{number}"
        tape.layers.append(
            Layer(op(*fields), tape.prefix + name, (self.index, *[o.index for o in other_inputs]), shape)
        )
        return type(self)(tape, shape, number)

    def inside(self, *names: str | int) -> AbstractContextManager[None]:
        """Returns a context in which the names of layers begin with `names`, joined by dots."""
        return _NameScope(self.tape, ".".join(map(str, names)))


class _NameScope:
    __slots__ = ("before", "name", "tape")

    def __init__(self, tape: Tape, name: str):
        self.tape, self.name, self.before = tape, name, tape.prefix

    def __enter__(self) -> None:
        self.tape.prefix = f"{self.before}{self.name}."

    def __exit__(self, *_: object) -> None:
        self.tape.prefix = self.before
