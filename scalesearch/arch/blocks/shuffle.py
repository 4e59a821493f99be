"""ShuffleNetV2's unit (Ma et al. 2018, fig. 3)."""

from __future__ import annotations

from scalesearch.arch.blocks.parts import depthwise
from scalesearch.arch.symbolic import SymTensor, concat
from scalesearch.signature import Kernel, Stride, Width


def _channel_shuffle(x: SymTensor) -> SymTensor:
    x = x.unflatten(0, (2, x.channels // 2), name="halves").permute(1, 0, 2, 3, name="shuffle")
    return x.flatten(0, 1, name="shuffled")


def shufflenet(x: SymTensor, *, width: Width, stride: Stride = 1, kernel: Kernel = 3) -> SymTensor:
    """Passes half the channels on and the other half through 1×1 → depthwise → 1×1, then shuffles the channels.

    With a stride or a new width both halves are computed from all channels.
    """
    half = width // 2
    if stride == 1 and x.channels == width:
        shortcut, y = x.split((width - half, half))
    else:
        shortcut, y = depthwise(x, kernel, stride, name="shortcut_depthwise"), x
        shortcut = shortcut.conv_norm(width - half, act="relu", name="shortcut")
    y = y.conv_norm(half, act="relu", name="reduce")
    y = depthwise(y, kernel, stride).conv_norm(half, act="relu", name="project")
    return _channel_shuffle(concat([shortcut, y]))
