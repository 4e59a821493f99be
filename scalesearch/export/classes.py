"""Blocks of a network as Python classes, one per kind, told apart by what they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, pairwise
from typing import Any

from scalesearch.arch import Arch, BlockGraph, Layer, operators as ops
from scalesearch.network import Arguments, constructor, method


def _variables() -> Iterator[str]:
    return chain("xyzwvuts", (f"x{i}" for i in count(1)))


DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
    "eps": 1e-5,
    "momentum": 0.1,
    "ceil_mode": False,
    "inplace": False,
    "count_include_pad": True,
}


def _call(op: Any, inputs: list[str]) -> str:
    """The expression of a stateless operator."""
    first = inputs[0]
    if called := method(op):
        name, values, named = called
        given = [*map(repr, values), *(f"{key}={value!r}" for key, value in named.items())]
        return f"{first}.{name}({', '.join(given)})"
    match op:
        case ops.Add():
            return f"{first} + {inputs[1]}"
        case ops.Mul():
            return f"{first} * {inputs[1]}"
        case ops.MatMul():
            return f"{first} @ {inputs[1]}"
        case ops.Scale(factor):
            return f"{first} * {factor!r}"
        case ops.Offset(value):
            return f"{first} + {value!r}"
        case ops.Item(index):
            return f"{first}[{index}]"
        case ops.Concat(dim):
            return f"torch.cat([{', '.join(inputs)}], {dim + 1})"
        case ops.PadChannels(before, after):
            return f"F.pad({first}, (0, 0, 0, 0, {before}, {after}))"
        case ops.Spread():
            return f"{first}.unflatten(-1, {inputs[1]}.shape[-2:])"
    raise TypeError(f"no Python reading of {op!r}")


@dataclass
class Instance:
    """One block as it stands in the network."""

    path: str
    block: BlockGraph
    layers: list[tuple[Layer, str, Arguments]]  # with the constructor and its arguments; no constructor: a call

    @property
    def topology(self) -> tuple:
        """What must agree for two blocks to be of one class: operators, names, wiring, what stateless ones are told."""
        return (
            self.block.kind,
            len(self.block.in_shapes),
            self.block.outputs,
            tuple(
                (x.name, x.inputs, made, tuple(k for k, _ in args)) if made else (x.name, x.inputs, x.op)
                for x, made, args in self.layers
            ),
        )

    def uses(self, index: int) -> int:
        """How many layers, or the caller, take the output of a layer."""
        return sum(index in x.inputs for x, _, _ in self.layers) + self.block.outputs.count(index)

    def values(self) -> list[Any]:
        return [value for _, _, args in self.layers for _, value in args]


def instance_of(path: str, block: BlockGraph, arch: Arch, rate: float) -> Instance:
    """The block with its constructors; a drop path that never drops is wired through."""
    layers: list[tuple[Layer, str, Arguments]] = []
    moved = {-1 - i: -1 - i for i in range(len(block.in_shapes))}
    for i, layer in enumerate(block.layers):
        inputs = tuple(moved[j] for j in layer.inputs)
        if isinstance(layer.op, ops.DropPath) and rate == 0:
            moved[i] = inputs[0]
            continue
        moved[i] = len(layers)
        made, arguments = constructor(layer.op, arch, rate)
        arguments += [("inplace", True)] if i in block.in_place else []
        layers.append((layer._replace(inputs=inputs), made, arguments))
    bare = BlockGraph(
        block.kind, block.in_shapes, tuple(x for x, _, _ in layers), tuple(moved[i] for i in block.outputs)
    )
    return Instance(path, bare, layers)


class Class:
    """The `nn.Module` class of all blocks of one topology; what differs between them becomes its arguments."""

    def __init__(self, name: str, instances: list[Instance]):
        self.name, self.instances = name, instances
        self.parameters: dict[str, tuple] = {}
        self.columns = [self._column(i, values) for i, values in enumerate(zip(*(x.values() for x in instances)))]

    def _labels(self) -> list[tuple[str, str]]:
        """`(layer, keyword)` of every value; positional ones by what they are."""
        names = {
            "nn.Conv2d": ["cin", "cout", "kernel"],
            "SameConv2d": ["cin", "cout", "kernel"],
            "nn.Linear": ["cin", "cout"],
            "DropPath": ["drop_path"],
        }
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

    def call(self, instance: Instance) -> str:
        position = self.instances.index(instance)
        given = ", ".join(f"{name}={values[position]!r}" for name, values in self.parameters.items())
        return f"{self.name}({given})"

    def _constructor(self, i: int) -> str:
        _layer, made, args = self.instances[0].layers[i]
        start = sum(len(a) for _, _, a in self.instances[0].layers[:i])
        parts = []
        for (keyword, _), source in zip(args, self.columns[start : start + len(args)]):
            if not keyword:
                parts.append(source)
            elif source != repr(DEFAULTS.get(keyword)):
                parts.append(f"{keyword}={source}")
        return f"{made}({', '.join(parts)})"

    def _is_chain(self, prefix: str) -> bool:
        """Whether the layers under a prefix are modules that each feed the next: one `nn.Sequential`."""
        first = self.instances[0]
        inside = [i for i, (x, _, _) in enumerate(first.layers) if x.name.startswith(prefix + ".")]
        follows = all(first.layers[b][0].inputs == (a,) and first.uses(a) == 1 for a, b in pairwise(inside))
        return bool(inside) and follows and all(first.layers[i][1] for i in inside)

    def _steps(self) -> list[tuple[str, int, int]]:
        """`(module path or "", first layer, last layer)` per line of `forward`: whole chains are called at once."""
        steps: list[tuple[str, int, int]] = []
        for i, (layer, made, _) in enumerate(self.instances[0].layers):
            parts = layer.name.split(".")
            prefixes = (".".join(parts[:n]) for n in range(1, len(parts)))
            path = next((p for p in prefixes if self._is_chain(p)), layer.name if made else "")
            if path and steps and steps[-1][0] == path:
                steps[-1] = (path, steps[-1][1], i)
            else:
                steps.append((path, i, i))
        return steps

    def source(self) -> Iterator[str]:
        first = self.instances[0]
        inputs = ["x"] if len(first.block.in_shapes) == 1 else [f"x{i}" for i in range(len(first.block.in_shapes))]
        yield f"class {self.name}(nn.Module):"
        if any(made for _, made, _ in first.layers):
            yield f"    def __init__(self{''.join(f', {name}' for name in self.parameters)}):"
            yield "        super().__init__()"
            yield from self._attributes()
            yield ""
        yield f"    def forward(self, {', '.join(inputs)}):"
        names = {-1 - i: name for i, name in enumerate(inputs)}
        steps, outputs = self._steps(), first.block.outputs
        for n, (path, start, end) in enumerate(steps):
            layer, made, _ = first.layers[start]
            given = [names[i] for i in layer.inputs]
            expression = f"self{self._access(path)}({given[0]})" if made else _call(layer.op, given)
            if n == len(steps) - 1 and outputs == (end,):
                yield f"        return {expression}"
                return
            later = {i for _, s, _ in steps[n + 1 :] for i in first.layers[s][0].inputs} | {*outputs} - {end}
            busy = {names[i] for i in later if i in names}
            names[end] = next(v for v in _variables() if v not in busy)
            yield f"        {names[end]} = {expression}"
        yield f"        return {', '.join(names[i] for i in outputs)}"

    def _children(self, prefix: str) -> list[str]:
        """Names right under a prefix, those of modules alone, in order."""
        names = [
            layer.name[len(prefix) :]
            for layer, made, _ in self.instances[0].layers
            if made and layer.name.startswith(prefix)
        ]
        return list(dict.fromkeys(name.split(".")[0] for name in names))

    def _listed(self, children: list[str]) -> bool:
        return children == [str(i) for i in range(len(children))]

    def _access(self, path: str) -> str:
        source, prefix = "", ""
        for part in path.split("."):
            children = self._children(prefix)
            if not prefix or (part.isidentifier() and self._is_chain(prefix[:-1])):
                source += f".{part}"
            else:
                source += f"[{part}]" if self._listed(children) else f'["{part}"]'
            prefix += part + "."
        return source

    def _attributes(self) -> Iterator[str]:
        for name in self._children(""):
            first, *rest = self._module(name, " " * 8)
            yield f"        self.{name} = {first}"
            yield from rest

    def _module(self, path: str, indent: str) -> list[str]:
        """The expression of what stands under a path, over lines that are indented but for the first."""
        leaf = next((i for i, (x, made, _) in enumerate(self.instances[0].layers) if made and x.name == path), None)
        if leaf is not None:
            return [self._constructor(leaf)]
        children = self._children(path + ".")
        parts = [self._module(f"{path}.{child}", indent + "    ") for child in children]
        chained, listed = self._is_chain(path), self._listed(children)
        if chained and (short := _conv_norm_act(children, parts)):
            return [short]
        opening, closing = ("nn.ModuleList([", "])") if listed else ("nn.ModuleDict({", "})")
        if chained:
            opening, closing = "nn.Sequential(", ")"
        before, after = ("", ",") if listed else ('"{}": ', ",")
        if chained and not listed:
            named = all(child.isidentifier() for child in children)
            opening, closing = ("nn.Sequential(OrderedDict(", "))") if named else ("nn.Sequential(OrderedDict([", "]))")
            before, after = ("{}=", ",") if named else ('("{}", ', "),")
        lines = [opening]
        for child, (first, *rest) in zip(children, parts):
            made = [indent + "    " + before.format(child) + first, *rest]
            lines += [*made[:-1], made[-1] + after]
        return [*lines, indent + closing]


CONV = re.compile(r"nn\.Conv2d\((?P<cin>[^,]+), (?P<cout>[^,]+), (?P<rest>.*), bias=False\)")


def _conv_norm_act(children: list[str], parts: list[list[str]]) -> str:
    """The call of the helper `conv_norm_act` for a chain of conv without bias, norm and perhaps act; else nothing."""
    if children[:2] != ["conv", "norm"] or children[2:] not in ([], ["act"]):
        return ""
    conv, norm = CONV.fullmatch(parts[0][0]), parts[1][0]
    if not conv or not norm.startswith(f"nn.BatchNorm2d({conv['cout']}"):
        return ""
    act = f", act={parts[2][0]}" if len(parts) == 3 else ""
    return f"conv_norm_act({conv['cin']}, {conv['cout']}, {conv['rest']}{act})"
