"""`Arch` → `Graph`: every block recorded at the shapes it meets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from scalesearch.arch.arch import Arch, Resolution, Stage, pixels, resized
from scalesearch.arch.blocks.registry import out_shape, record
from scalesearch.arch.graph import BlockGraph, Layer, ShapeError, TooSmall, named_structure
from scalesearch.arch.operators import Shape
from scalesearch.errors import InputError


@dataclass(frozen=True, eq=False)
class Graph:
    """What an `Arch` expands to: block graphs in execution order, grouped as the network is.

    `arch.sources` tells which stages feed which. The auxiliary heads are at work in training alone.
    """

    arch: Arch
    stem: tuple[BlockGraph, ...]
    stages: tuple[tuple[BlockGraph, ...], ...]
    head: BlockGraph
    auxiliary: tuple[BlockGraph, ...] = ()

    def blocks(self) -> Iterator[tuple[str, BlockGraph]]:
        """`("stages.2.1", graph)` for every block that an inference runs, in execution order."""
        yield from ((f"stem.{i}", b) for i, b in enumerate(self.stem))
        yield from ((f"stages.{i}.{j}", b) for i, stage in enumerate(self.stages) for j, b in enumerate(stage))
        yield "head", self.head

    def all_blocks(self) -> Iterator[tuple[str, BlockGraph]]:
        """`blocks`, and the auxiliary heads."""
        yield from self.blocks()
        yield from ((f"auxiliary.{i}", b) for i, b in enumerate(self.auxiliary))

    def layers(self) -> Iterator[tuple[str, Layer, BlockGraph]]:
        """Every layer that an inference runs under its full name, with the block it stands in."""
        yield from ((f"{path}.{layer.name}", layer, b) for path, b in self.blocks() for layer in b.layers)

    @property
    def digest(self) -> str:
        """16 hex digits that name the structure: two archs that build the same network share it.

        Blocks that do nothing count for nothing, nor does where one stage ends and the next begins.
        """
        nodes: list[str] = []

        def through(blocks: Iterable[BlockGraph], values: list[str]) -> str:
            for block in blocks:
                if block.layers or len(values) > 1:
                    nodes.append(named_structure(block.digest, values))
                    values = [nodes[-1]]
            return values[0]

        kept = {-1: through(self.stem, ["image"])}
        for i, (stage, sources) in enumerate(zip(self.stages, self.arch.sources)):
            kept[i] = through(stage, [kept[j] for j in sources])
        out = through([self.head], [kept[j] for j in self.arch.sources[-1]])
        auxiliary = [through([b], [kept[aux.after]]) for b, aux in zip(self.auxiliary, self.arch.auxiliary)]
        return named_structure(sorted(nodes), out, auxiliary)[:16]


@lru_cache(maxsize=1 << 16)
def expand_stage(stage: Stage, in_shapes: tuple[Shape, ...], same: bool) -> tuple[BlockGraph, ...]:
    """The stage's blocks, each recorded on what the one before it gives."""
    blocks = [record(stage.block, in_shapes, same, stage.stride)]
    for _ in range(stage.depth - 1):
        blocks.append(record(stage.block, (blocks[-1].out_shape,), same, 1))
    return tuple(blocks)


def expand(arch: Arch) -> Graph:
    """The graph of `arch`.

    Raises `InputError` where the resolution is too small for the strides, with the smallest that works.
    """
    try:
        return _expand(arch)
    except ShapeError as error:
        raise too_small(arch, error) from None


def meets(arch: Arch) -> bool:
    """Whether the shapes in `arch` meet: whether it is a network."""
    try:
        _shapes_through(arch)
    except ShapeError:
        return False
    return True


def _shapes_through(arch: Arch) -> None:
    """`_expand` without the graph, which takes a third of the time. Raises `ShapeError` where it would."""
    same = arch.padding == "same"
    shape: Shape = (arch.channels, *arch.sides)
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


def _expand(arch: Arch) -> Graph:
    same = arch.padding == "same"
    shape: Shape = (arch.channels, *arch.sides)
    stem: list[BlockGraph] = []
    for i, spec in enumerate(arch.stem):
        with _placed(f"stem[{i}]"):
            stem.append(record(spec, (shape,), same))
        shape = stem[-1].out_shape
    stages: list[tuple[BlockGraph, ...]] = []
    shapes: dict[int, Shape] = {-1: shape}
    sources = arch.sources
    for i, stage in enumerate(arch.stages):
        with _placed(f"stages[{i}]"):
            stages.append(expand_stage(stage, tuple(shapes[j] for j in sources[i]), same))
        shapes[i] = stages[-1][-1].out_shape
    auxiliary: list[BlockGraph] = []
    for i, aux in enumerate(arch.auxiliary):
        with _placed(f"auxiliary[{i}]"):
            auxiliary.append(record(aux.block, (shapes[aux.after],), same, None, arch.classes))
    with _placed("head"):
        head = record(arch.head, tuple(shapes[j] for j in sources[-1]), same, None, arch.classes)
    return Graph(arch, tuple(stem), tuple(stages), head, tuple(auxiliary))


@contextmanager
def _placed(place: str) -> Iterator[None]:
    try:
        yield
    except ShapeError as error:
        error.place = place
        raise


def too_small(arch: Arch, error: ShapeError) -> InputError:
    """The `InputError` for shapes that don't meet; where another resolution helps, with the next that does.

    It helps where a map is too small, and a neck whose maps meet only at multiples of the total stride.
    """
    if isinstance(error, TooSmall) and (works := _next_that_works(arch, 1024)):
        return InputError(
            f"{arch.name}: resolution {pixels(arch.resolution)} is too small ({error.place}: {error}); "
            f"the smallest that works is {pixels(works)}",
            "resolution",
        )
    has_neck = any(stage.block.kind == "upsample" for stage in arch.stages)
    works = _next_that_works(arch, max(arch.sides) + 128) if has_neck else None
    return InputError(f"{arch.name}: {error}" + (f"; resolution {pixels(works)} works" if works else ""), error.place)


def _next_that_works(arch: Arch, most: int) -> Resolution | None:
    longer = max(arch.sides)
    for side in range(longer + 1, most + 1):
        larger = arch.with_(resolution=resized(arch.resolution, side / longer))
        if meets(larger):
            return larger.resolution
    return None
