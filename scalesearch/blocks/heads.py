"""Heads: from the last feature map to one logit per class."""

from __future__ import annotations

from typing import Literal

from scalesearch.graph import ActName, SymTensor
from scalesearch.signature import Count, Rate, Width


def classifier(x: SymTensor, *, classes: Count, width: Width | None = None, dropout: Rate = 0.0,
               act: ActName = "silu", init: Literal["normal", "uniform"] = "normal") -> SymTensor:
    """Optional 1×1 convolution to `width`, global pool, dropout, linear.

    `init` of the linear layer: "normal" σ = 0.01 (VGG, MobileNet), "uniform" within 1/√classes (EfficientNet).
    """
    if width:
        x = x.conv(width, name="conv").norm().act(act)
    x = x.global_pool().flatten()
    x = x.dropout(dropout) if dropout else x
    return x.linear(classes, init=init)


def vgg_classifier(x: SymTensor, *, classes: Count, pool: Count = 7, hidden: Width = 4096,
                   dropout: Rate = 0.5) -> SymTensor:
    """VGG's last max pool and three fully connected layers; `pool` is the side of the map they look at."""
    x = x.max_pool(2) if min(x.shape[1:]) > 1 else x
    x = x.adaptive_pool(pool, name="adaptive_pool").flatten()
    for i in (1, 2):
        x = x.linear(hidden, name=f"fc{i}").act("relu", name=f"act{i}")
        x = x.dropout(dropout, name=f"dropout{i}") if dropout else x
    return x.linear(classes, name="fc3")
