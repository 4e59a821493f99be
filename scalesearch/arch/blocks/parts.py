"""Pieces that several blocks share."""

from __future__ import annotations

from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor


def make_divisible(value: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to `value`; the next larger one if that is below 90 % of `value`.

    This is MobileNet's and EfficientNet's rule. Source: `round_filters` of the EfficientNet reference code; Tan &
    Le 2019.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def depthwise(x: SymTensor, kernel: int, stride: int, *, name: str = "depthwise") -> SymTensor:
    """Applies a depthwise convolution with batch norm and no activation."""
    return x.conv_norm(x.channels, kernel, stride, groups=x.channels, name=name)


def squeeze_excite(
    x: SymTensor, width: int, *, act: ActName = "silu", gate: ActName = "sigmoid", name: str = "se"
) -> SymTensor:
    """Gates each channel: global pool → reduce to `width` → expand back → multiply (Hu et al. 2018)."""
    with x.inside(name):
        s = x.global_pool()
        s = s.conv(width, bias=True, name="reduce").act(act)
        s = s.conv(x.channels, bias=True, name="expand").act(gate, name="gate")
    return x * s


def residual(x: SymTensor, y: SymTensor) -> SymTensor:
    """Returns x + y, where y is dropped at random in training (stochastic depth)."""
    return x + y.drop_path()
