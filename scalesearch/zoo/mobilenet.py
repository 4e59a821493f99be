"""MobileNet v1 (Howard et al. 2017, table 1; held against timm's `mobilenetv1_100`) and v2 (Sandler et al. 2018, table 2;
held against torchvision's `mobilenet_v2`)."""

from __future__ import annotations

from scalesearch.arch import Arch, Stage
from scalesearch.blocks import block

#     width depth stride
V1 = ((64,   1,   1),
      (128,  2,   2),
      (256,  2,   2),
      (512,  6,   2),
      (1024, 2,   2))  # fmt: skip
#     expand width depth stride
V2 = ((1,     16,  1,    1),
      (6,     24,  2,    2),
      (6,     32,  3,    2),
      (6,     64,  4,    2),
      (6,     96,  3,    1),
      (6,    160,  3,    2),
      (6,    320,  1,    1))  # fmt: skip


def mobilenet_v1(name: str) -> Arch:
    stem = (block("conv", "stem", width=32, stride=2),)
    stages = tuple(Stage(block("separable", width=w), depth, stride) for w, depth, stride in V1)
    return Arch(name, 224, 1000, stem, stages, block("classifier", "head"))


def mobilenet_v2(name: str) -> Arch:
    stem = (block("conv", "stem", width=32, stride=2, act="relu6"),)
    stages = tuple(Stage(block("inverted_residual", width=w, expand=e), depth, stride) for e, w, depth, stride in V2)
    head = block("classifier", "head", width=1280, act="relu6", dropout=0.2)
    return Arch(name, 224, 1000, stem, stages, head)


MODELS = {"mobilenet_v1": mobilenet_v1, "mobilenet_v2": mobilenet_v2}
