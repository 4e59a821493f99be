"""Graph → `torch.nn.Module`: hierarchical (`model.stages[2][1]`), each block a `torch.fx` module of its own.

Parameters are named by where they stand: `stages.2.1.expand.conv.weight`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from scalesearch import graph as g
from scalesearch.arch import Arch
from scalesearch.constructors import constructor
from scalesearch.expand import Graph, expand


def same_pad(x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
             value: float = 0.0) -> torch.Tensor:
    """Pad as TensorFlow's "same" does: output side ⌈input / stride⌉, the odd pixel at the bottom and right."""
    pads = [max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
            for n, k, s, d in zip(x.shape[-2:], kernel, stride, dilation)]
    if not any(pads):
        return x
    (top, left) = (p // 2 for p in pads)
    return F.pad(x, (left, pads[1] - left, top, pads[0] - top), value=value)


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(same_pad(x, self.kernel_size, self.stride, self.dilation))


class SameMaxPool2d(nn.MaxPool2d):
    """Max pooling with TensorFlow's "same" padding."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(same_pad(x, self.kernel_size, self.stride, (1, 1), float("-inf")))


class SameAvgPool2d(nn.AvgPool2d):
    """Average pooling with TensorFlow's "same" padding, which leaves the padding out of the average."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pad = lambda t: same_pad(t, self.kernel_size, self.stride, (1, 1))
        return super().forward(pad(x)) / super().forward(pad(torch.ones_like(x[:1, :1])))


class DropPath(nn.Module):
    """Drops the whole input of a sample with probability `p` in training (Huang et al. 2016)."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0.0:
            return x
        keep = x.new_empty(x.shape[0], *[1] * (x.dim() - 1)).bernoulli_(1 - self.p)
        return x * keep / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p:.3f}"


HELPERS = {"SameConv2d": SameConv2d, "SameMaxPool2d": SameMaxPool2d, "SameAvgPool2d": SameAvgPool2d, "DropPath": DropPath}


def _module(op: Any, arch: Arch, drop_path: float) -> nn.Module | None:
    """The submodule of an operator that has state or a mode; None for one that is a mere call."""
    name, arguments = constructor(op, arch, drop_path)
    if not name:
        return None
    kind = HELPERS.get(name) or getattr(nn, name.removeprefix("nn."))
    module = kind(*[value for key, value in arguments if not key], **{key: value for key, value in arguments if key})
    return _initialised_linear(module, op.init) if isinstance(op, g.Linear) else module


def _initialised_linear(linear: nn.Linear, init: str) -> nn.Linear:
    """Uniform within 1/√width (EfficientNet's reference code) or σ = 0.01 (VGG, MobileNet); biases 0."""
    if init == "uniform":
        bound = 1 / math.sqrt(linear.out_features)
        nn.init.uniform_(linear.weight, -bound, bound)
    else:
        nn.init.normal_(linear.weight, 0, 0.01)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def _call(graph: fx.Graph, op: Any, args: list[Any]) -> Any:
    """The function-call node of a stateless operator; dimensions count the batch here."""
    batched = lambda dim: dim + 1 if dim >= 0 else dim
    match op:
        case g.Add():
            return graph.call_function(operator.add, tuple(args))
        case g.Mul():
            return graph.call_function(operator.mul, tuple(args))
        case g.MatMul():
            return graph.call_function(torch.matmul, tuple(args))
        case g.Concat(dim):
            return graph.call_function(torch.cat, (args, batched(dim)))
        case g.Split(sizes, dim):
            return graph.call_function(torch.split, (args[0], list(sizes), batched(dim)))
        case g.Item(index):
            return graph.call_function(operator.getitem, (args[0], index))
        case g.Reshape(shape):
            return graph.call_function(torch.reshape, (args[0], (-1, *shape)))
        case g.Flatten():
            return graph.call_function(torch.flatten, (args[0], 1))
        case g.Transpose((a, b)):
            return graph.call_function(torch.transpose, (args[0], batched(a), batched(b)))
        case g.Softmax():
            return graph.call_function(torch.softmax, (args[0], -1))
    raise TypeError(f"no torch reading of {op!r}")


def build_block(block: g.BlockGraph, arch: Arch, drop_path: float = 0.0) -> fx.GraphModule:
    """One block as a `torch.fx.GraphModule` whose submodules bear the layers' names."""
    root: dict[str, nn.Module] = {}
    graph = fx.Graph()
    nodes = {-1: graph.placeholder("x")}
    for index, layer in enumerate(block.layers):
        args = [nodes[i] for i in layer.inputs]
        if isinstance(layer.op, g.DropPath) and drop_path == 0.0:
            nodes[index] = args[0]
        elif (module := _module(layer.op, arch, drop_path)) is not None:
            if layer.name in root:
                raise ValueError(f'block "{block.kind}" records two layers named "{layer.name}"')
            root[layer.name] = module
            nodes[index] = graph.call_module(layer.name, tuple(args))
        else:
            nodes[index] = _call(graph, layer.op, args)
    graph.output(nodes[block.output])
    name = "".join(part.capitalize() for part in block.kind.split("_"))
    return fx.GraphModule(root, graph, class_name=name)


class Network(nn.Module):
    """An `Arch` in torch: `stem`, `stages` (a list of lists of blocks) and `head`; `arch` is what it was built from."""

    def __init__(self, arch: Arch, stem: nn.Sequential, stages: nn.Sequential, head: nn.Module):
        super().__init__()
        self.arch, self.stem, self.stages, self.head = arch, stem, stages, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)


def drop_path_rates(graph: Graph) -> list[list[float]]:
    """Stochastic-depth rate of every block in the stages: 0 at the first, growing by 1/depth of the whole each."""
    total, rates, seen = sum(map(len, graph.stages)), [], 0
    for stage in graph.stages:
        rates.append([round(graph.arch.drop_path * (seen + j) / total, 4) for j in range(len(stage))])
        seen += len(stage)
    return rates


def initialise(model: nn.Module) -> nn.Module:
    """He et al. 2015 (fan out, divided by groups as in the EfficientNet reference code) for convolutions; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def build(arch: Arch) -> Network:
    """An ordinary `nn.Module` for `arch`, input `(batch, channels, resolution, resolution)`, output `(batch, classes)`.

    Raises `InputError` where the resolution is too small for the strides.
    """
    graph = expand(arch)
    rates = drop_path_rates(graph)
    stem = nn.Sequential(*[build_block(b, arch) for b in graph.stem])
    stages = nn.Sequential(*[nn.Sequential(*[build_block(b, arch, r) for b, r in zip(stage, stage_rates)])
                             for stage, stage_rates in zip(graph.stages, rates)])
    return initialise(Network(arch, stem, stages, build_block(graph.head, arch)))
