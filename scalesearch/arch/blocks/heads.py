"""Heads and auxiliary heads of classifiers: from a feature map to one logit per class."""

from __future__ import annotations

from typing import Literal

from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor
from scalesearch.signature import Count, Rate, Width

Init = Literal["normal", "uniform"]


def classifier(
    x: SymTensor,
    *,
    classes: Count,
    width: Width | None = None,
    hidden: Width | None = None,
    hidden_norm: bool = False,
    dropout: Rate = 0.0,
    act: ActName = "silu",
    init: Init = "normal",
) -> SymTensor:
    """Applies global pool, dropout and a linear layer.

    Args:
        width: Of a 1×1 convolution with norm before the pool; None leaves it out.
        hidden: Width of a layer after the pool, as MobileNetV3 has it; None leaves it out.
        hidden_norm: Whether that layer has a norm, as in MobileNetV4.
        init: Of the linear layer: "normal" with σ = 0.01 (VGG, MobileNet), "uniform" within 1/√classes
            (EfficientNet).
    """
    if width:
        x = x.conv(width, name="conv").norm().act(act)
    x = x.global_pool()
    if hidden:
        x = x.conv(hidden, bias=not hidden_norm, name="hidden")
        x = (x.norm(name="hidden_norm") if hidden_norm else x).act(act, name="hidden_act")
    x = x.flatten()
    x = x.dropout(dropout) if dropout else x
    return x.linear(classes, init=init)


def preact_classifier(x: SymTensor, *, classes: Count, act: ActName = "relu", dropout: Rate = 0.0) -> SymTensor:
    """Applies norm, activation, global pool and a linear layer, for blocks that end in a convolution (DenseNet)."""
    return classifier(x.norm().act(act), classes=classes, dropout=dropout)


def layer_norm_classifier(x: SymTensor, *, classes: Count) -> SymTensor:
    """Applies global pool, layer norm and a linear layer (ConvNeXt)."""
    return x.global_pool().flatten().layer_norm().linear(classes)


def conv_classifier(x: SymTensor, *, classes: Count, act: ActName | None = "relu", dropout: Rate = 0.0) -> SymTensor:
    """Applies a 1×1 convolution to the classes, then the mean over the map (SqueezeNet, Darknet-19)."""
    x = x.dropout(dropout) if dropout else x
    x = x.conv(classes, bias=True)
    return (x.act(act) if act else x).global_pool().flatten()


def flat_classifier(x: SymTensor, *, classes: Count) -> SymTensor:
    """Applies a linear layer to all values of the map (Darknet's [connected] at the end)."""
    return x.flatten().linear(classes)


def logits(x: SymTensor, *, classes: Count) -> SymTensor:
    """Returns the channels of a map of one pixel, which are the classes' logits already."""
    if x.shape != (classes, 1, 1):
        raise ShapeError(f"takes a map of one pixel with a channel for each of {classes} classes, got {x.shape}")
    return x.flatten()


def maps(xs: list[SymTensor], *, classes: Count) -> list[SymTensor]:
    """Returns the maps themselves, as features for something else; `classes` has no effect."""
    return xs


def vgg_classifier(
    x: SymTensor, *, classes: Count, pool: Count = 7, hidden: Width = 4096, dropout: Rate = 0.5
) -> SymTensor:
    """Applies VGG's last max pool and three fully connected layers.

    `pool` is the side, in pixels, of the map that they take; an adaptive pool brings the map to it.
    """
    x = x.max_pool(2) if min(x.shape[1:]) > 1 else x
    x = x.adaptive_pool(pool, name="adaptive_pool").flatten()
    for i in (1, 2):
        x = x.linear(hidden, name=f"fc{i}").act("relu", name=f"act{i}")
        x = x.dropout(dropout, name=f"dropout{i}") if dropout else x
    return x.linear(classes, name="fc3")


def googlenet_auxiliary(
    x: SymTensor, *, classes: Count, pool: Count = 4, width: Width = 128, hidden: Width = 1024, dropout: Rate = 0.7
) -> SymTensor:
    """Applies GoogLeNet's auxiliary classifier (Szegedy et al. 2014, §5).

    It is a pool to `pool`×`pool`, a 1×1 convolution and two linear layers. The pool adapts to the map, so that
    other resolutions work.
    """
    x = x.adaptive_pool(pool).conv_norm(width, act="relu").flatten()
    x = x.linear(hidden, name="fc1").act("relu", name="act1")
    x = x.dropout(dropout) if dropout else x
    return x.linear(classes, name="fc2")


def inception_v3_auxiliary(x: SymTensor, *, classes: Count, width: Width = 128, hidden: Width = 768) -> SymTensor:
    """Applies Inception v3's auxiliary classifier (Szegedy et al. 2015).

    It is a 5×5 average pool, 1×1 and 5×5 convolutions, a global pool and a linear layer. On maps below 17×17 the
    first pool adapts, so that other resolutions work.
    """
    x = x.avg_pool(5, 3, name="reduce") if min(x.shape[1:]) >= 17 else x.adaptive_pool(5, name="reduce")
    x = x.conv_norm(width, act="relu", names=("conv1", "norm1", "act1"))
    x = x.conv_norm(hidden, 5, padding=0, act="relu", names=("conv2", "norm2", "act2"))
    return x.global_pool().flatten().linear(classes)
