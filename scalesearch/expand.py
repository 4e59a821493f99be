"""`Arch` → `Graph`: every block recorded at the shape it meets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from scalesearch.arch import Arch, Stage
from scalesearch.blocks import record
from scalesearch.errors import InputError
from scalesearch.graph import BlockGraph, Layer, Shape, ShapeError


@dataclass(frozen=True, eq=False)
class Graph:
    """What an `Arch` expands to: block graphs in execution order, grouped as the network is."""

    arch: Arch
    stem: tuple[BlockGraph, ...]
    stages: tuple[tuple[BlockGraph, ...], ...]
    head: BlockGraph

    def blocks(self) -> Iterator[tuple[str, BlockGraph]]:
        """`("stages.2.1", graph)` for every block, in execution order."""
        yield from ((f"stem.{i}", b) for i, b in enumerate(self.stem))
        yield from ((f"stages.{i}.{j}", b) for i, stage in enumerate(self.stages) for j, b in enumerate(stage))
        yield "head", self.head

    def layers(self) -> Iterator[tuple[str, Layer, BlockGraph]]:
        """Every layer under its full name, with the block it stands in."""
        yield from ((f"{path}.{layer.name}", layer, b) for path, b in self.blocks() for layer in b.layers)

    @property
    def digest(self) -> str:
        """16 hex digits that name the structure: two archs that build the same network share it."""
        text = "".join(b.digest for _, b in self.blocks())
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=1 << 16)
def expand_stage(stage: Stage, in_shape: Shape, same: bool) -> tuple[BlockGraph, ...]:
    """The stage's blocks, each recorded on what the one before it gives."""
    blocks = [record(stage.block, in_shape, same, stage.stride)]
    for _ in range(stage.depth - 1):
        blocks.append(record(stage.block, blocks[-1].out_shape, same, 1))
    return tuple(blocks)


def expand(arch: Arch) -> Graph:
    """The graph of `arch`.

    Raises `InputError` where the resolution is too small for the strides, with the smallest that works.
    """
    try:
        return _expand(arch)
    except ShapeError as error:
        raise too_small(arch, error) from None


def _expand(arch: Arch) -> Graph:
    same, shape = arch.padding == "same", (arch.channels, arch.resolution, arch.resolution)
    stem: list[BlockGraph] = []
    for i, spec in enumerate(arch.stem):
        with _placed(f"stem[{i}]"):
            stem.append(record(spec, shape, same))
        shape = stem[-1].out_shape
    stages = []
    for i, stage in enumerate(arch.stages):
        with _placed(f"stages[{i}]"):
            stages.append(expand_stage(stage, shape, same))
        shape = stages[-1][-1].out_shape
    with _placed("head"):
        return Graph(arch, tuple(stem), tuple(stages), record(arch.head, shape, same, None, arch.classes))


@contextmanager
def _placed(place: str) -> Iterator[None]:
    try:
        yield
    except ShapeError as error:
        error.place = place
        raise


def too_small(arch: Arch, error: ShapeError) -> InputError:
    """The `InputError` for shapes that don't meet, naming the resolution that would do if one does."""
    for resolution in range(arch.resolution + 1, 1025):
        try:
            _expand(arch.with_(resolution=resolution))
        except ShapeError:
            continue
        return InputError(f"{arch.name}: resolution {arch.resolution} is too small ({error.place}: {error}); "
                          f"the smallest that works is {resolution}", "resolution")
    return InputError(f"{arch.name}: {error}", error.place)
