"""Maps each operator to the constructor of its torch module, or to the tensor method it calls.

Both are given as names and values, so that torch need not be imported.
"""

from __future__ import annotations

from typing import Any

from scalesearch.arch import Arch, operators as ops
from scalesearch.plain_data import PlainDict

Arguments = list[tuple[str, Any]]  # keyword and value; an empty keyword is positional
ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "silu": "SiLU",
    "hswish": "Hardswish",
    "hsigmoid": "Hardsigmoid",
    "sigmoid": "Sigmoid",
    "gelu": "GELU",
    "leaky_relu": "LeakyReLU",
    "mish": "Mish",
    "tanh": "Tanh",
    "elu": "ELU",
    "selu": "SELU",
    "gelu_tanh": "GELU",
    "hardtanh": "Hardtanh",
}
ACTIVATION_ARGUMENTS: dict[str, Arguments] = {"leaky_relu": [("", 0.1)], "gelu_tanh": [("approximate", "tanh")]}


def _square(pair: object) -> Any:
    return pair[0] if isinstance(pair, tuple) and pair[0] == pair[1] else pair


def constructor(op: object, arch: Arch, rate: float) -> tuple[str, Arguments]:
    """Returns the name of an operator's module class, empty for a stateless operator, and its arguments.

    The builder calls it and the exporter prints it, so the two cannot differ. `rate` is the probability of
    `DropPath`.
    """
    match op:
        case ops.Conv():
            same_padding = op.padding == "same"
            args = [
                ("", op.cin),
                ("", op.cout),
                ("", _square(op.kernel)),
                ("stride", _square(op.stride)),
                ("padding", 0 if same_padding else _square(op.padding)),
                ("dilation", _square(op.dilation)),
                ("groups", op.groups),
                ("bias", op.bias),
            ]
            return "SameConv2d" if same_padding else "nn.Conv2d", args
        case ops.Norm(channels, 0):
            return "nn.BatchNorm2d", [("", channels), ("eps", arch.norm_eps), ("momentum", arch.norm_momentum)]
        case ops.Norm(channels, groups):
            return "nn.GroupNorm", [("", groups), ("", channels), ("eps", arch.norm_eps)]
        case ops.LayerNorm(channels):
            return "nn.LayerNorm", [("", channels), ("eps", arch.norm_eps)]
        case ops.LayerScale(channels, init):
            return "LayerScale", [("", channels), ("init", init)]
        case ops.Expectation(bins):
            return "Expectation", [("", bins)]
        case ops.Act(fn):
            return f"nn.{ACTIVATIONS[fn]}", list(ACTIVATION_ARGUMENTS.get(fn, ()))
        case ops.Pool():
            same_padding = op.padding == "same"
            args = [("", side if same_padding else _square(side)) for side in (op.kernel, op.stride)]
            args += [("padding", 0 if same_padding else _square(op.padding)), ("ceil_mode", op.ceil)]
            args += [("count_include_pad", op.count_pad)] if op.kind == "avg" else []
            return ("Same" if same_padding else "nn.") + f"{op.kind.capitalize()}Pool2d", args
        case ops.AdaptivePool(kind, size):
            return f"nn.Adaptive{kind.capitalize()}Pool2d", [("", _square(size))]
        case ops.Linear(cin, cout, bias):
            return "nn.Linear", [("", cin), ("", cout), ("bias", bias)]
        case ops.Dropout(p):
            return "nn.Dropout", [("", p)]
        case ops.DropPath():
            return "DropPath", [("", rate)]
        case ops.Unfold(kernel, stride, padding):
            return "nn.Unfold", [("", kernel), ("padding", padding), ("stride", stride)]
        case ops.Upsample(scale, mode):
            return "nn.Upsample", [("scale_factor", scale), ("mode", mode)]
    return "", []


def _batched_dim(dim: int) -> int:
    """Returns torch's number of a dimension that is counted here without the batch."""
    return dim + 1 if dim >= 0 else dim


def method(op: object) -> tuple[str, tuple[Any, ...], PlainDict] | None:
    """Returns the tensor method of a stateless operator on one input: name, arguments and keywords.

    It is None for an operator that is no such method.
    """
    match op:
        case ops.Split(sizes, dim):
            return "split", (list(sizes), _batched_dim(dim)), {}
        case ops.Flatten(start, end):
            return "flatten", (_batched_dim(start),) if end == -1 else (_batched_dim(start), _batched_dim(end)), {}
        case ops.Unflatten(dim, sizes):
            return "unflatten", (_batched_dim(dim), sizes), {}
        case ops.Permute(dims):
            return "permute", (0, *map(_batched_dim, dims)), {}
        case ops.Softmax():
            return "softmax", (-1,), {}
        case ops.Reduce(kind):
            return "mean" if kind == "mean" else "amax", (1,), {"keepdim": True}
    return None
