"""Expands an `Arch` to a `Graph`: every block is recorded at the shapes that reach it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from scalesearch.arch.arch import Arch, Resolution, Stage, format_resolution, scaled_resolution
from scalesearch.arch.blocks.registry import out_shape, record_block
from scalesearch.arch.graph import BlockGraph, Layer, ShapeError, TooSmall, structure_digest
from scalesearch.arch.operators import Shape
from scalesearch.errors import InputError


@dataclass(frozen=True, eq=False)
class Graph:
    """What an `Arch` expands to: block graphs in execution order, grouped as in the network.

    `arch.sources` says which stages feed which. Auxiliary heads run in training only.
    """

    arch: Arch
    stem: tuple[BlockGraph, ...]
    stages: tuple[tuple[BlockGraph, ...], ...]
    head: BlockGraph
    auxiliary: tuple[BlockGraph, ...] = ()

    def blocks(self) -> Iterator[tuple[str, BlockGraph]]:
        """Yields `("stages.2.1", block_graph)` for every block that inference runs, in execution order."""
        yield from ((f"stem.{i}", b) for i, b in enumerate(self.stem))
        yield from ((f"stages.{i}.{j}", b) for i, stage in enumerate(self.stages) for j, b in enumerate(stage))
        yield "head", self.head

    def all_blocks(self) -> Iterator[tuple[str, BlockGraph]]:
        """Yields the blocks of `blocks`, then the auxiliary heads."""
        yield from self.blocks()
        yield from ((f"auxiliary.{i}", b) for i, b in enumerate(self.auxiliary))

    def layers(self) -> Iterator[tuple[str, Layer, BlockGraph]]:
        """Yields every layer that inference runs: its full name, the layer and the block it belongs to."""
        yield from ((f"{path}.{layer.name}", layer, b) for path, b in self.blocks() for layer in b.layers)

    @property
    def digest(self) -> str:
        """Returns 16 hex digits that identify the structure: two archs that build the same network share them.

        A block without layers counts only if it takes several inputs; where one stage ends and the next begins
        does not count.
        """
        nodes: list[str] = []

        def append_blocks(blocks: Iterable[BlockGraph], values: list[str]) -> str:
            for block in blocks:
                if block.layers or len(values) > 1:
                    nodes.append(structure_digest(block.digest, values))
                    values = [nodes[-1]]
            return values[0]

        stage_values = {-1: append_blocks(self.stem, ["image"])}
        for i, (stage, sources) in enumerate(zip(self.stages, self.arch.sources)):
            stage_values[i] = append_blocks(stage, [stage_values[j] for j in sources])
        out = append_blocks([self.head], [stage_values[j] for j in self.arch.sources[-1]])
        auxiliary = [
            append_blocks([b], [stage_values[aux.after]]) for b, aux in zip(self.auxiliary, self.arch.auxiliary)
        ]
        return structure_digest(sorted(nodes), out, auxiliary)[:16]


@lru_cache(maxsize=1 << 16)
def expand_stage(stage: Stage, in_shapes: tuple[Shape, ...], same: bool) -> tuple[BlockGraph, ...]:
    """Returns the graphs of a stage's blocks, each recorded on the output shape of the one before."""
    blocks = [record_block(stage.block, in_shapes, same, stage.stride)]
    for _ in range(stage.depth - 1):
        blocks.append(record_block(stage.block, (blocks[-1].out_shape,), same, 1))
    return tuple(blocks)


def expand(arch: Arch) -> Graph:
    """Returns the graph of `arch`: all its layers with their shapes.

    Raises:
        InputError: If the shapes do not fit together; the message names a larger resolution that works, if there
            is one.
    """
    try:
        return _expand(arch)
    except ShapeError as error:
        raise shape_input_error(arch, error) from None


def has_valid_shapes(arch: Arch) -> bool:
    """Returns whether all shapes in `arch` fit together, so that it is a network."""
    same = arch.padding == "same"
    shape: Shape = (arch.channels, *arch.sides)
    try:  # as `_expand`, but without building the graph, in a third of the time
        for spec in arch.stem:
            shape = out_shape(spec, (shape,), same)
        shapes: dict[int, Shape] = {-1: shape}
        sources = arch.sources
        for i, stage in enumerate(arch.stages):
            shape = out_shape(stage.block, tuple([shapes[j] for j in sources[i]]), same, stage.stride)
            for _ in range(stage.depth - 1):
                shape = out_shape(stage.block, (shape,), same, 1)
            shapes[i] = shape
        for aux in arch.auxiliary:
            out_shape(aux.block, (shapes[aux.after],), same, None, arch.classes)
        out_shape(arch.head, tuple([shapes[j] for j in sources[-1]]), same, None, arch.classes)
    except ShapeError:
        return False
    return True


def _expand(arch: Arch) -> Graph:
    same = arch.padding == "same"
    shape: Shape = (arch.channels, *arch.sides)
    stem: list[BlockGraph] = []
    for i, spec in enumerate(arch.stem):
        with _at_place(f"stem[{i}]"):
            stem.append(record_block(spec, (shape,), same))
        shape = stem[-1].out_shape
    stages: list[tuple[BlockGraph, ...]] = []
    shapes: dict[int, Shape] = {-1: shape}
    sources = arch.sources
    for i, stage in enumerate(arch.stages):
        with _at_place(f"stages[{i}]"):
            stages.append(expand_stage(stage, tuple(shapes[j] for j in sources[i]), same))
        shapes[i] = stages[-1][-1].out_shape
    auxiliary: list[BlockGraph] = []
    for i, aux in enumerate(arch.auxiliary):
        with _at_place(f"auxiliary[{i}]"):
            auxiliary.append(record_block(aux.block, (shapes[aux.after],), same, None, arch.classes))
    with _at_place("head"):
        head = record_block(arch.head, tuple(shapes[j] for j in sources[-1]), same, None, arch.classes)
    return Graph(arch, tuple(stem), tuple(stages), head, tuple(auxiliary))


@contextmanager
def _at_place(place: str) -> Iterator[None]:
    try:
        yield
    except ShapeError as error:
        error.place = place
        raise


def shape_input_error(arch: Arch, error: ShapeError) -> InputError:
    """Returns the `InputError` for a `ShapeError`, with the next larger resolution that works where there is one.

    A larger resolution helps where a map is too small, and for necks whose maps only fit together at multiples of
    the total stride.
    """
    if isinstance(error, TooSmall) and (working := _next_working_resolution(arch, 1024)):
        return InputError(
            f"{arch.name}: resolution {format_resolution(arch.resolution)} is too small ({error.place}: {error}); "
            f"the smallest that works is {format_resolution(working)}",
            "resolution",
        )
    has_neck = any(stage.block.kind == "upsample" for stage in arch.stages)
    working = _next_working_resolution(arch, max(arch.sides) + 128) if has_neck else None
    return InputError(
        f"{arch.name}: {error}" + (f"; resolution {format_resolution(working)} works" if working else ""), error.place
    )


def _next_working_resolution(arch: Arch, largest: int) -> Resolution | None:
    longer_side = max(arch.sides)
    for side in range(longer_side + 1, largest + 1):
        larger = arch.with_(resolution=scaled_resolution(arch.resolution, side / longer_side))
        if has_valid_shapes(larger):
            return larger.resolution
    return None
