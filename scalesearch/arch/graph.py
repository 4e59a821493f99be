"""Symbolic tensors that record typed layers: what a block is, before anybody counts, builds or prints it.

Shapes leave the batch out: `(channels, height, width)` for maps, `(features,)` for vectors.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

from scalesearch.arch.operators import (
    Act,
    AdaptivePool,
    Add,
    Concat,
    Conv,
    Dropout,
    DropPath,
    Expectation,
    Flatten,
    Item,
    LayerNorm,
    LayerScale,
    Linear,
    MatMul,
    Mul,
    Norm,
    PadChannels,
    Permute,
    Pool,
    Reduce,
    Scale,
    Shape,
    Softmax,
    Split,
    Spread,
    Unflatten,
    Upsample,
)

OVERWRITES = ("relu", "relu6", "leaky_relu")  # their backward pass needs the output alone


class ShapeError(ValueError):
    """Shapes that don't meet; `place` is where in the network."""

    place = ""


class TooSmall(ShapeError):
    """A map too small for what is asked of it: a larger resolution helps."""


class Layer(NamedTuple):
    """One operator in execution order; `inputs` are indices of earlier layers, -1 the block's first input, -2 its second."""

    op: Any
    name: str
    inputs: tuple[int, ...]
    shape: Any


def named_structure(*parts: Any) -> str:
    """64 hex digits that name `parts`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class BlockGraph:
    """What one block records for the shapes of its inputs; a head may have several outputs."""

    kind: str
    in_shapes: tuple[Shape, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]

    def shape_of(self, index: int) -> Any:
        return self.in_shapes[-1 - index] if index < 0 else self.layers[index].shape

    @property
    def in_shape(self) -> Shape:
        """Of the first input."""
        return self.in_shapes[0]

    @property
    def out_shape(self) -> Shape:
        """Of the first output."""
        return self.shape_of(self.outputs[0])

    @cached_property
    def digest(self) -> str:
        """Names the structure: operators, wiring and shapes, not what the layers are called nor the order of a sum's terms."""
        values = [f"input {i} {shape}" for i, shape in enumerate(self.in_shapes)]
        terms: dict[int, list[str]] = {}  # of sums, those inside taken apart
        nodes = []
        named = lambda i: values[-1 - i] if i < 0 else nodes[i]
        for i, layer in enumerate(self.layers):
            inputs = [named(j) for j in layer.inputs]
            if isinstance(layer.op, Add):
                terms[i] = sorted(term for j in layer.inputs for term in terms.get(j, [named(j)]))
                inputs = terms[i]
            elif isinstance(layer.op, Mul):
                inputs.sort()
            nodes.append(named_structure(type(layer.op).__name__, tuple(layer.op), inputs, layer.shape))
        computing = sorted(node for layer, node in zip(self.layers, nodes) if not isinstance(layer.op, Add))
        return named_structure(self.in_shapes, computing, [named(i) for i in self.outputs])

    @cached_property
    def in_place(self) -> frozenset[int]:
        """Activations that may overwrite their input: nothing else takes it, and no backward pass needs it."""
        uses = Counter(i for layer in self.layers for i in layer.inputs) + Counter(self.outputs)
        return frozenset(
            i for i, (op, _, (source, *_), _) in enumerate(self.layers)
            if isinstance(op, Act) and op.fn in OVERWRITES and source >= 0 and uses[source] == 1
            and isinstance(self.layers[source].op, (Conv, Norm, Linear, Add)))  # fmt: skip

    @cached_property
    def has_drop_path(self) -> bool:
        return any(isinstance(layer.op, DropPath) for layer in self.layers)


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
        return self._record(Conv(cin, width, kernel, stride, padding, dilation, groups, bias), name, (width, h, w))

    def norm(self, groups: int = 0, name: str = "norm") -> SymTensor:
        if groups and self.shape[0] % groups:
            raise ShapeError(f"{name} has {groups} groups, which don't divide {self.shape[0]} channels")
        return self._record(Norm(self.shape[0], groups), name, self.shape)

    def layer_norm(self, name: str = "norm") -> SymTensor:
        """Over the last dimension."""
        return self._record(LayerNorm(self.shape[-1]), name, self.shape)

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

    def scale(self, factor: float, name: str = "scale") -> SymTensor:
        """Times a constant."""
        return self._record(Scale(float(factor)), name, self.shape)

    def layer_scale(self, init: float, name: str = "layer_scale") -> SymTensor:
        """Times a learned factor per channel."""
        return self._record(LayerScale(self.channels, init), name, self.shape)

    def pad_channels(self, before: int, after: int, name: str = "pad") -> SymTensor:
        c, h, w = self.shape
        return self._record(PadChannels(before, after), name, (c + before + after, h, w))

    def over_channels(self, kind: str, name: str) -> SymTensor:
        """The "mean" or "max" over the channels, as a map of one channel."""
        return self._record(Reduce(kind), name, (1, *self.shape[1:]))

    def expectation(self, name: str = "dfl") -> SymTensor:
        """The mean of a distribution over the channels, which stand for 0, 1, 2, …"""
        return self._record(Expectation(self.channels), name, (1, *self.shape[1:]))

    def __add__(self, other: SymTensor) -> SymTensor:
        if self.shape != other.shape:
            raise ShapeError(f"cannot add maps of {self.shape} and {other.shape}")
        return self._record(Add(), f"add{len(self.tape.layers)}", self.shape, [other])

    def __mul__(self, other: SymTensor) -> SymTensor:
        if any(a != b and 1 not in (a, b) for a, b in zip(self.shape, other.shape, strict=True)):
            raise ShapeError(f"cannot multiply maps of {self.shape} and {other.shape}")
        shape = tuple(max(a, b) for a, b in zip(self.shape, other.shape))
        return self._record(Mul(), f"mul{len(self.tape.layers)}", shape, [other])

    def split(self, sizes: Sequence[int], dim: int = 0, name: str = "split") -> list[SymTensor]:
        sizes = tuple(sizes)
        if sum(sizes) != self.shape[dim]:
            raise ShapeError(f"{name} of {sizes} doesn't add up to {self.shape[dim]}")
        shapes = tuple((*self.shape[:dim], size, *self.shape[dim + 1 :]) for size in sizes)
        parts = self._record(Split(sizes, dim), name, shapes)
        return [parts._record(Item(i), f"{name}_{i}", shape) for i, shape in enumerate(shapes)]

    def flatten(self, start: int = 0, end: int = -1, name: str = "flatten") -> SymTensor:
        """Dimensions `start` to `end` as one."""
        last = end % len(self.shape)
        shape = (*self.shape[:start], prod(self.shape[start : last + 1]), *self.shape[last + 1 :])
        return self._record(Flatten(start, end), name, shape)

    def unflatten(self, dim: int, sizes: tuple[int, ...], name: str = "unflatten") -> SymTensor:
        """One dimension as several; one of `sizes` may be -1: what works at any resolution."""
        known = prod(size for size in sizes if size != -1)
        if self.shape[dim] % known or (-1 not in sizes and known != self.shape[dim]):
            raise ShapeError(f"cannot cut {self.shape[dim]} into {' × '.join(map(str, sizes))}")
        cut = tuple(self.shape[dim] // known if size == -1 else size for size in sizes)
        return self._record(Unflatten(dim, sizes), name, (*self.shape[:dim], *cut, *self.shape[dim + 1 :]))

    def spread_like(self, other: SymTensor, name: str = "spread") -> SymTensor:
        """The last dimension as the height and width of a map with as many pixels."""
        return self._record(Spread(), name, (*self.shape[:-1], *other.shape[-2:]), [other])

    def permute(self, *dims: int, name: str = "permute") -> SymTensor:
        return self._record(Permute(dims), name, tuple(self.shape[d] for d in dims))

    def transpose(self, name: str = "transpose") -> SymTensor:
        """The last two dimensions exchanged."""
        *rest, a, b = range(len(self.shape))
        return self.permute(*rest, b, a, name=name)

    def upsample(self, scale: int = 2, mode: str = "nearest", name: str = "upsample") -> SymTensor:
        c, h, w = self.shape
        return self._record(Upsample(scale, mode), name, (c, h * scale, w * scale))

    def __matmul__(self, other: SymTensor) -> SymTensor:
        if self.shape[:-2] != other.shape[:-2] or self.shape[-1] != other.shape[-2]:
            raise ShapeError(f"cannot multiply matrices of {self.shape} and {other.shape}")
        return self._record(MatMul(), f"matmul{len(self.tape.layers)}", (*self.shape[:-1], other.shape[-1]), [other])

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


def trace(kind: str, block: Callable, in_shapes: tuple[Shape, ...], same: bool = False, *, several: bool = False,
          **arguments: Any) -> BlockGraph:
    """Record `block(x, **arguments)` on an input of each of `in_shapes`; `several`: the block takes a list of inputs."""
    tape = Tape(same)
    inputs = [SymTensor(tape, -1 - i, shape) for i, shape in enumerate(in_shapes)]
    out = block(inputs if several else inputs[0], **arguments)
    outputs = tuple(o.index for o in out) if isinstance(out, (tuple, list)) else (out.index,)
    return _live(BlockGraph(kind, in_shapes, tuple(tape.layers), outputs))


def _live(block: BlockGraph) -> BlockGraph:
    """The block without the layers that nothing takes the output of."""
    used, layers = set(block.outputs), block.layers
    for i in reversed(range(len(layers))):
        if i in used:
            used.update(layers[i].inputs)
    if all(i in used for i in range(len(layers))):
        return block
    kept = [i for i in range(len(layers)) if i in used]
    moved = {old: new for new, old in enumerate(kept)} | {-1 - i: -1 - i for i in range(len(block.in_shapes))}
    rewired = tuple(layers[i]._replace(inputs=tuple(moved[j] for j in layers[i].inputs)) for i in kept)
    return BlockGraph(block.kind, block.in_shapes, rewired, tuple(moved[i] for i in block.outputs))
