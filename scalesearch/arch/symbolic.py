"""Symbolic tensors that record typed layers: what a block is, before anybody counts, builds or prints it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

from scalesearch.arch import operators as ops
from scalesearch.arch.graph import BlockGraph, Layer, ShapeError, TooSmall, live
from scalesearch.arch.operators import Shape


class Tape:
    """What a block's tensors record on, and what the names of the layers begin with at the moment."""

    __slots__ = ("layers", "prefix", "same")

    def __init__(self, same: bool):
        self.layers: list[Layer] = []
        self.same, self.prefix = same, ""


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    if not isinstance(value, tuple):
        return value, value
    if len(value) != 2:
        raise ShapeError(f"a kernel is a side, or height and width, got {list(value)}")
    return value


class SymTensor:
    """A feature map (or vector) that a block computes; every method records one layer and returns its output."""

    __slots__ = ("index", "shape", "tape")

    def __init__(self, tape: Tape, index: int, shape: Shape):
        self.tape, self.index, self.shape = tape, index, shape

    @property
    def channels(self) -> int:
        return self.shape[0]

    def _record(self, op: Any, name: str, shape: Any, others: Sequence[SymTensor] = ()) -> SymTensor:
        layers = self.tape.layers
        inputs = (self.index, *[o.index for o in others]) if others else (self.index,)
        layers.append(Layer(op, self.tape.prefix + name, inputs, shape))
        return SymTensor(self.tape, len(layers) - 1, shape)

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Layers recorded meanwhile are named `name.…`."""
        before = self.tape.prefix
        self.tape.prefix = f"{before}{name}."
        try:
            yield
        finally:
            self.tape.prefix = before

    def _slide(self, kernel, stride, padding, dilation=(1, 1), ceil=False, name="") -> tuple[Any, int, int]:
        """Padding to use and the output height and width of a window sliding over this map."""
        if len(self.shape) != 3:
            raise ShapeError(f"{name} needs a feature map, got features of shape {self.shape}")
        _, h, w = self.shape
        (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
        if h < sh or w < sw:
            raise TooSmall(f"{name} has stride {max(sh, sw)} on a map of {h}×{w}")
        if padding is None:
            padding = "same" if self.tape.same else (dh * (kh - 1) // 2, dw * (kw - 1) // 2)
        if padding == "same":
            return padding, -(-h // sh), -(-w // sw)
        ph, pw = padding
        slack_h, slack_w = h + 2 * ph - dh * (kh - 1) - 1, w + 2 * pw - dw * (kw - 1) - 1
        if slack_h < 0 or slack_w < 0:
            raise TooSmall(f"{name} has kernel {kh}×{kw} on a map of {h}×{w}")
        oh, ow = slack_h // sh + 1, slack_w // sw + 1
        if ceil:  # torch drops a last window that would start in the padding
            oh += slack_h % sh > 0 and oh * sh < h + ph
            ow += slack_w % sw > 0 and ow * sw < w + pw
        return padding, oh, ow

    def conv(self, width, kernel=1, stride=1, *, groups=1, dilation=1, padding=None, bias=False, name="conv"):
        kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
        padding = _pair(padding) if isinstance(padding, int) else padding
        padding, h, w = self._slide(kernel, stride, padding, dilation, name=name)
        cin = self.shape[0]
        if width < 1 or groups < 1:
            raise ShapeError(f"{name} would have {width} channels in {groups} groups")
        if cin % groups or width % groups:
            raise ShapeError(f"{name} has {groups} groups, which divide not both of {cin} and {width} channels")
        return self._record(ops.Conv(cin, width, kernel, stride, padding, dilation, groups, bias), name, (width, h, w))

    def norm(self, groups: int = 0, name: str = "norm") -> SymTensor:
        if groups and self.shape[0] % groups:
            raise ShapeError(f"{name} has {groups} groups, which don't divide {self.shape[0]} channels")
        return self._record(ops.Norm(self.shape[0], groups), name, self.shape)

    def layer_norm(self, name: str = "norm") -> SymTensor:
        """Over the last dimension."""
        return self._record(ops.LayerNorm(self.shape[-1]), name, self.shape)

    def act(self, fn: str, name: str = "act") -> SymTensor:
        return self._record(ops.Act(fn), name, self.shape)

    def _pool(self, kind, kernel, stride, padding, ceil, count_pad, name):
        kernel, stride = _pair(kernel), _pair(kernel if stride is None else stride)
        padding = _pair(padding) if isinstance(padding, int) else padding
        if isinstance(padding, tuple) and (2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]):
            raise ShapeError(f"{name} pads by more than half its kernel, {max(padding)} of {max(kernel)}")
        padding, h, w = self._slide(kernel, stride, padding, ceil=ceil, name=name)
        return self._record(ops.Pool(kind, kernel, stride, padding, ceil, count_pad), name, (self.shape[0], h, w))

    def max_pool(self, kernel, stride=None, padding=0, ceil=False, name="pool") -> SymTensor:
        return self._pool("max", kernel, stride, padding, ceil, True, name)

    def avg_pool(self, kernel, stride=None, padding=0, ceil=False, count_pad=True, name="pool") -> SymTensor:
        return self._pool("avg", kernel, stride, padding, ceil, count_pad, name)

    def adaptive_pool(self, size, kind="avg", name="pool") -> SymTensor:
        size = _pair(size)
        return self._record(ops.AdaptivePool(kind, size), name, (self.shape[0], *size))

    def global_pool(self, name: str = "pool") -> SymTensor:
        return self.adaptive_pool(1, name=name)

    def linear(self, width: int, bias: bool = True, init: str = "normal", name: str = "linear") -> SymTensor:
        return self._record(ops.Linear(self.shape[-1], width, bias, init), name, (*self.shape[:-1], width))

    def dropout(self, p: float, name: str = "dropout") -> SymTensor:
        return self._record(ops.Dropout(p), name, self.shape)

    def drop_path(self, name: str = "drop_path") -> SymTensor:
        return self._record(ops.DropPath(), name, self.shape)

    def scale(self, factor: float, name: str = "scale") -> SymTensor:
        """Times a constant."""
        return self._record(ops.Scale(float(factor)), name, self.shape)

    def offset(self, value: float, name: str = "offset") -> SymTensor:
        """Plus a constant."""
        return self._record(ops.Offset(float(value)), name, self.shape)

    def layer_scale(self, init: float, name: str = "layer_scale") -> SymTensor:
        """Times a learned factor per channel."""
        return self._record(ops.LayerScale(self.channels, init), name, self.shape)

    def pad_channels(self, before: int, after: int, name: str = "pad") -> SymTensor:
        c, h, w = self.shape
        return self._record(ops.PadChannels(before, after), name, (c + before + after, h, w))

    def over_channels(self, kind: str, name: str) -> SymTensor:
        """The "mean" or "max" over the channels, as a map of one channel."""
        return self._record(ops.Reduce(kind), name, (1, *self.shape[1:]))

    def expectation(self, name: str = "dfl") -> SymTensor:
        """The mean of a distribution over the channels, which stand for 0, 1, 2, …"""
        return self._record(ops.Expectation(self.channels), name, (1, *self.shape[1:]))

    def __add__(self, other: SymTensor) -> SymTensor:
        if self.shape != other.shape:
            raise ShapeError(f"cannot add maps of {self.shape} and {other.shape}")
        return self._record(ops.Add(), f"add{len(self.tape.layers)}", self.shape, [other])

    def __mul__(self, other: SymTensor) -> SymTensor:
        if any(a != b and 1 not in (a, b) for a, b in zip(self.shape, other.shape, strict=True)):
            raise ShapeError(f"cannot multiply maps of {self.shape} and {other.shape}")
        shape = tuple(max(a, b) for a, b in zip(self.shape, other.shape))
        return self._record(ops.Mul(), f"mul{len(self.tape.layers)}", shape, [other])

    def split(self, sizes: Sequence[int], dim: int = 0, name: str = "split") -> list[SymTensor]:
        sizes = tuple(sizes)
        if sum(sizes) != self.shape[dim]:
            raise ShapeError(f"{name} of {sizes} doesn't add up to {self.shape[dim]}")
        shapes = tuple((*self.shape[:dim], size, *self.shape[dim + 1 :]) for size in sizes)
        parts = self._record(ops.Split(sizes, dim), name, shapes)
        return [parts._record(ops.Item(i), f"{name}_{i}", shape) for i, shape in enumerate(shapes)]

    def flatten(self, start: int = 0, end: int = -1, name: str = "flatten") -> SymTensor:
        """Dimensions `start` to `end` as one."""
        last = end % len(self.shape)
        shape = (*self.shape[:start], prod(self.shape[start : last + 1]), *self.shape[last + 1 :])
        return self._record(ops.Flatten(start, end), name, shape)

    def unflatten(self, dim: int, sizes: tuple[int, ...], name: str = "unflatten") -> SymTensor:
        """One dimension as several; one of `sizes` may be -1: what works at any resolution."""
        known = prod(size for size in sizes if size != -1)
        if self.shape[dim] % known or (-1 not in sizes and known != self.shape[dim]):
            raise ShapeError(f"cannot cut {self.shape[dim]} into {' × '.join(map(str, sizes))}")
        cut = tuple(self.shape[dim] // known if size == -1 else size for size in sizes)
        return self._record(ops.Unflatten(dim, sizes), name, (*self.shape[:dim], *cut, *self.shape[dim + 1 :]))

    def spread_like(self, other: SymTensor, name: str = "spread") -> SymTensor:
        """The last dimension as the height and width of a map with as many pixels."""
        return self._record(ops.Spread(), name, (*self.shape[:-1], *other.shape[-2:]), [other])

    def permute(self, *dims: int, name: str = "permute") -> SymTensor:
        return self._record(ops.Permute(dims), name, tuple(self.shape[d] for d in dims))

    def transpose(self, name: str = "transpose") -> SymTensor:
        """The last two dimensions exchanged."""
        *rest, a, b = range(len(self.shape))
        return self.permute(*rest, b, a, name=name)

    def upsample(self, scale: int = 2, mode: str = "nearest", name: str = "upsample") -> SymTensor:
        c, h, w = self.shape
        return self._record(ops.Upsample(scale, mode), name, (c, h * scale, w * scale))

    def __matmul__(self, other: SymTensor) -> SymTensor:
        if self.shape[:-2] != other.shape[:-2] or self.shape[-1] != other.shape[-2]:
            raise ShapeError(f"cannot multiply matrices of {self.shape} and {other.shape}")
        return self._record(ops.MatMul(), f"matmul{len(self.tape.layers)}", (*self.shape[:-1], other.shape[-1]),
                            [other])

    def softmax(self, name: str = "softmax") -> SymTensor:
        """Over the last dimension."""
        return self._record(ops.Softmax(), name, self.shape)


def concat(tensors: Sequence[SymTensor], dim: int = 0, name: str = "concat") -> SymTensor:
    first, *others = tensors
    rest = {(*t.shape[:dim], *t.shape[dim + 1 :]) for t in tensors}
    if len(rest) > 1:
        raise ShapeError(f"cannot concatenate maps of {', '.join(str(t.shape) for t in tensors)}")
    size = sum(t.shape[dim] for t in tensors)
    return first._record(ops.Concat(dim), name, (*first.shape[:dim], size, *first.shape[dim + 1 :]), others)


def trace(kind: str, block: Callable, in_shapes: tuple[Shape, ...], same: bool = False, *, several: bool = False,
          **arguments: Any) -> BlockGraph:
    """Record `block(x, **arguments)` on an input of each of `in_shapes`; `several`: it takes a list of inputs."""
    tape = Tape(same)
    inputs = [SymTensor(tape, -1 - i, shape) for i, shape in enumerate(in_shapes)]
    out = block(inputs if several else inputs[0], **arguments)
    outputs = tuple(o.index for o in out) if isinstance(out, (tuple, list)) else (out.index,)
    return live(BlockGraph(kind, in_shapes, tuple(tape.layers), outputs))
