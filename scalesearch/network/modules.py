"""Builds torch modules of architectures; each block is a `torch.fx` module of its own.

They are hierarchical (`model.stages[2][1]`), and parameters are named by their path, as in
`stages.2.1.expand.conv.weight`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch import fx, nn
from torch.nn import functional as F

from scalesearch.arch import ARCH_WANTED, Arch, BlockGraph, Graph, expand, operators as ops
from scalesearch.errors import check_kind
from scalesearch.network.constructors import constructor, method

M = TypeVar("M", bound=nn.Module)
Outputs: TypeAlias = torch.Tensor | Sequence[torch.Tensor]  # logits, those of auxiliary heads too, or maps of boxes


def same_pad(
    x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], value: float = 0.0
) -> torch.Tensor:
    """Pads a map `(N, C, H, W)` as TensorFlow's "same" does, so that its output side is ⌈input / stride⌉.

    The odd pixel is at the bottom and right. `kernel`, `stride` and `dilation` are pairs (height, width);
    `value` fills the border.
    """
    pads = [
        max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for n, k, s, d in zip(x.shape[-2:], kernel, stride, dilation)
    ]
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

    kernel_size: tuple[int, int]
    stride: tuple[int, int]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = super().forward(same_pad(x, self.kernel_size, self.stride, (1, 1), float("-inf")))
        return out


class SameAvgPool2d(nn.AvgPool2d):
    """Average pooling with TensorFlow's "same" padding, which leaves the padding out of the average."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def pad(t: torch.Tensor) -> torch.Tensor:
            return same_pad(t, self.kernel_size, self.stride, (1, 1))

        return super().forward(pad(x)) / super().forward(pad(torch.ones_like(x[:1, :1])))


class DropPath(nn.Module):
    """Drops a sample's whole input with probability `p` in training (stochastic depth, Huang et al. 2016)."""

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


class LayerScale(nn.Module):
    """A learned factor per channel of a map (Touvron et al. 2021)."""

    def __init__(self, channels: int, init: float):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels, 1, 1), init))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class Expectation(nn.Conv2d):
    """The mean of a distribution over channels that stand for 0, 1, 2, …: a convolution with frozen weights."""

    def __init__(self, bins: int):
        super().__init__(bins, 1, 1, bias=False)
        self.weight.requires_grad_(False).copy_(torch.arange(bins).view(1, bins, 1, 1))


HELPERS = {
    kind.__name__: kind for kind in (SameConv2d, SameMaxPool2d, SameAvgPool2d, DropPath, LayerScale, Expectation)
}


def _module(op: Any, arch: Arch, drop_path: float) -> nn.Module | None:
    """Returns the submodule of an operator that has state or a mode; None for a stateless one."""
    name, arguments = constructor(op, arch, drop_path)
    if not name:
        return None
    kind = HELPERS.get(name) or getattr(nn, name.removeprefix("nn."))
    module = kind(*[value for key, value in arguments if not key], **{key: value for key, value in arguments if key})
    return _initialised_linear(module, op.init) if isinstance(module, nn.Linear) else module


def _initialised_linear(linear: nn.Linear, init: str) -> nn.Linear:
    """Initialises a linear layer and returns it.

    Weights are uniform within 1/√width (EfficientNet's reference code) or normal with σ = 0.01 (VGG,
    MobileNet); biases are 0.
    """
    if init == "uniform":
        bound = 1 / math.sqrt(linear.out_features)
        nn.init.uniform_(linear.weight, -bound, bound)
    else:
        nn.init.normal_(linear.weight, 0, 0.01)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def _call(graph: fx.Graph, op: object, args: list[Any]) -> Any:
    """Adds the node of a stateless operator to `graph` and returns it."""
    if tensor_call := method(op):
        name, values, keywords = tensor_call
        return graph.call_method(name, (args[0], *values), keywords)
    match op:
        case ops.Add():
            return graph.call_function(operator.add, tuple(args))
        case ops.Mul():
            return graph.call_function(operator.mul, tuple(args))
        case ops.MatMul():
            return graph.call_function(torch.matmul, tuple(args))
        case ops.Scale(factor):
            return graph.call_function(operator.mul, (args[0], factor))
        case ops.Offset(value):
            return graph.call_function(operator.add, (args[0], value))
        case ops.Item(index):
            return graph.call_function(operator.getitem, (args[0], index))
        case ops.Concat(dim):
            return graph.call_function(torch.cat, (args, dim + 1))
        case ops.PadChannels(before, after):
            return graph.call_function(F.pad, (args[0], (0, 0, 0, 0, before, after)))
        case ops.Spread():
            size = graph.call_function(getattr, (args[1], "shape"))
            size = graph.call_function(operator.getitem, (size, slice(-2, None)))
            return graph.call_method("unflatten", (args[0], -1, size))
    raise TypeError(f"no torch reading of {op!r}")


