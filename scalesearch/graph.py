"""Symbolic tensors that record typed layers: what a block is, before anybody counts, builds or prints it.

Shapes leave the batch out: `(channels, height, width)` for maps, `(features,)` for vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal, NamedTuple

Shape = tuple[int, ...]
ActName = Literal["relu", "relu6", "silu", "hswish", "hsigmoid", "sigmoid", "gelu", "leaky_relu"]


class ShapeError(ValueError):
    """Shapes that don't meet, or a map too small for what is asked of it; `place` is where in the network."""

    place = ""


# One type per operator; a field is what the operator must be told to be rebuilt.
class Conv(NamedTuple):
    cin: int
    cout: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    dilation: tuple[int, int]
    groups: int
    bias: bool


class Norm(NamedTuple):
    channels: int
    groups: int = 0  # 0: batch norm; otherwise group norm


class Act(NamedTuple):
    fn: str


class Pool(NamedTuple):
    kind: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    ceil: bool = False
    count_pad: bool = True


class AdaptivePool(NamedTuple):
    kind: str
    size: tuple[int, int]


class Linear(NamedTuple):
    cin: int
    cout: int
    bias: bool
    init: str


class Dropout(NamedTuple):
    p: float


class DropPath(NamedTuple):
    """Its rate is a matter of where the block stands in the network, so the builder sets it."""


class Add(NamedTuple):
    pass


class Mul(NamedTuple):
    pass


class Concat(NamedTuple):
    dim: int


class Split(NamedTuple):
    sizes: tuple[int, ...]
    dim: int


class Item(NamedTuple):
    index: int


class Reshape(NamedTuple):
    shape: Shape


class Flatten(NamedTuple):
    pass


class Transpose(NamedTuple):
    dims: tuple[int, int]


class Upsample(NamedTuple):
    scale: int
    mode: str


class MatMul(NamedTuple):
    pass


class Softmax(NamedTuple):
    pass


class Layer(NamedTuple):
    """One operator in execution order; `inputs` are indices of earlier layers, -1 the block's own input."""

    op: Any
    name: str
    inputs: tuple[int, ...]
    shape: Any


@dataclass(frozen=True, eq=False)
class BlockGraph:
    """What one block records for one input shape."""

    kind: str
    in_shape: Shape
    out_shape: Shape
    layers: tuple[Layer, ...]
    output: int

    def shape_of(self, index: int) -> Any:
        return self.in_shape if index < 0 else self.layers[index].shape

    @cached_property
    def digest(self) -> str:
        """Names the structure: operators, wiring and shapes, not what the layers are called."""
        wiring = [(type(l.op).__name__, tuple(l.op), l.inputs, l.shape) for l in self.layers]
        return hashlib.sha256(repr((self.in_shape, wiring, self.output)).encode()).hexdigest()

    @cached_property
    def has_drop_path(self) -> bool:
        return any(isinstance(layer.op, DropPath) for layer in self.layers)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


