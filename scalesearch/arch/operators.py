"""The operators of a block graph: one type each, whose fields are all it takes to rebuild the operator.

Dimensions (`dim`, `dims`, `start`, `end`) leave the batch out. Sizes, strides and paddings are (height,
width) in pixels.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Shape = tuple[int, ...]
ActName = Literal[
    "relu",
    "relu6",
    "silu",
    "hswish",
    "hsigmoid",
    "sigmoid",
    "gelu",
    "leaky_relu",
    "mish",
    "tanh",
    "elu",
    "selu",
    "gelu_tanh",
    "hardtanh",
]


class Conv(NamedTuple):
    """A 2-D convolution; `padding` is in pixels, or "same" for TensorFlow's."""

    cin: int
    cout: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    dilation: tuple[int, int]
    groups: int
    bias: bool


class Norm(NamedTuple):
    """Batch norm, or group norm where `groups` is above 0."""

    channels: int
    groups: int = 0  # 0: batch norm; otherwise group norm


class LayerNorm(NamedTuple):
    """Layer norm over the last dimension."""

    channels: int


class Act(NamedTuple):
    """An activation; `fn` is one of `ActName`."""

    fn: str


class Pool(NamedTuple):
    """Pooling of `kind` "max" or "avg"; `ceil` keeps a last partial window, `count_pad` averages the padding too."""

    kind: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    ceil: bool = False
    count_pad: bool = True


class AdaptivePool(NamedTuple):
    """Pooling of `kind` "max" or "avg" to a map of `size`."""

    kind: str
    size: tuple[int, int]


class Linear(NamedTuple):
    """A linear layer over the last dimension; `init` is "normal" (σ 0.01) or "uniform" (within 1/√cout)."""

    cin: int
    cout: int
    bias: bool
    init: str


class Dropout(NamedTuple):
    """Dropout with probability `p`."""

    p: float


class DropPath(NamedTuple):
    """Stochastic depth; the builder sets the rate, which depends on the block's place in the network."""


class Add(NamedTuple):
    """The sum of two tensors."""


class Mul(NamedTuple):
    """The product of two tensors, broadcast."""


class Concat(NamedTuple):
    """Tensors side by side along `dim`."""

    dim: int


class Split(NamedTuple):
    """Cuts along `dim` into parts of `sizes`."""

    sizes: tuple[int, ...]
    dim: int


class Item(NamedTuple):
    """One output, by number, of an operator with several."""

    index: int  # type: ignore[assignment]  # of a tuple: a field hides the method, which nobody calls


class Flatten(NamedTuple):
    """Joins dimensions `start` to `end` into one."""

    start: int = 0
    end: int = -1


class Unflatten(NamedTuple):
    """Cuts one dimension into several; one of the sizes may be -1."""

    dim: int
    sizes: tuple[int, ...]


class Spread(NamedTuple):
    """Reshapes the last dimension of the first input to the height and width of the second."""


class Permute(NamedTuple):
    """Reorders the dimensions."""

    dims: tuple[int, ...]


class Unfold(NamedTuple):
    """Lays out what every window over a map covers as a column: `(channels · kernel area, windows)`."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


class Upsample(NamedTuple):
    """Upsampling by an integer factor."""

    scale: int
    mode: str


class MatMul(NamedTuple):
    """The matrix product over the last two dimensions."""


class Scale(NamedTuple):
    """Multiplication by a constant."""

    factor: float


class Offset(NamedTuple):
    """Addition of a constant."""

    value: float


class LayerScale(NamedTuple):
    """Multiplication by a learned factor per channel of a map (Touvron et al. 2021)."""

    channels: int
    init: float


class PadChannels(NamedTuple):
    """Adds zero channels before and after."""

    before: int
    after: int


class Reduce(NamedTuple):
    """The mean or maximum over the channels, as a map of one channel."""

    kind: str


class Expectation(NamedTuple):
    """A 1×1 convolution with frozen weights 0 … bins - 1: the mean of a distribution over bins."""

    bins: int


class Softmax(NamedTuple):
    """Softmax over the last dimension."""
