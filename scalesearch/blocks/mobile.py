"""Inverted residuals: MobileNetV2's block, MBConv with squeeze-excite, and its fused form."""

from __future__ import annotations

from typing import Annotated

from scalesearch.blocks.parts import conv_norm, conv_norm_act, make_divisible, residual, squeeze_excite
from scalesearch.graph import ActName, SymTensor
from scalesearch.signature import Kernel, Rule, Share, Stride, Width

Expand = Annotated[float, Rule(low=0.125, high=64)]


def mbconv(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, expand: Expand = 6,
           se_ratio: Share = 0.25, act: ActName = "silu", skip: bool = True) -> SymTensor:
    """Expand 1×1 → depthwise k×k → squeeze-excite → project 1×1 → add (MnasNet, Tan et al. 2019; EfficientNet).

    `se_ratio` is relative to the block's input channels; 0 leaves squeeze-excite out.
    """
    inner = make_divisible(x.channels * expand)
    y = x if expand == 1 else conv_norm_act(x, inner, act=act, name="expand")
    y = conv_norm_act(y, y.channels, kernel, stride, groups=y.channels, act=act, name="depthwise")
    y = squeeze_excite(y, max(1, int(x.channels * se_ratio)), act=act) if se_ratio else y
    y = conv_norm(y, width, name="project")
    return residual(x, y) if skip and stride == 1 and x.channels == width else y


def inverted_residual(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, expand: Expand = 6,
                      act: ActName = "relu6", skip: bool = True) -> SymTensor:
    """MobileNetV2's bottleneck (Sandler et al. 2018, table 1): MBConv with ReLU6 and no squeeze-excite."""
    return mbconv(x, width=width, stride=stride, kernel=kernel, expand=expand, se_ratio=0.0, act=act, skip=skip)


def fused_mbconv(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, expand: Expand = 4,
                 se_ratio: Share = 0.0, act: ActName = "silu", skip: bool = True) -> SymTensor:
    """MBConv with expansion and depthwise fused into one k×k convolution (EfficientNetV2, Tan & Le 2021, fig. 2).

    At `expand: 1` the one convolution carries the block, as in the paper's first stage.
    """
    if expand == 1:
        y = conv_norm_act(x, width, kernel, stride, act=act, name="fused")
    else:
        y = conv_norm_act(x, make_divisible(x.channels * expand), kernel, stride, act=act, name="fused")
        y = squeeze_excite(y, max(1, int(x.channels * se_ratio)), act=act) if se_ratio else y
        y = conv_norm(y, width, name="project")
    return residual(x, y) if skip and stride == 1 and x.channels == width else y
