"""Symbolic tensors, which blocks are functions of.

A block runs on one kind of tensor at a time. Those here compute shapes only; those of `recording.py` record
layers, those of `counting/tally.py` add up costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, Self, TypeAlias

from scalesearch.arch import operators as ops
from scalesearch.arch.graph import ShapeError, TooSmall
from scalesearch.arch.operators import Shape

NO_PREFIX = nullcontext()


Window: TypeAlias = int | tuple[int, ...]  # pixels of a side, or height and width
Padding: TypeAlias = Window | str  # pixels, "same" or "valid"


class NullTape(NamedTuple):
    """A tape that records nothing, for tensors that compute shapes only.

    `same` says whether convolutions pad as TensorFlow's "same" by default.
    """

    same: bool


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    if not isinstance(value, tuple):
        return value, value
    if len(value) != 2:
        raise ShapeError(f"has a kernel of {list(value)}; it is a side, or height and width")
    return value


class WindowGeometry(NamedTuple):
    """How a window slides over a map, each pair being (height, width) in pixels.

    `height` and `width` are those of the output. `padding` "same" is TensorFlow's.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    dilation: tuple[int, int]
    height: int
    width: int


@lru_cache(maxsize=1 << 16)
def window_geometry(
    height: int,
    width: int,
    kernel: Window,
    stride: Window,
    padding: Padding | None,
    dilation: Window,
    ceil: bool,
    same: bool,
) -> WindowGeometry:
    """Returns how a window slides over a map of `height` × `width` pixels.

    Args:
        height: Of the map, in pixels.
        width: Of the map, in pixels.
        kernel: A side, or (height, width).
        stride: As `kernel`.
        padding: As `kernel`; "same" for TensorFlow's; None for what keeps the size at stride 1 with odd kernels,
            or "same" where `same` is set.
        dilation: As `kernel`.
        ceil: Whether a last partial window counts, as in torch.
        same: Whether a padding of None means "same".

    Raises:
        ShapeError: If a size is below 1, or is a list of other than two numbers.
        TooSmall: If the map is smaller than the window or the stride.
    """
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
    if min(kh, kw, sh, sw, dh, dw) < 1:
        raise ShapeError(f"has kernel {kh}×{kw}, stride {sh}×{sw} and dilation {dh}×{dw}, which start from 1")
    if height < sh or width < sw:
        raise TooSmall(f"has stride {max(sh, sw)} on a map of {height}×{width}")
    if padding is None:
        padding = "same" if same else (dh * (kh - 1) // 2, dw * (kw - 1) // 2)
    if isinstance(padding, str):  # "same"
        return WindowGeometry(kernel, stride, padding, dilation, -(-height // sh), -(-width // sw))
    ph, pw = padding = _pair(padding)
    slack_h, slack_w = height + 2 * ph - dh * (kh - 1) - 1, width + 2 * pw - dw * (kw - 1) - 1
    if slack_h < 0 or slack_w < 0:
        raise TooSmall(f"has kernel {kh}×{kw} on a map of {height}×{width}")
    rows, columns = slack_h // sh + 1, slack_w // sw + 1
    if ceil:  # torch drops a last window that would start in the padding
        rows += slack_h % sh > 0 and rows * sh < height + ph
        columns += slack_w % sw > 0 and columns * sw < width + pw
    return WindowGeometry(kernel, stride, padding, dilation, rows, columns)


class SymTensor:
    """A feature map, vector or matrix that a block computes.

    Every method is one layer (`conv_norm` two or three) and returns its output. `shape` leaves the batch out.
    Kernels, strides, paddings and dilations are a side or (height, width), in pixels. `name` is the layer's name
    in its block.
    """

    __slots__ = ("shape", "tape")

    def __init__(self, tape: Any, shape: Shape):
        self.tape, self.shape = tape, shape

    @property
    def channels(self) -> int:
        """Returns the size of the first dimension."""
        return self.shape[0]

    def _record(
        self, op: type, fields: tuple[object, ...], name: str, shape: Any, other_inputs: Sequence[Self] = ()
    ) -> Self:
        """Returns the output, of `shape`, of the operator `op(*fields)` on this tensor and `other_inputs`.

        Layers without a name are numbered.
        """
        return type(self)(self.tape, shape)

    def inside(self, *names: str | int) -> AbstractContextManager[None]:
        """Returns a context in which the names of layers begin with `names`, joined by dots."""
        return NO_PREFIX

    def _slide(
        self,
        kernel: Window,
        stride: Window,
        padding: Padding | None,
        dilation: Window = 1,
        ceil: bool = False,
        name: str = "",
    ) -> WindowGeometry:
        """Returns how a window of this size slides over this map; errors name the layer."""
        try:
            _, height, width = self.shape
            return window_geometry(height, width, kernel, stride, padding, dilation, ceil, self.tape.same)
        except ShapeError as error:
            raise type(error)(f"{name} {error}") from None
        except ValueError:
            raise ShapeError(f"{name} needs a feature map, got features of shape {self.shape}") from None

    def conv(
        self,
        width: int,
        kernel: Window = 1,
        stride: Window = 1,
        *,
        groups: int = 1,
        dilation: Window = 1,
        padding: Padding | None = None,
        bias: bool = False,
        name: str = "conv",
    ) -> Self:
        """Applies a 2-D convolution to `width` channels.

        `padding` defaults to what keeps the map's size at stride 1 (for odd kernels), or to TensorFlow's "same" in
        archs that have it.

        Raises:
            ShapeError: If this is no map, it is too small, or `groups` does not divide the channels.
        """
        cin = self.shape[0]
        kernel, stride, padding, dilation, h, w = self._slide(kernel, stride, padding, dilation, False, name)
        if width < 1 or groups < 1:
            raise ShapeError(f"{name} would have {width} channels in {groups} groups")
        if groups > 1 and (cin % groups or width % groups):
            raise ShapeError(f"{name} has {groups} groups, which don't divide both {cin} and {width} channels")
        fields = (cin, width, kernel, stride, padding, dilation, groups, bias)
        return self._record(ops.Conv, fields, name, (width, h, w))

    def conv_norm(
        self,
        width: int,
        kernel: Window = 1,
        stride: Window = 1,
        *,
        groups: int = 1,
        dilation: Window = 1,
        padding: Padding | None = None,
        bias: bool = False,
        act: str | None = None,
        name: str = "",
        names: tuple[str, str, str] = ("conv", "norm", "act"),
    ) -> Self:
        """Applies a convolution, batch norm and, if `act` is given, an activation.

        The layers are named `name.conv`, `name.norm` and `name.act`, without the prefix if there is no `name`;
        `names` sets other last parts.
        """
        conv, norm, activation = names
        with self.inside(name) if name else NO_PREFIX:
            x = self.conv(
                width, kernel, stride, groups=groups, dilation=dilation, padding=padding, bias=bias, name=conv
            ).norm(name=norm)
            return x.act(act, activation) if act else x

    def norm(self, groups: int = 0, name: str = "norm") -> Self:
        """Applies batch norm, or group norm with `groups` above 0."""
        if groups and self.shape[0] % groups:
            raise ShapeError(f"{name} has {groups} groups, which don't divide {self.shape[0]} channels")
        return self._record(ops.Norm, (self.shape[0], groups), name, self.shape)

    def layer_norm(self, name: str = "norm") -> Self:
        """Applies layer norm over the last dimension."""
        return self._record(ops.LayerNorm, (self.shape[-1],), name, self.shape)

    def act(self, fn: str, name: str = "act") -> Self:
        """Applies the activation `fn`, one of `ActName`."""
        return self._record(ops.Act, (fn,), name, self.shape)

    def _pool(
        self,
        kind: str,
        kernel: Window,
        stride: Window | None,
        padding: Padding,
        ceil: bool,
        count_pad: bool,
        name: str,
    ) -> Self:
        window = self._slide(kernel, kernel if stride is None else stride, padding, 1, ceil, name)
        kernel, stride, padding, _, h, w = window
        if not isinstance(padding, str) and (2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]):
            raise ShapeError(f"{name} pads by more than half its kernel, {max(padding)} of {max(kernel)}")
        return self._record(ops.Pool, (kind, kernel, stride, padding, ceil, count_pad), name, (self.shape[0], h, w))

    def max_pool(
        self,
        kernel: Window,
        stride: Window | None = None,
        padding: Padding = 0,
        ceil: bool = False,
        name: str = "pool",
    ) -> Self:
        """Applies max pooling; `stride` defaults to the kernel; `ceil` keeps a last partial window."""
        return self._pool("max", kernel, stride, padding, ceil, True, name)

    def avg_pool(
        self,
        kernel: Window,
        stride: Window | None = None,
        padding: Padding = 0,
        ceil: bool = False,
        count_pad: bool = True,
        name: str = "pool",
    ) -> Self:
        """Applies average pooling; `stride` defaults to the kernel.

        `ceil` keeps a last partial window; `count_pad` averages the padding's zeros too.
        """
        return self._pool("avg", kernel, stride, padding, ceil, count_pad, name)

    def adaptive_pool(self, size: Window, kind: str = "avg", name: str = "pool") -> Self:
        """Pools a map to `size` pixels (a side, or height and width); `kind` is "avg" or "max"."""
        size = _pair(size)
        return self._record(ops.AdaptivePool, (kind, size), name, (self.shape[0], *size))

    def global_pool(self, name: str = "pool") -> Self:
        """Returns the mean over the map, as a map of one pixel."""
        return self.adaptive_pool(1, name=name)

    def linear(self, width: int, bias: bool = True, init: str = "normal", name: str = "linear") -> Self:
        """Applies a linear layer over the last dimension.

        `init` is "normal" (σ 0.01) or "uniform" (within 1/√width).
        """
        return self._record(ops.Linear, (self.shape[-1], width, bias, init), name, (*self.shape[:-1], width))

    def dropout(self, p: float, name: str = "dropout") -> Self:
        """Applies dropout with probability `p`."""
        return self._record(ops.Dropout, (p,), name, self.shape)

    def drop_path(self, name: str = "drop_path") -> Self:
        """Drops this branch at random in training (stochastic depth).

        The builder sets the rate by the block's place in the network.
        """
        return self._record(ops.DropPath, (), name, self.shape)

    def scale(self, factor: float, name: str = "scale") -> Self:
        """Multiplies by a constant."""
        return self._record(ops.Scale, (float(factor),), name, self.shape)

    def offset(self, value: float, name: str = "offset") -> Self:
        """Adds a constant."""
        return self._record(ops.Offset, (float(value),), name, self.shape)

    def layer_scale(self, init: float, name: str = "layer_scale") -> Self:
        """Multiplies by a learned factor per channel, which starts at `init`."""
        return self._record(ops.LayerScale, (self.channels, init), name, self.shape)

    def pad_channels(self, before: int, after: int, name: str = "pad") -> Self:
        """Adds zero channels before and after those of a map."""
        c, h, w = self.shape
        return self._record(ops.PadChannels, (before, after), name, (c + before + after, h, w))

    def over_channels(self, kind: str, name: str) -> Self:
        """Returns the "mean" or "max" over the channels, as a map of one channel."""
        return self._record(ops.Reduce, (kind,), name, (1, *self.shape[1:]))

    def expectation(self, name: str = "dfl") -> Self:
        """Returns the mean of a distribution over the channels, which stand for 0, 1, 2, …"""
        return self._record(ops.Expectation, (self.channels,), name, (1, *self.shape[1:]))

    def __add__(self, other: Self) -> Self:
        if self.shape != other.shape:
            raise ShapeError(f"cannot add maps of {self.shape} and {other.shape}")
        return self._record(ops.Add, (), "", self.shape, [other])

    def __mul__(self, other: Self) -> Self:
        shape = self.shape if self.shape == other.shape else tuple(map(max, self.shape, other.shape))
        for operand in (self.shape, other.shape):
            if operand != shape and any(a not in (1, b) for a, b in zip(operand, shape, strict=True)):
                raise ShapeError(f"cannot multiply maps of {self.shape} and {other.shape}")
        return self._record(ops.Mul, (), "", shape, [other])

    def split(self, sizes: Sequence[int], dim: int = 0, name: str = "split") -> list[Self]:
        """Cuts the tensor along `dim` into parts of `sizes`.

        Raises:
            ShapeError: If `sizes` do not add up to the dimension.
        """
        sizes = tuple(sizes)
        if sum(sizes) != self.shape[dim]:
            raise ShapeError(f"{name} of {sizes} doesn't add up to {self.shape[dim]}")
        shapes = tuple((*self.shape[:dim], size, *self.shape[dim + 1 :]) for size in sizes)
        parts = self._record(ops.Split, (sizes, dim), name, shapes)
        return [parts._record(ops.Item, (i,), f"{name}_{i}", shape) for i, shape in enumerate(shapes)]

    def flatten(self, start: int = 0, end: int = -1, name: str = "flatten") -> Self:
        """Joins dimensions `start` to `end`, both included, into one."""
        last = end % len(self.shape)
        shape = (*self.shape[:start], prod(self.shape[start : last + 1]), *self.shape[last + 1 :])
        return self._record(ops.Flatten, (start, end), name, shape)

    def unflatten(self, dim: int, sizes: tuple[int, ...], name: str = "unflatten") -> Self:
        """Cuts one dimension into several of `sizes`, one of which may be -1 for what is left.

        A -1 keeps the layer valid at other resolutions.
        """
        fixed = prod(size for size in sizes if size != -1)
        if self.shape[dim] % fixed or (-1 not in sizes and fixed != self.shape[dim]):
            raise ShapeError(f"cannot cut {self.shape[dim]} into {' × '.join(map(str, sizes))}")
        dims = tuple(self.shape[dim] // fixed if size == -1 else size for size in sizes)
        return self._record(ops.Unflatten, (dim, sizes), name, (*self.shape[:dim], *dims, *self.shape[dim + 1 :]))

    def spread_like(self, other: Self, name: str = "spread") -> Self:
        """Reshapes the last dimension to the height and width of `other`, a map with as many pixels."""
        return self._record(ops.Spread, (), name, (*self.shape[:-1], *other.shape[-2:]), [other])

    def permute(self, *dims: int, name: str = "permute") -> Self:
        """Reorders the dimensions."""
        return self._record(ops.Permute, (dims,), name, tuple(self.shape[d] for d in dims))

    def transpose(self, name: str = "transpose") -> Self:
        """Exchanges the last two dimensions."""
        *rest, a, b = range(len(self.shape))
        return self.permute(*rest, b, a, name=name)

    def unfold(self, kernel: Window, stride: Window = 1, padding: Padding = 0, name: str = "unfold") -> Self:
        """Returns what every window covers, as columns: `(channels · kernel area, windows)`."""
        kernel, stride, padding, _, h, w = self._slide(kernel, stride, padding, 1, False, name)
        return self._record(ops.Unfold, (kernel, stride, padding), name, (self.shape[0] * prod(kernel), h * w))

    def upsample(self, scale: int = 2, mode: str = "nearest", name: str = "upsample") -> Self:
        """Upsamples a map by the integer factor `scale`."""
        c, h, w = self.shape
        return self._record(ops.Upsample, (scale, mode), name, (c, h * scale, w * scale))

    def __matmul__(self, other: Self) -> Self:
        if self.shape[:-2] != other.shape[:-2] or self.shape[-1] != other.shape[-2]:
            raise ShapeError(f"cannot multiply matrices of {self.shape} and {other.shape}")
        return self._record(ops.MatMul, (), "", (*self.shape[:-1], other.shape[-1]), [other])

    def softmax(self, name: str = "softmax") -> Self:
        """Applies softmax over the last dimension."""
        return self._record(ops.Softmax, (), name, self.shape)


def concat(tensors: Sequence[SymTensor], dim: int = 0, name: str = "concat") -> SymTensor:
    """Returns the tensors side by side along `dim`.

    Raises:
        ShapeError: If their other dimensions differ.
    """
    first, *rest = tensors
    sizes = list(first.shape)
    size = sizes.pop(dim)
    for t in rest:
        other_sizes = list(t.shape)
        size += other_sizes.pop(dim)
        if other_sizes != sizes:
            raise ShapeError(f"cannot concatenate maps of {', '.join(str(t.shape) for t in tensors)}")
    sizes.insert(dim, size)
    return first._record(ops.Concat, (dim,), name, tuple(sizes), rest)
