"""The source of a standalone file's `Network`: its stages, and what feeds what."""

from __future__ import annotations

from collections.abc import Iterator

from scalesearch.arch import Arch, Graph


def outputs(graph: Graph) -> str:
    shapes = [("batch", *graph.head.shape_of(i)) for i in graph.head.outputs]
    return ("output " if len(shapes) == 1 else "outputs ") + ", ".join(f"({', '.join(map(str, s))})" for s in shapes)


def network(graph: Graph, calls: dict[str, str]) -> Iterator[str]:
    def rows(paths: list[str], indent: str) -> Iterator[str]:
        made = [calls[path] for path in paths]
        while made:
            same = next((i for i, call in enumerate(made) if call != made[0]), len(made))
            yield indent + (f"{made[0]}," if same == 1 else f"*({made[0]} for _ in range({same})),")
            made = made[same:]

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
        made = ", ".join(calls[f"auxiliary.{i}"] for i in range(len(graph.auxiliary)))
        yield f"        self.auxiliary = nn.ModuleList([{made}])"
    yield ""
    yield from _forward(graph.arch)
    yield ""
    yield ""
    yield "def build():"
    yield "    return Network()"


def _forward(arch: Arch) -> Iterator[str]:
    """The stages one after another; where outputs are taken up later they are kept under the stage's number."""
    *sources, taps = arch.sources
    named = {j for i, s in enumerate(arch.sources) for j in s if j != i - 1 or len(s) > 1} | {
        a.after for a in arch.auxiliary
    }
    yield "    def forward(self, x):"
    if not named:
        yield "        return self.head(self.stages(self.stem(x)))"
        return
    yield "        x = self.stem(x)" if arch.stem else "        # s0, s1, … are the outputs of the stages"
    start = 0
    for i in range(len(sources)):
        plain = sources[i] == (i - 1,)
        if not plain:
            given = ", ".join(f"s{j}" if j >= 0 else "x" for j in sources[i])
            yield f"        {f's{i} = ' if i in named else ''}x = self.stages[{i}]({given})"
        elif i in named or i + 1 == len(sources) or sources[i + 1] != (i,):
            which = f"[{i}]" if start == i else f"[{start}:{i + 1}]"
            yield f"        {f's{i} = ' if i in named else ''}x = self.stages{which}(x)"
        else:
            continue
        start = i + 1
    out = f"self.head({', '.join(f's{j}' if j in named else 'x' for j in taps)})"
    if arch.auxiliary:
        yield "        if self.training:"
        heads = ", ".join(f"self.auxiliary[{i}](s{a.after})" for i, a in enumerate(arch.auxiliary))
        yield f"            return {out}, {heads}"
    yield f"        return {out}"
