"""Blocks without a shortcut: convolutions, pools, VGG's, MobileNet v1's and SqueezeNet's blocks."""

from __future__ import annotations

from typing import Literal

from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor, Window, concat
from scalesearch.signature import Count, Kernel, Kernels, Natural, Stride, Width

Padding = Natural | Literal["same"] | None


def conv(
    x: SymTensor,
    *,
    width: Width,
    kernel: Kernels = 3,
    stride: Stride = 1,
    dilation: Count = 1,
    groups: Count = 1,
    norm: bool = True,
    bias: bool | None = None,
    act: ActName | None = "relu",
    padding: Natural | None = None,
    strides: tuple[Stride, Stride] | None = None,
) -> SymTensor:
    """Applies convolution, normalisation and activation.

    Args:
        kernel: A side, or height and width.
        bias: By default there is one exactly where there is no norm.
        padding: In pixels; by default what keeps the map's size at stride 1.
        strides: Down and across, in place of one stride for both.
    """
    step: Window = strides or stride
    if norm:
        return x.conv_norm(
            width, kernel, step, groups=groups, dilation=dilation, padding=padding, bias=bias or False, act=act
        )
    x = x.conv(width, kernel, step, groups=groups, dilation=dilation, padding=padding, bias=bias is not False)
    return x.act(act) if act else x


def patchify(x: SymTensor, *, width: Width, stride: Stride = 4) -> SymTensor:
    """Turns patches of stride × stride pixels into layer-normalised vectors.

    This is ConvNeXt's stem (Liu et al. 2022, §2.2).
    """
    return channels_last_norm(x.conv(width, stride, stride, padding=0, bias=True))


def channels_last_norm(x: SymTensor, name: str = "norm") -> SymTensor:
    """Applies layer norm over the channels of a map."""
    return x.permute(1, 2, 0, name=f"{name}_in").layer_norm(name).permute(2, 0, 1, name=f"{name}_out")


def max_pool(
    x: SymTensor, *, kernel: Count = 3, stride: Stride = 2, padding: Padding = None, ceil: bool = False
) -> SymTensor:
    """Applies max pooling.

    `padding` defaults to half the kernel, "same" is TensorFlow's; `ceil` keeps a last partial window.
    """
    return x.max_pool(kernel, stride, (kernel - 1) // 2 if padding is None else padding, ceil)


def avg_pool(
    x: SymTensor,
    *,
    kernel: Count = 3,
    stride: Stride = 2,
    padding: Padding = None,
    ceil: bool = False,
    count_pad: bool = True,
) -> SymTensor:
    """Applies average pooling.

    `padding` defaults to half the kernel, "same" is TensorFlow's; `ceil` keeps a last partial window; `count_pad`
    averages the padding's zeros too.
    """
    return x.avg_pool(kernel, stride, (kernel - 1) // 2 if padding is None else padding, ceil, count_pad)


def identity(x: SymTensor) -> SymTensor:
    """Returns its input: the alternative to a layer in a space."""
    return x


def vgg(
    x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, norm: bool = False, act: ActName = "relu"
) -> SymTensor:
    """Applies one convolution of VGG (Simonyan & Zisserman 2014, table 1).

    A stride above 1 is the max pool between VGG's runs of convolutions.
    """
    x = x.max_pool(stride) if stride > 1 else x
    x = x.conv(width, kernel, bias=True)
    x = x.norm() if norm else x
    return x.act(act)


def separable(
    x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, act: ActName = "relu"
) -> SymTensor:
    """Applies a depthwise, then a pointwise convolution, each with norm and activation.

    Source: MobileNet, Howard et al. 2017, fig. 3.
    """
    x = x.conv_norm(x.channels, kernel, stride, groups=x.channels, act=act, name="depthwise")
    return x.conv_norm(width, act=act, name="pointwise")


def fire(x: SymTensor, *, squeeze: Width, width: Width, stride: Stride = 1) -> SymTensor:
    """Squeezes by a 1×1, then makes half of `width` by 1×1 and half by 3×3 (SqueezeNet).

    Source: Iandola et al. 2016, fig. 1. A stride above 1 is the overlapping 3×3 max pool between runs of fire
    blocks.
    """
    x = x.max_pool(3, stride, 0, ceil=True) if stride > 1 else x
    x = x.conv(squeeze, bias=True, name="squeeze").act("relu", name="squeeze_act")
    one = x.conv(width // 2, bias=True, name="expand1").act("relu", name="expand1_act")
    three = x.conv(width - width // 2, 3, bias=True, name="expand3").act("relu", name="expand3_act")
    return concat([one, three])
