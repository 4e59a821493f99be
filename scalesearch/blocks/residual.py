"""ResNet's basic and bottleneck blocks (He et al. 2015, fig. 5)."""

from __future__ import annotations

from typing import Annotated

from scalesearch.blocks.parts import conv_norm, conv_norm_act, residual
from scalesearch.graph import ActName, SymTensor
from scalesearch.signature import Count, Kernel, Rule, Stride, Width


def _shortcut(x: SymTensor, width: int, stride: int) -> SymTensor:
    """Identity where the shapes agree, else a 1×1 projection (option B)."""
    return x if stride == 1 and x.channels == width else conv_norm(x, width, stride=stride, name="shortcut")


def basic(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3, act: ActName = "relu") -> SymTensor:
    """Two k×k convolutions beside a shortcut, the activation after the addition."""
    y = conv_norm_act(x, width, kernel, stride, act=act, name="conv1")
    y = conv_norm(y, width, kernel, name="conv2")
    return residual(_shortcut(x, width, stride), y).act(act)


def bottleneck(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3,
               ratio: Annotated[float, Rule(low=0.001, high=16)] = 0.25, groups: Count = 1, act: ActName = "relu") -> SymTensor:
    """1×1 down to `ratio`·width, k×k with the stride (ResNet v1.5), 1×1 back up to width, beside a shortcut."""
    inner = max(groups, round(width * ratio / groups) * groups)
    y = conv_norm_act(x, inner, act=act, name="reduce")
    y = conv_norm_act(y, inner, kernel, stride, groups=groups, act=act, name="conv")
    y = conv_norm(y, width, name="expand")
    return residual(_shortcut(x, width, stride), y).act(act)
