"""Blocks without a shortcut: conv-norm-act, pooling, the VGG run, MobileNet v1's depthwise separable."""

from __future__ import annotations

from scalesearch.blocks.parts import conv_norm_act
from scalesearch.graph import ActName, SymTensor
from scalesearch.signature import Count, Kernel, Natural, Stride, Width


def conv(x: SymTensor, *, width: Width, kernel: Kernel = 3, stride: Stride = 1, dilation: Count = 1,
         groups: Count = 1, norm: bool = True, bias: bool | None = None, act: ActName | None = "relu") -> SymTensor:
    """Convolution, normalisation, activation; `bias` is on exactly where there is no norm unless given."""
    bias = not norm if bias is None else bias
    x = x.conv(width, kernel, stride, groups=groups, dilation=dilation, bias=bias)
    x = x.norm() if norm else x
    return x.act(act) if act else x


def max_pool(x: SymTensor, *, kernel: Count = 3, stride: Stride = 2, padding: Natural | None = None) -> SymTensor:
    """Max pooling; `padding` defaults to half the kernel."""
    return x.max_pool(kernel, stride, (kernel - 1) // 2 if padding is None else padding)


def avg_pool(x: SymTensor, *, kernel: Count = 3, stride: Stride = 2, padding: Natural | None = None) -> SymTensor:
    """Average pooling; `padding` defaults to half the kernel."""
    return x.avg_pool(kernel, stride, (kernel - 1) // 2 if padding is None else padding)


def vgg(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, norm: bool = False,
        act: ActName = "relu") -> SymTensor:
    """One convolution of a VGG run; stride 2 is the 2×2 max pool between runs (Simonyan & Zisserman 2014, table 1)."""
    x = x.max_pool(stride) if stride > 1 else x
    x = x.conv(width, kernel, bias=True)
    x = x.norm() if norm else x
    return x.act(act)


def separable(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, act: ActName = "relu") -> SymTensor:
    """Depthwise then pointwise convolution, each with norm and activation (MobileNet, Howard et al. 2017, fig. 3)."""
    x = conv_norm_act(x, x.channels, kernel, stride, groups=x.channels, act=act, name="depthwise")
    return conv_norm_act(x, width, act=act, name="pointwise")
