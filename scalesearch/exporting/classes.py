"""Turns the blocks of a network into Python classes, one per kind and structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, pairwise
from typing import Any, cast

from scalesearch.arch import Arch, BlockGraph, Layer, operators as ops
from scalesearch.network import Arguments, constructor, method


def _variable_names() -> Iterator[str]:
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


def _call(op: object, inputs: list[str]) -> str:
    """Returns the expression that calls a stateless operator."""
    first = inputs[0]
    if tensor_method := method(op):
        name, values, keywords = tensor_method
        arguments = [*map(repr, values), *(f"{key}={value!r}" for key, value in keywords.items())]
        return f"{first}.{name}({', '.join(arguments)})"
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
class BlockInstance:
    """One block at its place in the network.

    Attributes:
        path: Where it stands, `stages.2.0`.
        block: The recorded block.
        layers: Each layer with its constructor's name and arguments; the name is "" for a call without state.
    """

    path: str
    block: BlockGraph
    layers: list[tuple[Layer, str, Arguments]]  # with the constructor and its arguments; no constructor: a call

    @property
    def topology(self) -> tuple[object, ...]:
        """Returns what must be equal for two blocks to share a class: names, operators and wiring."""
        return (
            self.block.kind,
            len(self.block.in_shapes),
            self.block.outputs,
            tuple(
                (x.name, x.inputs, module, tuple(k for k, _ in args)) if module else (x.name, x.inputs, x.op)
                for x, module, args in self.layers
            ),
        )

    def uses(self, index: int) -> int:
        """Returns how often the output of a layer is used, by other layers or as an output of the block."""
        return sum(index in x.inputs for x, _, _ in self.layers) + self.block.outputs.count(index)

    def values(self) -> list[Any]:
        """Returns the values of all constructor arguments, in order."""
        return [value for _, _, args in self.layers for _, value in args]


def block_instance(path: str, block: BlockGraph, arch: Arch, rate: float) -> BlockInstance:
    """Returns the block with its constructors; a drop path whose rate is 0 is left out."""
    layers: list[tuple[Layer, str, Arguments]] = []
    new_index = {-1 - i: -1 - i for i in range(len(block.in_shapes))}
    for i, layer in enumerate(block.layers):
        inputs = tuple(new_index[j] for j in layer.inputs)
        if isinstance(layer.op, ops.DropPath) and rate == 0:
            new_index[i] = inputs[0]
            continue
        new_index[i] = len(layers)
        module, arguments = constructor(layer.op, arch, rate)
        arguments += [("inplace", True)] if i in block.in_place else []
        layers.append((layer._replace(inputs=inputs), module, arguments))
    simplified = BlockGraph(
        block.kind, block.in_shapes, tuple(x for x, _, _ in layers), tuple(new_index[i] for i in block.outputs)
    )
    return BlockInstance(path, simplified, layers)


class BlockClass:
    """The `nn.Module` class of all blocks of one topology; values that differ between them become its parameters."""

    def __init__(self, name: str, instances: list[BlockInstance]):
        self.name, self.instances = name, instances
        self.parameters: dict[str, tuple[object, ...]] = {}
        self.columns = [self._column(i, values) for i, values in enumerate(zip(*(x.values() for x in instances)))]

    def _labels(self) -> list[tuple[str, str]]:
        """Returns `(layer, keyword)` for every argument; positional ones are named by what they are."""
        names = {
            "nn.Conv2d": ["cin", "cout", "kernel"],
            "SameConv2d": ["cin", "cout", "kernel"],
            "nn.Linear": ["cin", "cout"],
            "DropPath": ["drop_path"],
        }
        labels = []
        for layer, module, args in self.instances[0].layers:
            positional = iter(
                names.get(module, ["kernel", "stride"] if "Pool2d" in module else ["channels", "channels"])
            )
            labels += [(layer.name, keyword or next(positional)) for keyword, _ in args]
        return labels

    def _column(self, index: int, values: tuple[object, ...]) -> str:
        """Returns the source of an argument: a literal if all blocks agree, else a parameter."""
        if len(set(values)) == 1:
            return repr(values[0])
        layer, keyword = self._labels()[index]
        if keyword == "padding":
            for name, kernel in self.parameters.items():
                if "kernel" in name and values == tuple(cast(int, k) // 2 for k in kernel):
                    return f"{name} // 2"
        for name, existing in self.parameters.items():
            if existing == values:
                return name
        name = self._name(layer, keyword, values)
        self.parameters[name] = values
        return name

    def _name(self, layer: str, keyword: str, values: tuple[object, ...]) -> str:
        widths = [(x.block.in_shape[0], x.block.out_shape[0]) for x in self.instances]
        if values == tuple(cin for cin, _ in widths) and values == tuple(cout for _, cout in widths):
            name = "channels"
        elif values == tuple(cin for cin, _ in widths):
            name = "cin"
        elif values == tuple(cout for _, cout in widths):
            name = "cout"
        elif keyword in ("cin", "cout", "channels", "groups"):
            name = layer.split(".")[0] + "_width"
        else:
            name = keyword
        return name if name not in self.parameters else f"{layer.replace('.', '_')}_{keyword}"

    def call(self, instance: BlockInstance) -> str:
        """Returns the expression that constructs `instance`."""
        position = self.instances.index(instance)
        arguments = ", ".join(f"{name}={values[position]!r}" for name, values in self.parameters.items())
        return f"{self.name}({arguments})"

    def _constructor(self, i: int) -> str:
        _layer, module, args = self.instances[0].layers[i]
        start = sum(len(a) for _, _, a in self.instances[0].layers[:i])
        parts = []
        for (keyword, _), source in zip(args, self.columns[start : start + len(args)]):
            if not keyword:
                parts.append(source)
            elif source != repr(DEFAULTS.get(keyword)):
                parts.append(f"{keyword}={source}")
        return f"{module}({', '.join(parts)})"

    def _is_chain(self, prefix: str) -> bool:
        """Returns whether the layers under a prefix are modules that each feed only the next one."""
        first = self.instances[0]
        indices = [i for i, (x, _, _) in enumerate(first.layers) if x.name.startswith(prefix + ".")]
        is_linear = all(first.layers[b][0].inputs == (a,) and first.uses(a) == 1 for a, b in pairwise(indices))
        return bool(indices) and is_linear and all(first.layers[i][1] for i in indices)

    def _steps(self) -> list[tuple[str, int, int]]:
        """Returns `(module path or "", first layer, last layer)` per line of `forward`; a chain is one line."""
        steps: list[tuple[str, int, int]] = []
        for i, (layer, module, _) in enumerate(self.instances[0].layers):
            parts = layer.name.split(".")
            prefixes = (".".join(parts[:n]) for n in range(1, len(parts)))
            path = next((p for p in prefixes if self._is_chain(p)), layer.name if module else "")
            if path and steps and steps[-1][0] == path:
                steps[-1] = (path, steps[-1][1], i)
            else:
                steps.append((path, i, i))
        return steps

    def source(self) -> Iterator[str]:
        """Yields the lines of the class definition."""
        first = self.instances[0]
        inputs = ["x"] if len(first.block.in_shapes) == 1 else [f"x{i}" for i in range(len(first.block.in_shapes))]
        yield f"class {self.name}(nn.Module):"
        if any(module for _, module, _ in first.layers):
            yield f"    def __init__(self{''.join(f', {name}' for name in self.parameters)}):"
            yield "        super().__init__()"
            yield from self._attributes()
            yield ""
        yield f"    def forward(self, {', '.join(inputs)}):"
        names = {-1 - i: name for i, name in enumerate(inputs)}
        steps, outputs = self._steps(), first.block.outputs
        for n, (path, start, end) in enumerate(steps):
            layer, module, _ = first.layers[start]
            arguments = [names[i] for i in layer.inputs]
            expression = f"self{self._access_path(path)}({arguments[0]})" if module else _call(layer.op, arguments)
            if n == len(steps) - 1 and outputs == (end,):
                yield f"        return {expression}"
                return
            later = {i for _, s, _ in steps[n + 1 :] for i in first.layers[s][0].inputs} | {*outputs} - {end}
            in_use = {names[i] for i in later if i in names}
            names[end] = next(v for v in _variable_names() if v not in in_use)
            yield f"        {names[end]} = {expression}"
        yield f"        return {', '.join(names[i] for i in outputs)}"

    def _children(self, prefix: str) -> list[str]:
        """Returns the names directly under a prefix that have modules, in order."""
        names = [
            layer.name[len(prefix) :]
            for layer, module, _ in self.instances[0].layers
            if module and layer.name.startswith(prefix)
        ]
        return list(dict.fromkeys(name.split(".")[0] for name in names))

    def _is_numbered(self, children: list[str]) -> bool:
        return children == [str(i) for i in range(len(children))]

    def _access_path(self, path: str) -> str:
        source, prefix = "", ""
        for part in path.split("."):
            children = self._children(prefix)
            if not prefix or (part.isidentifier() and self._is_chain(prefix[:-1])):
                source += f".{part}"
            else:
                source += f"[{part}]" if self._is_numbered(children) else f'["{part}"]'
            prefix += part + "."
        return source

    def _attributes(self) -> Iterator[str]:
        for name in self._children(""):
            first, *rest = self._module(name, " " * 8)
            yield f"        self.{name} = {first}"
            yield from rest

    def _module(self, path: str, indent: str) -> list[str]:
        """Returns the lines of the expression for the modules under a path; all but the first are indented."""
        leaf = next((i for i, (x, module, _) in enumerate(self.instances[0].layers) if module and x.name == path), None)
        if leaf is not None:
            return [self._constructor(leaf)]
        children = self._children(path + ".")
        parts = [self._module(f"{path}.{child}", indent + "    ") for child in children]
        is_chain, is_numbered = self._is_chain(path), self._is_numbered(children)
        if is_chain and (short := _conv_norm_act(children, parts)):
            return [short]
        if is_chain and is_numbered:
            opening, before, after, closing = "nn.Sequential(", "", ",", ")"
        elif is_numbered:
            opening, before, after, closing = "nn.ModuleList([", "", ",", "])"
        elif not is_chain:
            opening, before, after, closing = "nn.ModuleDict({", '"{}": ', ",", "})"
        elif all(child.isidentifier() for child in children):
            opening, before, after, closing = "nn.Sequential(OrderedDict(", "{}=", ",", "))"
        else:
            opening, before, after, closing = "nn.Sequential(OrderedDict([", '("{}", ', "),", "]))"
        lines = [opening]
        for child, (first, *rest) in zip(children, parts):
            item = [indent + "    " + before.format(child) + first, *rest]
            lines += [*item[:-1], item[-1] + after]
        return [*lines, indent + closing]


CONV = re.compile(r"nn\.Conv2d\((?P<cin>[^,]+), (?P<cout>[^,]+), (?P<rest>.*), bias=False\)")


def _conv_norm_act(children: list[str], parts: list[list[str]]) -> str:
    """Returns the call of `conv_norm_act` for a conv without bias, a norm and perhaps an activation, else ""."""
    if children[:2] != ["conv", "norm"] or children[2:] not in ([], ["act"]):
        return ""
    conv, norm = CONV.fullmatch(parts[0][0]), parts[1][0]
    if not conv or not norm.startswith(f"nn.BatchNorm2d({conv['cout']}"):
        return ""
    act = f", act={parts[2][0]}" if len(parts) == 3 else ""
    return f"conv_norm_act({conv['cin']}, {conv['cout']}, {conv['rest']}{act})"
