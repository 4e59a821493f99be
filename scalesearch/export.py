"""What a user takes home: a standalone Python file that needs torch alone, and weights as safetensors."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesearch import graph as g
from scalesearch.arch import Arch
from scalesearch.constructors import Arguments, constructor
from scalesearch.counting import cost
from scalesearch.expand import Graph, expand

if TYPE_CHECKING:
    import torch

VARIABLES = "xyzwvutsrqponm"


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(weights, temporary)
    os.replace(temporary, path)


DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True, "eps": 1e-5, "momentum": 0.1,
            "ceil_mode": False, "count_include_pad": True}  # fmt: skip


def _call(op: Any, inputs: list[str]) -> str:
    """The expression of a stateless operator."""
    batched = lambda dim: dim + 1 if dim >= 0 else dim
    first = inputs[0]
    match op:
        case g.Add():
            return f"{first} + {inputs[1]}"
        case g.Mul():
            return f"{first} * {inputs[1]}"
        case g.MatMul():
            return f"{first} @ {inputs[1]}"
        case g.Concat(dim):
            return f"torch.cat([{', '.join(inputs)}], {batched(dim)})"
        case g.Split(sizes, dim):
            return f"{first}.split({list(sizes)}, {batched(dim)})"
        case g.Item(index):
            return f"{first}[{index}]"
        case g.Reshape(shape):
            return f"{first}.reshape(-1, {', '.join(map(str, shape))})"
        case g.Flatten():
            return f"{first}.flatten(1)"
        case g.Transpose((a, b)):
            return f"{first}.transpose({batched(a)}, {batched(b)})"
        case g.Softmax():
            return f"{first}.softmax(-1)"
    raise TypeError(f"no Python reading of {op!r}")


@dataclass
class _Instance:
    """One block as it stands in the network."""

    path: str
    block: g.BlockGraph
    layers: list[tuple[g.Layer, str, Arguments]]  # with the constructor and its arguments; no constructor: a call

    @property
    def topology(self) -> tuple:
        """What must agree for two blocks to be of one class: operators, names, wiring, and what stateless ones are told."""
        return self.block.kind, self.block.output, tuple(
            (l.name, l.inputs, made, tuple(k for k, _ in args)) if made else (l.name, l.inputs, l.op)
            for l, made, args in self.layers)  # fmt: skip

    def values(self) -> list[Any]:
        return [value for _, _, args in self.layers for _, value in args]


def _instance(path: str, block: g.BlockGraph, arch: Arch, rate: float) -> _Instance:
    """The block with its constructors; a drop path that never drops is wired through."""
    layers, moved = [], {-1: -1}
    for i, layer in enumerate(block.layers):
        inputs = tuple(moved[j] for j in layer.inputs)
        if isinstance(layer.op, g.DropPath) and rate == 0:
            moved[i] = inputs[0]
            continue
        moved[i] = len(layers)
        layers.append((layer._replace(inputs=inputs), *constructor(layer.op, arch, rate)))
    bare = g.BlockGraph(block.kind, block.in_shape, block.out_shape, tuple(l for l, _, _ in layers), moved[block.output])
    return _Instance(path, bare, layers)


class _Class:
    """The `nn.Module` class of all blocks of one topology; what differs between them becomes its arguments."""

    def __init__(self, name: str, instances: list[_Instance]):
        self.name, self.instances = name, instances
        self.parameters: dict[str, tuple] = {}
        self.columns = [self._column(i, values) for i, values in enumerate(zip(*(x.values() for x in instances)))]

    def _labels(self) -> list[tuple[str, str]]:
        """`(layer, keyword)` of every value; positional ones by what they are."""
        names = {"nn.Conv2d": ["cin", "cout", "kernel"], "SameConv2d": ["cin", "cout", "kernel"],
                 "nn.Linear": ["cin", "cout"], "DropPath": ["drop_path"]}  # fmt: skip
        labels = []
        for layer, made, args in self.instances[0].layers:
            positional = iter(names.get(made, ["kernel", "stride"] if "Pool2d" in made else ["channels", "channels"]))
            labels += [(layer.name, keyword or next(positional)) for keyword, _ in args]
        return labels

    def _column(self, index: int, values: tuple) -> str:
        """The source of one value: a literal where all agree, else an argument, shared by equal columns."""
        if len(set(values)) == 1:
            return repr(values[0])
        layer, keyword = self._labels()[index]
        if keyword == "padding":
            for name, kernel in self.parameters.items():
                if "kernel" in name and values == tuple(k // 2 for k in kernel):
                    return f"{name} // 2"
        for name, known in self.parameters.items():
            if known == values:
                return name
        name = self._name(layer, keyword, values)
        self.parameters[name] = values
        return name

    def _name(self, layer: str, keyword: str, values: tuple) -> str:
        ends = [(x.block.in_shape[0], x.block.out_shape[0]) for x in self.instances]
        if values == tuple(cin for cin, _ in ends) and values == tuple(cout for _, cout in ends):
            name = "channels"
        elif values == tuple(cin for cin, _ in ends):
            name = "cin"
        elif values == tuple(cout for _, cout in ends):
            name = "cout"
        elif keyword in ("cin", "cout", "channels", "groups"):
            name = layer.split(".")[0] + "_width"
        else:
            name = keyword
        return name if name not in self.parameters else f"{layer.replace('.', '_')}_{keyword}"

    def call(self, instance: _Instance) -> str:
        position = self.instances.index(instance)
        given = ", ".join(f"{name}={values[position]!r}" for name, values in self.parameters.items())
        return f"{self.name}({given})"

    def _constructor(self, i: int) -> str:
        layer, made, args = self.instances[0].layers[i]
        start = sum(len(a) for _, _, a in self.instances[0].layers[:i])
        parts = []
        for (keyword, _), source in zip(args, self.columns[start : start + len(args)]):
            if not keyword:
                parts.append(source)
            elif source != repr(DEFAULTS.get(keyword)):
                parts.append(f"{keyword}={source}")
        return f"{made}({', '.join(parts)})"

    def _groups(self) -> list[list[int]]:
        """Runs of layers under one prefix, each feeding the next alone: they become one `nn.Sequential`."""
        layers = [layer for layer, _, _ in self.instances[0].layers]
        uses = [sum(i in l.inputs for l in layers) + (self.instances[0].block.output == i) for i in range(len(layers))]
        groups: list[list[int]] = []
        for i, (layer, made, _) in enumerate(self.instances[0].layers):
            prefix = layer.name.rpartition(".")[0]
            last = groups[-1][-1] if groups else None
            chained = (last is not None and made and prefix and self.instances[0].layers[last][1]
                       and layers[last].name.rpartition(".")[0] == prefix and layer.inputs == (last,) and uses[last] == 1)
            groups[-1].append(i) if chained else groups.append([i])
        return groups

    def source(self) -> Iterator[str]:
        layers = self.instances[0].layers
        yield f"class {self.name}(nn.Module):"
        signature = "".join(f", {name}" for name in self.parameters)
        yield f"    def __init__(self{signature}):"
        yield "        super().__init__()"
        yield from self._attributes()
        yield ""
        yield "    def forward(self, x):"
        names: dict[int, str] = {-1: "x"}
        groups = self._groups()
        final = self.instances[0].block.output
        for n, group in enumerate(groups):
            layer, made, _ = layers[group[0]]
            inputs = [names[i] for i in layer.inputs]
            later = {i for later in groups[n + 1 :] for i in layers[later[0]][0].inputs} | {final} - {group[-1]}
            free = [v for v in VARIABLES if v not in {names[i] for i in later if i in names}]
            names[group[-1]] = free[0]
            attribute = layer.name.rpartition(".")[0] if len(group) > 1 else layer.name
            expression = f"self.{attribute}({inputs[0]})" if made else _call(layer.op, inputs)
            last = n == len(groups) - 1 and group[-1] == final
            yield f"        return {expression}" if last else f"        {names[group[-1]]} = {expression}"
        if not groups or groups[-1][-1] != final:
            yield f"        return {names[final]}"

    def _attributes(self) -> Iterator[str]:
        layers, opened = self.instances[0].layers, set()
        for group in self._groups():
            name = layers[group[0]][0].name
            prefix = name.rpartition(".")[0]
            if len(group) > 1:
                yield f"        self.{prefix} = nn.Sequential(OrderedDict("
                for i in group:
                    yield f"            {layers[i][0].name.rpartition('.')[2]}={self._constructor(i)},"
                yield "        ))"
            elif layers[group[0]][1]:
                if prefix and prefix not in opened:
                    opened.add(prefix)
                    yield f"        self.{prefix} = nn.Module()"
                yield f"        self.{name} = {self._constructor(group[0])}"


def _instances(graph: Graph) -> list[_Instance]:
    from scalesearch.network import drop_path_rates

    rates = {f"stages.{i}.{j}": rate for i, stage in enumerate(drop_path_rates(graph)) for j, rate in enumerate(stage)}
    return [_instance(path, block, graph.arch, rates.get(path, 0.0)) for path, block in graph.blocks()]


def _classes(instances: Iterable[_Instance]) -> dict[str, _Class]:
    """Block path → class; classes of one kind are told apart by what they have."""
    by_topology: dict[tuple, list[_Instance]] = {}
    for instance in instances:
        by_topology.setdefault(instance.topology, []).append(instance)
    taken: set[str] = set()
    found: dict[str, _Class] = {}
    for members in by_topology.values():
        plain = "".join(part.capitalize() for part in members[0].block.kind.split("_"))
        if any(isinstance(l.op, g.Add) for l, _, _ in members[0].layers):
            plain += "Residual"
        name, n = plain, 2
        while name in taken:
            name, n = f"{plain}{n}", n + 1
        taken.add(name)
        made = _Class(name, members)
        found |= {member.path: made for member in members}
    return found


def to_python(arch: Arch) -> str:
    """A Python module that needs torch alone: one class per kind of block, `Network`, and `build()`.

    Its state-dict keys are those of `build(arch)`, so the same weights load, and its outputs are equal.
    """
    from scalesearch import network

    graph = expand(arch)
    instances = _instances(graph)
    classes = _classes(instances)
    counted = cost(arch)
    constructors = {made for x in instances for _, made, _ in x.layers}
    helpers = [getattr(network, name) for name in ("SameConv2d", "SameMaxPool2d", "SameAvgPool2d", "DropPath")
               if name in constructors]  # fmt: skip
    if any(helper is not network.DropPath for helper in helpers):
        helpers.insert(0, network.same_pad)
    body = [line for made in dict.fromkeys(classes.values()) for line in (*made.source(), "", "")]
    used = "\n".join([*body, *map(inspect.getsource, helpers)])
    return "\n".join([
        f'"""{_harmless(arch.name)}: {counted.params:,} parameters, {counted.macs:,} multiply-adds at {arch.resolution}×{arch.resolution}.',
        "",
        f"Input (batch, {arch.channels}, {arch.resolution}, {arch.resolution}), output (batch, {arch.classes}). Written by scalesearch; "
        "needs torch alone.",
        '"""',
        "",
        *(["from __future__ import annotations", ""] if helpers else []),
        *(["import math"] if "math." in used else []),
        *(["from collections import OrderedDict"] if "OrderedDict" in used else []),
        *(["from collections.abc import Sequence"] if "Sequence[" in used else []),
        *([""] if "math." in used or "OrderedDict" in used or "Sequence[" in used else []),
        *(["import torch"] if "torch." in used.replace("torch.nn", "") else []),
        "from torch import nn",
        *(["from torch.nn import functional as F"] if "F." in used else []),
        "", "",
        *(line for helper in helpers for line in (inspect.getsource(helper).rstrip(), "", "")),
        *body,
        *_network(graph, {x.path: classes[x.path].call(x) for x in instances}),
        "",
    ])  # fmt: skip


def _harmless(name: str) -> str:
    """A name that stays inside the docstring it is written into."""
    return re.sub(r"[^A-Za-z0-9_.+ -]", "_", name)


def _network(graph: Graph, calls: dict[str, str]) -> Iterator[str]:
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
        yield "            nn.Sequential("
        yield from rows([f"stages.{i}.{j}" for j in range(len(stage))], " " * 16)
        yield "            ),"
    yield "        )"
    yield f"        self.head = {calls['head']}"
    yield ""
    yield "    def forward(self, x):"
    yield "        return self.head(self.stages(self.stem(x)))"
    yield ""
    yield ""
    yield "def build():"
    yield "    return Network()"
