"""DenseNet's layers (Huang et al. 2017)."""

from __future__ import annotations

from typing import Annotated

from scalesearch.arch.symbolic import SymTensor, concat
from scalesearch.signature import Rate, Rule, Stride, Width


def dense(
    x: SymTensor, *, growth: Width, bottleneck: Annotated[int, Rule(low=0, high=64)] = 4, dropout: Rate = 0.0
) -> SymTensor:
    """Applies norm → act → 1×1 to `bottleneck`·growth → norm → act → 3×3 to `growth` (DenseNet-B).

    The result is appended to the input. `bottleneck` 0 leaves the 1×1 out.
    """
    y = x.norm(name="norm1").act("relu", name="act1")
    if bottleneck:
        y = y.conv_norm(bottleneck * growth, act="relu", names=("conv1", "norm2", "act2"))
    y = y.conv(growth, 3, name="conv2")
    y = y.dropout(dropout) if dropout else y
    return concat([x, y])


def transition(
    x: SymTensor, *, compression: Annotated[float, Rule(low=0.01, high=1)] = 0.5, stride: Stride = 2
) -> SymTensor:
    """Applies norm → act → 1×1 to `compression` of the channels → average pool (DenseNet-C)."""
    x = x.norm().act("relu").conv(max(1, int(x.channels * compression)))
    return x.avg_pool(stride) if stride > 1 else x
