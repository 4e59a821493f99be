"""The block table: a name, a function, where it may stand. A new block is one function and one row."""

from __future__ import annotations

from scalesearch.arch.blocks.attention import cbam, eca, mhsa, mobile_mqa, se
from scalesearch.arch.blocks.cells import nasbench201, nasbench201_reduction
from scalesearch.arch.blocks.convnext import convnext
from scalesearch.arch.blocks.darknet import (
    activation,
    connected,
    crop,
    dropout,
    global_pool,
    local,
    norm,
    product,
    reorg,
    shortcut,
    space_to_depth,
)
from scalesearch.arch.blocks.dense import dense, transition
from scalesearch.arch.blocks.heads import (
    classifier,
    conv_classifier,
    flat_classifier,
    googlenet_auxiliary,
    inception_v3_auxiliary,
    layer_norm_classifier,
    logits,
    maps,
    preact_classifier,
    vgg_classifier,
)
from scalesearch.arch.blocks.inception import inception, inception_residual
from scalesearch.arch.blocks.mobile import bneck, fused_mbconv, inverted_residual, mbconv, uib
from scalesearch.arch.blocks.plain import avg_pool, conv, fire, identity, max_pool, patchify, separable, vgg
from scalesearch.arch.blocks.registry import BLOCKS, Block
from scalesearch.arch.blocks.residual import basic, bottleneck, regnet
from scalesearch.arch.blocks.shuffle import shufflenet
from scalesearch.arch.blocks.yolo import add, c2f, channels, darknet, join, sppf, upsample, yolo, yolov1, yolov8

BLOCKS |= {
    "conv": Block(conv),
    "patchify": Block(patchify),
    "max_pool": Block(max_pool),
    "avg_pool": Block(avg_pool),
    "identity": Block(identity),
    "vgg": Block(vgg),
    "separable": Block(separable),
    "fire": Block(fire),
    "basic": Block(basic),
    "bottleneck": Block(bottleneck),
    "regnet": Block(regnet),
    "inverted_residual": Block(inverted_residual),
    "bneck": Block(bneck),
    "mbconv": Block(mbconv),
    "fused_mbconv": Block(fused_mbconv),
    "uib": Block(uib),
    "shufflenet": Block(shufflenet),
    "convnext": Block(convnext),
    "inception": Block(inception),
    "inception_residual": Block(inception_residual),
    "dense": Block(dense),
    "transition": Block(transition),
    "nasbench201": Block(nasbench201),
    "nasbench201_reduction": Block(nasbench201_reduction),
    "se": Block(se),
    "eca": Block(eca),
    "cbam": Block(cbam),
    "mhsa": Block(mhsa),
    "mobile_mqa": Block(mobile_mqa),
    "darknet": Block(darknet),
    "c2f": Block(c2f),
    "sppf": Block(sppf),
    "upsample": Block(upsample),
    "channels": Block(channels),
    "concat": Block(join, several=True),
    "add": Block(add, several=True),
    "shortcut": Block(shortcut, several=True),
    "product": Block(product, several=True),
    "connected": Block(connected),
    "local": Block(local),
    "global_pool": Block(global_pool),
    "norm": Block(norm),
    "activation": Block(activation),
    "dropout": Block(dropout),
    "crop": Block(crop),
    "reorg": Block(reorg),
    "space_to_depth": Block(space_to_depth),
    "classifier": Block(classifier, "head"),
    "preact_classifier": Block(preact_classifier, "head"),
    "layer_norm_classifier": Block(layer_norm_classifier, "head"),
    "conv_classifier": Block(conv_classifier, "head"),
    "vgg_classifier": Block(vgg_classifier, "head"),
    "flat_classifier": Block(flat_classifier, "head"),
    "logits": Block(logits, "head"),
    "maps": Block(maps, "head", several=True, task="features"),
    "yolo": Block(yolo, "head", several=True, task="detection", keeps_strides=True),
    "yolov1": Block(yolov1, "head", task="detection", keeps_strides=True),
    "yolov8": Block(yolov8, "head", several=True, task="detection", keeps_strides=True),
    "googlenet_auxiliary": Block(googlenet_auxiliary, "auxiliary"),
    "inception_v3_auxiliary": Block(inception_v3_auxiliary, "auxiliary"),
}