def build_block(block: BlockGraph, arch: Arch, drop_path: float = 0.0) -> fx.GraphModule:
    """Builds one block as a `torch.fx.GraphModule` whose submodules have the layers' names."""
    root: dict[str, nn.Module] = {}
    graph = fx.Graph()
    names = ["x"] if len(block.in_shapes) == 1 else [f"x{i}" for i in range(len(block.in_shapes))]
    nodes = {-1 - i: graph.placeholder(name) for i, name in enumerate(names)}
    for index, layer in enumerate(block.layers):
        args = [nodes[i] for i in layer.inputs]
        if isinstance(layer.op, ops.DropPath) and drop_path == 0.0:
            nodes[index] = args[0]
        elif (module := _module(layer.op, arch, drop_path)) is not None:
            if layer.name in root:
                raise ValueError(f'block "{block.kind}" records two layers named "{layer.name}"')
            root[layer.name] = module
            if index in block.in_place:
                setattr(module, "inplace", True)  # noqa: B010  # of the kinds that have it
            nodes[index] = graph.call_module(layer.name, tuple(args))
        else:
            nodes[index] = _call(graph, layer.op, args)
    outputs = tuple(nodes[i] for i in block.outputs)
    graph.output(outputs if len(outputs) > 1 else outputs[0])
    name = "".join(part.capitalize() for part in block.kind.split("_"))
    return fx.GraphModule(root, graph, class_name=name)


class MultiInputStage(nn.Sequential):
    """Holds the blocks of a stage whose first block takes several maps."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        first, *rest = self
        x = first(*inputs)
        for block in rest:
            x = block(x)
        return cast(torch.Tensor, x)


class Network(nn.Module):
    """A network built from an `Arch`: `stem`, `stages` (a sequence of sequences of blocks) and `head`.

    `forward` takes images `(n, channels, height, width)`. A head with several outputs returns a tuple. In
    training mode, a network with auxiliary heads returns its output and theirs.

    Attributes:
        arch: What it was built from.
        library: The library whose weights it has; "scalesearch" for fresh ones and our own.
        metadata: The metadata of the file that the weights were loaded from.
    """

    def __init__(
        self, arch: Arch, stem: nn.Sequential, stages: nn.Sequential, head: nn.Module, auxiliary: list[nn.Module]
    ):
        super().__init__()
        self.arch, self.stem, self.stages, self.head = arch, stem, stages, head
        self.library = "scalesearch"
        self.file_metadata: dict[str, str] = {}  # metadata of the weights' file
        self.loaded_part = ""  # which part of the weights' file was loaded, unless it was all
        self.weights_arch = arch  # what the weights were trained as; for a detector it may be its classifier
        self.fresh: frozenset[str] = frozenset()  # tensors that the weights' file has no values for
        if auxiliary:
            self.auxiliary = nn.ModuleList(auxiliary)
        self.sources, self.last_use = arch.sources, last_uses(arch)

    def forward(self, x: torch.Tensor) -> Any:
        sources, outputs = self.sources, {-1: self.stem(x)}
        for i, stage in enumerate(self.stages):
            outputs[i] = stage(*[outputs[j] for j in sources[i]])
            for j in self.last_use[i]:
                del outputs[j]
        out = self.head(*[outputs[j] for j in sources[-1]])
        if self.training and self.arch.auxiliary:
            return out, *[head(outputs[aux.after]) for head, aux in zip(self.auxiliary, self.arch.auxiliary)]
        return out


def last_uses(arch: Arch) -> list[list[int]]:
    """Returns for every stage the earlier outputs (-1 is the stem's) that are not needed after it."""
    last = {j: i for i, sources in enumerate(arch.sources) for j in sources}
    last |= {aux.after: len(arch.stages) for aux in arch.auxiliary}
    unused = set(range(-1, len(arch.stages))) - last.keys()
    return [[j for j, use in last.items() if use == i] + ([i] if i in unused else []) for i in range(len(arch.stages))]


def drop_path_rates(graph: Graph) -> list[list[float]]:
    """Returns the stochastic-depth rate of every block in the stages.

    It is 0 for the first block and grows by `drop_path` divided by the number of blocks from each to the
    next.
    """
    total, rates, blocks_before = sum(map(len, graph.stages)), [], 0
    for stage in graph.stages:
        rates.append([round(graph.arch.drop_path * (blocks_before + j) / total, 4) for j in range(len(stage))])
        blocks_before += len(stage)
    return rates


def initialise(model: M) -> M:
    """Initialises the convolutions of `model` and returns it.

    Weights are normal after He et al. (2015), with the fan out divided by groups as in EfficientNet's
    reference code; biases are 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, Expectation):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def _stage(blocks: Sequence[BlockGraph], arch: Arch, rates: Sequence[float]) -> nn.Sequential:
    kind = MultiInputStage if len(blocks[0].in_shapes) > 1 else nn.Sequential
    return kind(*[build_block(b, arch, r) for b, r in zip(blocks, rates)])


def build(arch: Arch) -> Network:
    """Builds an ordinary `nn.Module` with fresh weights for `arch`.

    It takes images `(n, channels, height, width)` and returns logits `(n, classes)` for a classifier, several
    tensors for a detector.

    Raises:
        InputError: If the resolution is too small for the strides.
    """
    check_kind(arch, Arch, ARCH_WANTED, "build")
    graph = expand(arch)
    rates = drop_path_rates(graph)
    stem = nn.Sequential(*[build_block(b, arch) for b in graph.stem])
    stages = nn.Sequential(*[_stage(stage, arch, stage_rates) for stage, stage_rates in zip(graph.stages, rates)])
    auxiliary: list[nn.Module] = [build_block(b, arch) for b in graph.auxiliary]
    return initialise(Network(arch, stem, stages, build_block(graph.head, arch), auxiliary))
