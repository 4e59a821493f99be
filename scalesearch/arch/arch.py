"""`Arch`: a network as data. No torch, no shapes: those come from expanding it (`expansion.py`)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from scalesearch.notebook import html_table
from scalesearch.plain_data import PlainDict

# of blocks, the arguments that describe them in a line
DESCRIBED_ARGUMENTS = (
    "kernel",
    "expand",
    "se_ratio",
    "ratio",
    "groups",
    "group_width",
    "growth",
    "squeeze",
    "repeats",
    "start",
    "middle",
    "heads",
    "kv_stride",
    "hidden",
    "dropout",
    "factor",
    "padding",
    "act",
)
Resolution = int | tuple[int, int]  # a square's side, or height and width


ARCH_WANTED = 'an Arch, as ss.load("resnet18") returns one'  # what messages say where something else comes


def sides(resolution: Resolution) -> tuple[int, int]:
    """Returns the height and width of a resolution, in pixels."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def as_resolution(height_width: tuple[int, ...]) -> Resolution:
    """Returns `(height, width)` as a resolution: one number where both are equal."""
    height, width = height_width
    return height if height == width else (height, width)


def format_sides(resolution: Resolution) -> str:
    """Returns height and width as text, `224×224`."""
    return "×".join(map(str, sides(resolution)))


def format_resolution(resolution: Resolution) -> str:
    """Returns a resolution as text: `224` for a square, else height and width, `192×256`."""
    return str(resolution) if isinstance(resolution, int) else format_sides(resolution)


def scaled_resolution(resolution: Resolution, factor: float, step: int = 1) -> Resolution:
    """Returns the resolution with both sides times `factor`, rounded to multiples of `step` (at least one)."""
    return as_resolution(tuple(max(step, round(side * factor / step) * step) for side in sides(resolution)))


def with_height(resolution: Resolution, height: int, step: int = 1) -> Resolution:
    """Returns the resolution with another height, and a width that keeps the aspect ratio.

    The width is rounded to a multiple of `step`, at least `step`; `height` is taken as it is.
    """
    if isinstance(resolution, int):
        return height
    return height, max(step, round(resolution[1] * height / resolution[0] / step) * step)


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """A block as data: its name in the block table and its arguments.

    `args` are pairs of a name and a value in the order of the block's signature, defaults left out, so that equal
    blocks have equal specs. Branches hold further specs.
    """

    kind: str
    args: tuple[tuple[str, Any], ...] = ()

    def get(self, name: str, default: object = None) -> Any:
        """Returns the argument `name`, or `default` where it is left out."""
        return next((value for key, value in self.args if key == name), default)

    @property
    def description(self) -> str:
        """Returns the block as text: its kind and its arguments except the width, as `mbconv k5 e6`."""
        words = [
            f"{'k' if name == 'kernel' else 'e' if name == 'expand' else name + ' '}{_value_text(value)}"
            for name, value in self.args
            if name in DESCRIBED_ARGUMENTS and value not in (None, False)
        ]
        branches = self.get("branches")
        return " ".join([self.kind, *([f"{len(branches)} branches"] if branches else []), *words])

    def to_dict(self) -> PlainDict:
        """Returns the spec as it stands in YAML: `{"conv": {"width": 32}}`."""
        return {self.kind: {key: _plain(value) for key, value in self.args}}


def _value_text(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: object) -> object:
    if isinstance(value, BlockSpec):
        return value.to_dict()
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Stage:
    """`depth` blocks of one spec; the first has the stage's stride, the others have stride 1.

    `inputs` are the numbers of the earlier stages whose outputs the first block takes; empty means the stage
    before.
    """

    block: BlockSpec
    depth: int = 1
    stride: int = 1
    inputs: tuple[int, ...] = ()

    def to_dict(self) -> PlainDict:
        """Returns the stage as it stands in YAML."""
        inputs = {"inputs": list(self.inputs)} if self.inputs else {}
        return {"depth": self.depth, "stride": self.stride} | inputs | self.block.to_dict()


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """A second classifier on the output of stage `after`, used in training only.

    `weight` is the factor of its loss in the sum of losses.
    """

    block: BlockSpec
    after: int
    weight: float = 0.3

    def to_dict(self) -> PlainDict:
        """Returns the auxiliary head as it stands in YAML."""
        return {"after": self.after, "weight": self.weight} | self.block.to_dict()


@dataclass(frozen=True, repr=False)
class Arch:
    """A network as data: input, stem, stages, head and the few settings that belong to all of it.

    Args:
        name: A label; it does not enter `digest`.
        resolution: Side of the square input in pixels, or its height and width.
        classes: Number of classes.
        stem: Blocks before the stages.
        stages: Runs of equal blocks.
        head: The block that makes the output.
        channels: Channels of the input.
        padding: "symmetric", or "same" for TensorFlow's.
        norm_eps: Epsilon of the batch norms.
        norm_momentum: Momentum of the batch norms.
        drop_path: Stochastic-depth rate of the last residual block; rates grow linearly from 0 at the first.
        taps: Numbers of the stages whose outputs the head takes; empty means the last.
        auxiliary: Further classifiers used in training only.
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
        object.__setattr__(self, "resolution", as_resolution(self.sides))

    def __repr__(self) -> str:
        size = f"{format_sides(self.resolution)}×{self.channels}"
        blocks = sum(stage.depth for stage in self.stages)
        return f"<Arch {self.name}: {size}, {len(self.stages)} stages of {blocks} blocks, {self.classes:,} classes>"

    def _repr_html_(self) -> str:
        parts = [(block, None, None) for block in self.stem]
        rows = [*parts, *((s.block, s.depth, s.stride) for s in self.stages), (self.head, None, None)]
        columns = [
            {"operator": block.description, "channels": block.get("width"), "layers": depth, "stride": stride}
            for block, depth, stride in rows
        ]
        return html_table(repr(self)[1:-1], columns)

    @property
    def sides(self) -> tuple[int, int]:
        """Returns the height and width of the input, in pixels."""
        return sides(self.resolution)

    @property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """Returns, for each stage and last for the head, the stages whose outputs it takes; -1 is the stem."""
        return (*(s.inputs or (i - 1,) for i, s in enumerate(self.stages)), self.taps or (len(self.stages) - 1,))

    def to_dict(self) -> PlainDict:
        """Returns plain data from which `space.arch_from_dict` makes an equal `Arch`."""
        data: PlainDict = {"name": self.name, "resolution": _plain(self.resolution), "classes": self.classes}
        options = {o: getattr(self, o) for o, default in ARCH_OPTIONS.items() if getattr(self, o) != default}
        data |= {o: list(v) if isinstance(v, tuple) else v for o, v in options.items() if o != "auxiliary"}
        data["stem"] = [block.to_dict() for block in self.stem]
        data["stages"] = [stage.to_dict() for stage in self.stages]
        data["head"] = self.head.to_dict()
        data |= {"auxiliary": [a.to_dict() for a in self.auxiliary]} if self.auxiliary else {}
        return data

    @cached_property
    def digest(self) -> str:
        """Returns 16 hex digits that identify the network; names do not count."""
        data = self.to_dict()
        del data["name"]
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def with_(self, **changes: Any) -> Arch:
        """Returns a copy with the given fields changed."""
        return replace(self, **changes)


ARCH_OPTIONS = {f.name: f.default for f in fields(Arch) if f.default is not MISSING}
