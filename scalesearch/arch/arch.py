"""`Arch`: a network as data. No torch, no shapes: those come from expanding it (`expansion.py`)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

Resolution = int | tuple[int, int]  # a square's side, or height and width


def sides(resolution: Resolution) -> tuple[int, int]:
    """Height and width."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def squared(height_width: tuple[int, ...]) -> Resolution:
    """Height and width, or the side where both are one."""
    height, width = height_width
    return height if height == width else (height, width)


def sized(resolution: Resolution) -> str:
    """`224×224`, height first."""
    return "×".join(map(str, sides(resolution)))


def pixels(resolution: Resolution) -> str:
    """`224` of a square, else `192×256`, height first."""
    return str(resolution) if isinstance(resolution, int) else sized(resolution)


def resized(resolution: Resolution, factor: float, step: int = 1) -> Resolution:
    """Both sides times `factor`, to multiples of `step`."""
    return squared(tuple(max(step, round(side * factor / step) * step) for side in sides(resolution)))


def of_height(resolution: Resolution, height: int, step: int = 1) -> Resolution:
    """With another height, and a width (in multiples of `step`) that keeps the shape."""
    if isinstance(resolution, int):
        return height
    return height, max(step, round(resolution[1] * height / resolution[0] / step) * step)


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """A row of the block table with its arguments, in the order of the block's signature, defaults left out."""

    kind: str
    args: tuple[tuple[str, Any], ...] = ()

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for key, value in self.args if key == name), default)

    def to_dict(self) -> dict[str, Any]:
        return {self.kind: {key: _plain(value) for key, value in self.args}}


def _plain(value: Any) -> Any:
    if isinstance(value, BlockSpec):
        return value.to_dict()
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Stage:
    """`depth` blocks of one spec; the first has the stage's stride, the others stride 1.

    `inputs` are the numbers of the earlier stages whose outputs the first block takes; none: the stage before.
    """

    block: BlockSpec
    depth: int = 1
    stride: int = 1
    inputs: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        inputs = {"inputs": list(self.inputs)} if self.inputs else {}
        return {"depth": self.depth, "stride": self.stride} | inputs | self.block.to_dict()


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """A second classifier on the output of stage `after`, at work in training alone; its loss counts `weight`."""

    block: BlockSpec
    after: int
    weight: float = 0.3

    def to_dict(self) -> dict[str, Any]:
        return {"after": self.after, "weight": self.weight} | self.block.to_dict()


@dataclass(frozen=True)
class Arch:
    """A network: input, stem, stages, head, and the few settings that belong to the whole.

    `resolution` is the side of the square input in pixels, or its height and width; `channels` its channels. `padding`
    "same" is TensorFlow's.
    `drop_path` is the stochastic-depth rate of the last residual block; it grows linearly from 0 at the first.
    `taps` are the numbers of the stages whose outputs the head takes; none: the last.
    """

    name: str
    resolution: Resolution
    classes: int
    stem: tuple[BlockSpec, ...]
    stages: tuple[Stage, ...]
    head: BlockSpec
    channels: int = 3
    padding: Literal["symmetric", "same"] = "symmetric"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    drop_path: float = 0.0
    taps: tuple[int, ...] = ()
    auxiliary: tuple[Auxiliary, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolution", squared(self.sides))

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the input."""
        return sides(self.resolution)

    @property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """Per stage, then for the head: the stages whose outputs it takes; -1 is the stem."""
        return (*(s.inputs or (i - 1,) for i, s in enumerate(self.stages)), self.taps or (len(self.stages) - 1,))

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `schema.arch_from_dict` reads back to an equal `Arch`."""
        data: dict[str, Any] = {"name": self.name, "resolution": _plain(self.resolution), "classes": self.classes}
        options = {o: getattr(self, o) for o, default in ARCH_OPTIONS.items() if getattr(self, o) != default}
        data |= {o: list(v) if isinstance(v, tuple) else v for o, v in options.items() if o != "auxiliary"}
        data["stem"] = [block.to_dict() for block in self.stem]
        data["stages"] = [stage.to_dict() for stage in self.stages]
        data["head"] = self.head.to_dict()
        data |= {"auxiliary": [a.to_dict() for a in self.auxiliary]} if self.auxiliary else {}
        return data

    @cached_property
    def digest(self) -> str:
        """16 hex digits that name the network: equal for equal networks whatever they are called."""
        data = self.to_dict()
        del data["name"]
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def with_(self, **changes: Any) -> Arch:
        return replace(self, **changes)


ARCH_OPTIONS = {f.name: f.default for f in fields(Arch) if f.default is not MISSING}
