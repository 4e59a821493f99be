"""Classifier heads: from the last feature map to one logit per class."""

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
    """Optional 1×1 convolution to `width`, global pool, optional hidden layer, dropout, linear.

    `hidden` is MobileNetV3's layer after the pool, with a norm MobileNetV4's. `init` of the linear layer: "normal" σ =
    0.01 (VGG, MobileNet), "uniform" within 1/√classes (EfficientNet).
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
    """Norm, activation, global pool, linear: for networks whose blocks end in a convolution (DenseNet)."""
    x = x.norm().act(act).global_pool().flatten()
    x = x.dropout(dropout) if dropout else x
    return x.linear(classes)


def layer_norm_classifier(x: SymTensor, *, classes: Count) -> SymTensor:
    """Global pool, layer norm, linear (ConvNeXt)."""
    return x.global_pool().flatten().layer_norm().linear(classes)


def conv_classifier(x: SymTensor, *, classes: Count, act: ActName | None = "relu", dropout: Rate = 0.0) -> SymTensor:
    """A 1×1 convolution to the classes, then the mean over the map (SqueezeNet, Darknet-19)."""
    x = x.dropout(dropout) if dropout else x
    x = x.conv(classes, bias=True)
    return (x.act(act) if act else x).global_pool().flatten()


def flat_classifier(x: SymTensor, *, classes: Count) -> SymTensor:
    """A linear layer over all values of the map (Darknet's [connected] at the end)."""
    return x.flatten().linear(classes)


def logits(x: SymTensor, *, classes: Count) -> SymTensor:
    """A map of one pixel whose channels are the classes' logits already."""
    if x.shape != (classes, 1, 1):
        raise ShapeError(f"takes a map of one pixel with a channel for each of {classes} classes, got {x.shape}")
    return x.flatten()


def maps(xs: list[SymTensor], *, classes: Count) -> list[SymTensor]:
    """The maps themselves: features for something else. `classes` says nothing here."""
    return xs


def vgg_classifier(
    x: SymTensor, *, classes: Count, pool: Count = 7, hidden: Width = 4096, dropout: Rate = 0.5
) -> SymTensor:
    """VGG's last max pool and three fully connected layers; `pool` is the side of the map they look at."""
    x = x.max_pool(2) if min(x.shape[1:]) > 1 else x
    x = x.adaptive_pool(pool, name="adaptive_pool").flatten()
    for i in (1, 2):
        x = x.linear(hidden, name=f"fc{i}").act("relu", name=f"act{i}")
        x = x.dropout(dropout, name=f"dropout{i}") if dropout else x
    return x.linear(classes, name="fc3")


def googlenet_auxiliary(
    x: SymTensor, *, classes: Count, pool: Count = 4, width: Width = 128, hidden: Width = 1024, dropout: Rate = 0.7
) -> SymTensor:
    """GoogLeNet's auxiliary classifier: pool to `pool`×`pool`, 1×1 convolution, two linear layers (Szegedy et al. 2014,
    §5).

    The pool adapts to the map, so that other resolutions work.
    """
    x = x.adaptive_pool(pool).conv_norm(width, act="relu").flatten()
    x = x.linear(hidden, name="fc1").act("relu", name="act1")
    x = x.dropout(dropout) if dropout else x
    return x.linear(classes, name="fc2")


def inception_v3_auxiliary(x: SymTensor, *, classes: Count, width: Width = 128, hidden: Width = 768) -> SymTensor:
    """Inception v3's auxiliary classifier: 5×5 average pool, 1×1 and 5×5 convolutions, pool, linear (Szegedy et al.
    2015).

    On maps below 17×17 the pool adapts, so that other resolutions work.
    """
    x = x.avg_pool(5, 3, name="reduce") if min(x.shape[1:]) >= 17 else x.adaptive_pool(5, name="reduce")
    x = x.conv_norm(width, act="relu", names=("conv1", "norm1", "act1"))
    x = x.conv_norm(hidden, 5, padding=0, act="relu", names=("conv2", "norm2", "act2"))
    return x.global_pool().flatten().linear(classes)
