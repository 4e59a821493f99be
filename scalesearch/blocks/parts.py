"""Pieces that several blocks share."""

from __future__ import annotations

from scalesearch.graph import SymTensor


def make_divisible(value: float, divisor: int = 8) -> int:
    """`value` to the nearest multiple of `divisor`, never below 90 % of it (MobileNet's and EfficientNet's rule).

    Source: `round_filters` of the EfficientNet reference code; Tan & Le 2019.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def conv_norm(x: SymTensor, width: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, name: str) -> SymTensor:
    x = x.conv(width, kernel, stride, groups=groups, name=name + ".conv")
    return x.norm(name=name + ".norm")


def conv_norm_act(x, width, kernel=1, stride=1, *, groups=1, act="relu", name) -> SymTensor:
    return conv_norm(x, width, kernel, stride, groups=groups, name=name).act(act, name=name + ".act")


def squeeze_excite(x: SymTensor, width: int, *, act="silu", gate="sigmoid", name="se") -> SymTensor:
    """Global pool → reduce to `width` → expand back → gate each channel (Hu et al. 2018)."""
    s = x.global_pool(name=name + ".pool")
    s = s.conv(width, bias=True, name=name + ".reduce").act(act, name=name + ".act")
    s = s.conv(x.channels, bias=True, name=name + ".expand").act(gate, name=name + ".gate")
    return x * s


def residual(x: SymTensor, y: SymTensor) -> SymTensor:
    """x + y, y being dropped now and then in training (stochastic depth)."""
    return x + y.drop_path()
