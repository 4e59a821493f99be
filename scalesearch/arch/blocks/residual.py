"""ResNet's basic and bottleneck blocks (He et al. 2015, fig. 5), and RegNet's."""

from __future__ import annotations

from typing import Annotated, Literal

from scalesearch.arch.blocks.parts import residual, squeeze_excite
from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor
from scalesearch.signature import Count, Kernel, Rule, Share, Stride, Width


def _shortcut(x: SymTensor, width: int, stride: int) -> SymTensor:
    """Returns the input where the shapes agree, else a 1×1 projection of it (option B)."""
    return x if stride == 1 and x.channels == width else x.conv_norm(width, stride=stride, name="shortcut")


def _padded_shortcut(x: SymTensor, width: int, stride: int) -> SymTensor:
    """Returns every `stride`-th pixel, padded with zero channels: no parameters (option A, for CIFAR-10)."""
    if x.channels > width:
        raise ShapeError(f"a padded shortcut cannot go from {x.channels} to {width} channels")
    before = (width - x.channels) // 2
    x = x.avg_pool(1, stride, name="subsample") if stride > 1 else x
    return x if x.channels == width else x.pad_channels(before, width - x.channels - before)


def basic(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 3,
    act: ActName = "relu",
    shortcut: Literal["projection", "padding"] = "projection",
) -> SymTensor:
    """Applies two k×k convolutions beside a shortcut, with the activation after the addition.

    Where the shapes differ the shortcut is a 1×1 projection, or padded with zero channels (§3.3, options B and
    A).
    """
    y = x.conv_norm(width, kernel, stride, act=act, name="conv1")
    y = y.conv_norm(width, kernel, name="conv2")
    return residual((_shortcut if shortcut == "projection" else _padded_shortcut)(x, width, stride), y).act(act)


def bottleneck(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 3,
    ratio: Annotated[float, Rule(low=0.001, high=16)] = 0.25,
    groups: Count = 1,
    act: ActName = "relu",
) -> SymTensor:
    """Applies 1×1 down to `ratio`·width, k×k with the stride (ResNet v1.5), 1×1 up to width, beside a shortcut.

    `groups` 32 with `ratio` 0.5 is ResNeXt (Xie et al. 2017); `ratio` 0.5 alone is Wide ResNet (Zagoruyko &
    Komodakis 2016).
    """
    inner = max(groups, round(width * ratio / groups) * groups)
    y = x.conv_norm(inner, act=act, name="reduce")
    y = y.conv_norm(inner, kernel, stride, groups=groups, act=act, name="conv")
    y = y.conv_norm(width, name="expand")
    return residual(_shortcut(x, width, stride), y).act(act)


def regnet(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 3,
    group_width: Count = 8,
    se_ratio: Share = 0.25,
    act: ActName = "relu",
) -> SymTensor:
    """Applies a bottleneck of ratio 1 with groups of `group_width` channels and squeeze-excite.

    Source: Radosavovic et al. 2020. `se_ratio` is relative to the block's input channels (RegNetY); 0 is RegNetX.
    """
    if width % group_width:
        raise ShapeError(f"{width} channels cannot be cut into groups of {group_width}")
    y = x.conv_norm(width, act=act, name="reduce")
    y = y.conv_norm(width, kernel, stride, groups=width // group_width, act=act, name="conv")
    y = squeeze_excite(y, max(1, round(x.channels * se_ratio)), act="relu") if se_ratio else y
    y = y.conv_norm(width, name="expand")
    return residual(_shortcut(x, width, stride), y).act(act)
