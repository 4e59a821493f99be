"""ConvNeXt's block (Liu et al. 2022, fig. 4)."""

from __future__ import annotations

from typing import Annotated

from scalesearch.arch.blocks.parts import residual
from scalesearch.arch.blocks.plain import channels_last_norm
from scalesearch.arch.symbolic import SymTensor
from scalesearch.signature import Kernel, Ratio, Rule, Stride, Width


def convnext(
    x: SymTensor,
    *,
    width: Width,
    stride: Stride = 1,
    kernel: Kernel = 7,
    expand: Annotated[float, Rule(low=0.125, high=64)] = 4,
    layer_scale: Ratio = 1e-6,
) -> SymTensor:
    """Applies depthwise k×k → layer norm → linear ×expand → GELU → linear back → layer scale → add.

    A stride or a new width adds a layer-normalised stride × stride convolution before (§2.2, separate
    downsampling). `layer_scale` is the scale's initial value; 0 leaves it out.
    """
    if stride > 1 or x.channels != width:
        with x.inside("downsample"):
            x = channels_last_norm(x).conv(width, stride, stride, padding=0, bias=True)
    y = x.conv(width, kernel, groups=width, bias=True, name="depthwise").permute(1, 2, 0, name="channels_last")
    y = y.layer_norm().linear(int(width * expand), name="expand").act("gelu")
    y = y.linear(width, name="project").permute(2, 0, 1, name="channels_first")
    return residual(x, y.layer_scale(layer_scale) if layer_scale else y)
