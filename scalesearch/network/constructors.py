"""Operator → the constructor of its torch module, or the method it calls, as names and values: no torch is needed to
know it."""

from __future__ import annotations

from typing import Any

from scalesearch.arch import Arch, operators as ops

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
TOLD: dict[str, Arguments] = {"leaky_relu": [("", 0.1)], "gelu_tanh": [("approximate", "tanh")]}


def _square(pair: Any) -> Any:
    return pair[0] if isinstance(pair, tuple) and pair[0] == pair[1] else pair


def constructor(op: Any, arch: Arch, rate: float) -> tuple[str, Arguments]:
    """The name of an operator's module and its arguments; no name: it is a call without state.

    The builder makes it and the exporter prints it, so the two cannot differ.
    """
    match op:
        case ops.Conv():
            same = op.padding == "same"
            args = [
                ("", op.cin),
                ("", op.cout),
                ("", _square(op.kernel)),
                ("stride", _square(op.stride)),
                ("padding", 0 if same else _square(op.padding)),
                ("dilation", _square(op.dilation)),
                ("groups", op.groups),
                ("bias", op.bias),
            ]
            return "SameConv2d" if same else "nn.Conv2d", args
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
            return f"nn.{ACTIVATIONS[fn]}", list(TOLD.get(fn, ()))
        case ops.Pool():
            same = op.padding == "same"
            args = [("", op.kernel), ("", op.stride)] if same else [("", _square(op.kernel)), ("", _square(op.stride))]
            args += [("padding", 0 if same else _square(op.padding)), ("ceil_mode", op.ceil)]
            args += [("count_include_pad", op.count_pad)] if op.kind == "avg" else []
            return ("Same" if same else "nn.") + f"{op.kind.capitalize()}Pool2d", args
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


def _batched(dim: int) -> int:
    """A dimension of ours, which leaves the batch out, as torch counts it."""
    return dim + 1 if dim >= 0 else dim


def method(op: Any) -> tuple[str, tuple, dict[str, Any]] | None:
    """The tensor method of a stateless operator on one input, with its arguments; None for what is no such method."""
    match op:
        case ops.Split(sizes, dim):
            return "split", (list(sizes), _batched(dim)), {}
        case ops.Flatten(start, end):
            return "flatten", (_batched(start),) if end == -1 else (_batched(start), _batched(end)), {}
        case ops.Unflatten(dim, sizes):
            return "unflatten", (_batched(dim), sizes), {}
        case ops.Permute(dims):
            return "permute", (0, *map(_batched, dims)), {}
        case ops.Softmax():
            return "softmax", (-1,), {}
        case ops.Reduce(kind):
            return "mean" if kind == "mean" else "amax", (1,), {"keepdim": True}
    return None
