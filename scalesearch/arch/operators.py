"""The operators: one type each, its fields what it must be told to be rebuilt. No block, no shape of its own."""

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


class LayerNorm(NamedTuple):
    """Over the last dimension."""

    channels: int


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
    index: int  # type: ignore[assignment]  # of a tuple: a field hides the method, which nobody calls


class Flatten(NamedTuple):
    """Dimensions `start` to `end` as one."""

    start: int = 0
    end: int = -1


class Unflatten(NamedTuple):
    """One dimension as several; one of the sizes may be -1."""

    dim: int
    sizes: tuple[int, ...]


class Spread(NamedTuple):
    """The last dimension of the first input as the height and width of the second."""


class Permute(NamedTuple):
    dims: tuple[int, ...]


class Unfold(NamedTuple):
    """What every window over a map looks at, as a column: channels · kernel values, a column for each place."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


class Upsample(NamedTuple):
    scale: int
    mode: str


class MatMul(NamedTuple):
    pass


class Scale(NamedTuple):
    """Times a constant."""

    factor: float


class Offset(NamedTuple):
    """Plus a constant."""

    value: float


class LayerScale(NamedTuple):
    """Times a learned factor per channel of a map (Touvron et al. 2021)."""

    channels: int
    init: float


class PadChannels(NamedTuple):
    """Zero channels before and after."""

    before: int
    after: int


class Reduce(NamedTuple):
    """The mean or the maximum over the channels, as a map of one channel."""

    kind: str


class Expectation(NamedTuple):
    """1×1 convolution whose frozen weights are 0 … bins - 1: the mean of a distribution over bins."""

    bins: int


class Softmax(NamedTuple):
    pass
