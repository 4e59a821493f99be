"""Generates the source of a standalone file's `Network`: its stages and how they are connected."""

from __future__ import annotations

from collections.abc import Iterator

from scalesearch.arch import Arch, Graph


def describe_outputs(graph: Graph) -> str:
    """Returns the shapes of the network's outputs as text."""
    shapes = [("batch", *graph.head.shape_of(i)) for i in graph.head.outputs]
    return ("output " if len(shapes) == 1 else "outputs ") + ", ".join(f"({', '.join(map(str, s))})" for s in shapes)


def network_source(graph: Graph, calls: dict[str, str]) -> Iterator[str]:
    """Yields the source of `Network` and `build()`, given the constructor call of every block by its path."""

    def rows(paths: list[str], indent: str) -> Iterator[str]:
        remaining = [calls[path] for path in paths]
        while remaining:
            count = next((i for i, call in enumerate(remaining) if call != remaining[0]), len(remaining))
            yield indent + (f"{remaining[0]}," if count == 1 else f"*({remaining[0]} for _ in range({count})),")
            remaining = remaining[count:]

    yield "class Network(nn.Module):"
    yield "    def __init__(self):"
    yield "        super().__init__()"
    if graph.stem:
        yield "        self.stem = nn.Sequential("
        yield from rows([f"stem.{i}" for i in range(len(graph.stem))], " " * 12)
        yield "        )"
    else:
        yield "        self.stem = nn.Sequential()"
    yield "        self.stages = nn.Sequential("
    for i, stage in enumerate(graph.stages):
        if len(stage[0].in_shapes) > 1:
            yield f"            {calls[f'stages.{i}.0']},"
            continue
        if len(stage) == 1:
            yield f"            nn.Sequential({calls[f'stages.{i}.0']}),"
            continue
        yield "            nn.Sequential("
        yield from rows([f"stages.{i}.{j}" for j in range(len(stage))], " " * 16)
        yield "            ),"
    yield "        )"
    yield f"        self.head = {calls['head']}"
    if graph.auxiliary:
        heads = ", ".join(calls[f"auxiliary.{i}"] for i in range(len(graph.auxiliary)))
        yield f"        self.auxiliary = nn.ModuleList([{heads}])"
    yield ""
    yield from _forward(graph.arch)
    yield ""
    yield ""
    yield "def build():"
    yield "    return Network()"


def _forward(arch: Arch) -> Iterator[str]:
    """Yields `forward`: the stages in order; outputs that are used again later are kept as s0, s1, …"""
    *sources, taps = arch.sources
    saved = {j for i, s in enumerate(arch.sources) for j in s if j != i - 1 or len(s) > 1} | {
        a.after for a in arch.auxiliary
    }
    yield "    def forward(self, x):"
    if not saved:
        yield "        return self.head(self.stages(self.stem(x)))"
        return
    yield "        x = self.stem(x)" if arch.stem else "        # s0, s1, … are the outputs of the stages"
    start = 0
    for i in range(len(sources)):
        is_sequential = sources[i] == (i - 1,)
        if not is_sequential:
            arguments = ", ".join(f"s{j}" if j >= 0 else "x" for j in sources[i])
            yield f"        {f's{i} = ' if i in saved else ''}x = self.stages[{i}]({arguments})"
        elif i in saved or i + 1 == len(sources) or sources[i + 1] != (i,):
            index = f"[{i}]" if start == i else f"[{start}:{i + 1}]"
            yield f"        {f's{i} = ' if i in saved else ''}x = self.stages{index}(x)"
        else:
            continue
        start = i + 1
    out = f"self.head({', '.join(f's{j}' if j in saved else 'x' for j in taps)})"
    if arch.auxiliary:
        yield "        if self.training:"
        heads = ", ".join(f"self.auxiliary[{i}](s{a.after})" for i, a in enumerate(arch.auxiliary))
        yield f"            return {out}, {heads}"
    yield f"        return {out}"
