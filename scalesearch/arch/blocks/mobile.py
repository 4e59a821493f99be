"""Inverted residuals: MobileNetV2's block, MobileNetV3's, MBConv, its fused form, MobileNetV4's universal one."""

from __future__ import annotations

from typing import Annotated, Literal

from scalesearch.arch.blocks.parts import depthwise, make_divisible, residual, squeeze_excite
from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor
from scalesearch.signature import Kernel, Ratio, Rule, Share, Stride, Width

Expand = Annotated[float, Rule(low=0.125, high=64)]


def mbconv(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 3,
    expand: Expand = 6,
    se_ratio: Share = 0.25,
    act: ActName = "silu",
    skip: bool = True,
) -> SymTensor:
    """Applies expand 1×1 → depthwise k×k → squeeze-excite → project 1×1 → add.

    Source: MnasNet, Tan et al. 2019; EfficientNet. `se_ratio` is relative to the block's input channels; 0 leaves
    squeeze-excite out. The addition needs stride 1, equal widths and `skip`.
    """
    inner = make_divisible(x.channels * expand)
    y = x if expand == 1 else x.conv_norm(inner, act=act, name="expand")
    y = y.conv_norm(y.channels, kernel, stride, groups=y.channels, act=act, name="depthwise")
    y = squeeze_excite(y, max(1, int(x.channels * se_ratio)), act=act) if se_ratio else y
    y = y.conv_norm(width, name="project")
    return residual(x, y) if skip and stride == 1 and x.channels == width else y


def inverted_residual(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 3,
    expand: Expand = 6,
    act: ActName = "relu6",
    skip: bool = True,
) -> SymTensor:
    """Applies MobileNetV2's bottleneck (Sandler et al. 2018, table 1): MBConv with ReLU6 and no squeeze-excite."""
    return mbconv(x, width=width, stride=stride, kernel=kernel, expand=expand, se_ratio=0.0, act=act, skip=skip)


def fused_mbconv(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 3,
    expand: Expand = 4,
    se_ratio: Share = 0.0,
    act: ActName = "silu",
    skip: bool = True,
) -> SymTensor:
    """Applies MBConv with expansion and depthwise fused into one k×k (EfficientNetV2, Tan & Le 2021, fig. 2).

    At `expand: 1` that convolution is the whole block, as in the paper's first stage; `se_ratio` then has no
    effect.
    """
    if expand == 1:
        y = x.conv_norm(width, kernel, stride, act=act, name="fused")
    else:
        y = x.conv_norm(make_divisible(x.channels * expand), kernel, stride, act=act, name="fused")
        y = squeeze_excite(y, max(1, int(x.channels * se_ratio)), act=act) if se_ratio else y
        y = y.conv_norm(width, name="project")
    return residual(x, y) if skip and stride == 1 and x.channels == width else y


def bneck(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 3,
    expand: Expand = 6,
    se_ratio: Share = 0.0,
    act: ActName = "relu",
    skip: bool = True,
) -> SymTensor:
    """Applies MobileNetV3's bottleneck (Howard et al. 2019, fig. 4).

    Squeeze-excite follows the depthwise convolution, gated by h-sigmoid. `se_ratio` is relative to the expanded
    channels (the paper's is 0.25); 0 leaves squeeze-excite out.
    """
    inner = make_divisible(x.channels * expand)
    y = x if inner == x.channels else x.conv_norm(inner, act=act, name="expand")
    y = y.conv_norm(inner, kernel, stride, groups=inner, act=act, name="depthwise")
    y = squeeze_excite(y, make_divisible(inner * se_ratio), act="relu", gate="hsigmoid") if se_ratio else y
    y = y.conv_norm(width, name="project")
    return residual(x, y) if skip and stride == 1 and x.channels == width else y


DepthwiseKernel = Literal[0, 3, 5, 7, 9]


def uib(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    start: DepthwiseKernel = 0,
    middle: DepthwiseKernel = 3,
    expand: Expand = 4,
    layer_scale: Ratio = 0.0,
    act: ActName = "relu",
    skip: bool = True,
) -> SymTensor:
    """Applies the universal inverted bottleneck (MobileNetV4, Qin et al. 2024, fig. 4).

    It is an optional depthwise → expand 1×1 → optional depthwise → project 1×1 → add. `start` and `middle` are
    the depthwise kernels, 0 for none: with `middle` alone it is an inverted bottleneck, with `start` alone
    ConvNeXt-like, with both ExtraDW, with none a feed-forward network. `middle` carries the stride if it is
    there. `layer_scale` is the initial value of the branch's scale; 0 leaves it out.
    """
    if stride > 1 and not (start or middle):
        raise ShapeError("a feed-forward form has no depthwise convolution to carry the stride")
    y = depthwise(x, start, 1 if middle else stride, name="start") if start else x
    inner = make_divisible(x.channels * expand)
    y = y.conv_norm(inner, act=act, name="expand")
    y = y.conv_norm(inner, middle, stride, groups=inner, act=act, name="depthwise") if middle else y
    y = y.conv_norm(width, name="project")
    y = y.layer_scale(layer_scale) if layer_scale else y
    return residual(x, y) if skip and stride == 1 and x.channels == width else y