class SymTensor:
    """A feature map (or vector) that a block computes; every method records one layer and returns its output."""

    __slots__ = ("index", "layers", "same", "shape")

    def __init__(self, layers: list[Layer], index: int, shape: Shape, same: bool):
        self.layers, self.index, self.shape, self.same = layers, index, shape, same

    @property
    def channels(self) -> int:
        return self.shape[0]

    def _record(self, op: Any, name: str, shape: Any, others: Sequence[SymTensor] = ()) -> SymTensor:
        layers = self.layers
        layers.append(Layer(op, name, (self.index, *[o.index for o in others]) if others else (self.index,), shape))
        return SymTensor(layers, len(layers) - 1, shape, self.same)

    def _slide(self, kernel, stride, padding, dilation=(1, 1), ceil=False, name="") -> tuple[Any, int, int]:
        """Padding to use and the output height and width of a window sliding over this map."""
        if len(self.shape) != 3:
            raise ShapeError(f"{name} needs a feature map, got features of shape {self.shape}")
        _, h, w = self.shape
        (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
        if h < sh or w < sw:
            raise ShapeError(f"{name} has stride {max(sh, sw)} on a map of {h}×{w}")
        if padding is None:
            padding = "same" if self.same else (dh * (kh - 1) // 2, dw * (kw - 1) // 2)
        if padding == "same":
            return padding, -(-h // sh), -(-w // sw)
        ph, pw = padding
        slack_h, slack_w = h + 2 * ph - dh * (kh - 1) - 1, w + 2 * pw - dw * (kw - 1) - 1
        if slack_h < 0 or slack_w < 0:
            raise ShapeError(f"{name} has kernel {kh}×{kw} on a map of {h}×{w}")
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
        if cin % groups or width % groups:
            raise ShapeError(f"{name} has {groups} groups, which divide not both of {cin} and {width} channels")
        return self._record(Conv(cin, width, kernel, stride, padding, dilation, groups, bias), name, (width, h, w))

    def norm(self, groups: int = 0, name: str = "norm") -> SymTensor:
        if groups and self.shape[0] % groups:
            raise ShapeError(f"{name} has {groups} groups, which don't divide {self.shape[0]} channels")
        return self._record(Norm(self.shape[0], groups), name, self.shape)

    def act(self, fn: str, name: str = "act") -> SymTensor:
        return self._record(Act(fn), name, self.shape)

    def _pool(self, kind, kernel, stride, padding, ceil, count_pad, name):
        kernel, stride = _pair(kernel), _pair(kernel if stride is None else stride)
        padding = _pair(padding) if isinstance(padding, int) else padding
        if isinstance(padding, tuple) and (2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]):
            raise ShapeError(f"{name} pads by more than half its kernel, {max(padding)} of {max(kernel)}")
        padding, h, w = self._slide(kernel, stride, padding, ceil=ceil, name=name)
        return self._record(Pool(kind, kernel, stride, padding, ceil, count_pad), name, (self.shape[0], h, w))

    def max_pool(self, kernel, stride=None, padding=0, ceil=False, name="pool") -> SymTensor:
        return self._pool("max", kernel, stride, padding, ceil, True, name)

    def avg_pool(self, kernel, stride=None, padding=0, ceil=False, count_pad=True, name="pool") -> SymTensor:
        return self._pool("avg", kernel, stride, padding, ceil, count_pad, name)

    def adaptive_pool(self, size, kind="avg", name="pool") -> SymTensor:
        size = _pair(size)
        return self._record(AdaptivePool(kind, size), name, (self.shape[0], *size))

    def global_pool(self, name: str = "pool") -> SymTensor:
        return self.adaptive_pool(1, name=name)

    def linear(self, width: int, bias: bool = True, init: str = "normal", name: str = "linear") -> SymTensor:
        return self._record(Linear(self.shape[-1], width, bias, init), name, (*self.shape[:-1], width))

    def dropout(self, p: float, name: str = "dropout") -> SymTensor:
        return self._record(Dropout(p), name, self.shape)

    def drop_path(self, name: str = "drop_path") -> SymTensor:
        return self._record(DropPath(), name, self.shape)

    def __add__(self, other: SymTensor) -> SymTensor:
        if self.shape != other.shape:
            raise ShapeError(f"cannot add maps of {self.shape} and {other.shape}")
        return self._record(Add(), f"add{len(self.layers)}", self.shape, [other])

    def __mul__(self, other: SymTensor) -> SymTensor:
        if any(a != b and 1 not in (a, b) for a, b in zip(self.shape, other.shape, strict=True)):
            raise ShapeError(f"cannot multiply maps of {self.shape} and {other.shape}")
        shape = tuple(max(a, b) for a, b in zip(self.shape, other.shape))
        return self._record(Mul(), f"mul{len(self.layers)}", shape, [other])

    def split(self, sizes: Sequence[int], dim: int = 0, name: str = "split") -> list[SymTensor]:
        sizes = tuple(sizes)
        if sum(sizes) != self.shape[dim]:
            raise ShapeError(f"{name} of {sizes} doesn't add up to {self.shape[dim]}")
        shapes = tuple((*self.shape[:dim], size, *self.shape[dim + 1 :]) for size in sizes)
        parts = self._record(Split(sizes, dim), name, shapes)
        return [parts._record(Item(i), f"{name}_{i}", shape) for i, shape in enumerate(shapes)]

    def reshape(self, *shape: int, name: str = "reshape") -> SymTensor:
        if prod(shape) != prod(self.shape):
            raise ShapeError(f"cannot reshape {self.shape} to {shape}")
        return self._record(Reshape(shape), name, shape)

    def flatten(self, name: str = "flatten") -> SymTensor:
        return self._record(Flatten(), name, (prod(self.shape),))

    def transpose(self, a: int, b: int, name: str = "transpose") -> SymTensor:
        shape = list(self.shape)
        shape[a], shape[b] = shape[b], shape[a]
        return self._record(Transpose((a % len(shape), b % len(shape))), name, tuple(shape))

    def upsample(self, scale: int = 2, mode: str = "nearest", name: str = "upsample") -> SymTensor:
        c, h, w = self.shape
        return self._record(Upsample(scale, mode), name, (c, h * scale, w * scale))

    def __matmul__(self, other: SymTensor) -> SymTensor:
        if self.shape[:-2] != other.shape[:-2] or self.shape[-1] != other.shape[-2]:
            raise ShapeError(f"cannot multiply matrices of {self.shape} and {other.shape}")
        return self._record(MatMul(), f"matmul{len(self.layers)}", (*self.shape[:-1], other.shape[-1]), [other])

    def softmax(self, name: str = "softmax") -> SymTensor:
        """Over the last dimension."""
        return self._record(Softmax(), name, self.shape)


def concat(tensors: Sequence[SymTensor], dim: int = 0, name: str = "concat") -> SymTensor:
    first, *others = tensors
    rest = {(*t.shape[:dim], *t.shape[dim + 1 :]) for t in tensors}
    if len(rest) > 1:
        raise ShapeError(f"cannot concatenate maps of {', '.join(str(t.shape) for t in tensors)}")
    size = sum(t.shape[dim] for t in tensors)
    return first._record(Concat(dim), name, (*first.shape[:dim], size, *first.shape[dim + 1 :]), others)


def trace(kind: str, block, in_shape: Shape, same: bool = False, **arguments: Any) -> BlockGraph:
    """Record `block(x, **arguments)` on an input of `in_shape`."""
    layers: list[Layer] = []
    out = block(SymTensor(layers, -1, in_shape, same), **arguments)
    return BlockGraph(kind, in_shape, out.shape, tuple(layers), out.index)
