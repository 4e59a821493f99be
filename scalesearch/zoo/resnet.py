"""ResNet (He et al. 2015, table 1). Held against torchvision's, whose bottleneck strides in its 3×3 (v1.5)."""

from __future__ import annotations

from scalesearch.arch import Arch, Stage
from scalesearch.blocks import block

#                        block       blocks per stage
LAYOUTS = {"resnet18":  ("basic",      (2, 2, 2, 2)),
           "resnet34":  ("basic",      (3, 4, 6, 3)),
           "resnet50":  ("bottleneck", (3, 4, 6, 3)),
           "resnet101": ("bottleneck", (3, 4, 23, 3)),
           "resnet152": ("bottleneck", (3, 8, 36, 3))}  # fmt: skip
WIDTHS = {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}


def resnet(name: str) -> Arch:
    kind, depths = LAYOUTS[name]
    stem = (block("conv", "stem", width=64, kernel=7, stride=2), block("max_pool", "stem", kernel=3, stride=2))
    stages = [Stage(block(kind, width=width), depth, stride=1 if i == 0 else 2)
              for i, (width, depth) in enumerate(zip(WIDTHS[kind], depths))]  # fmt: skip
    return Arch(name, 224, 1000, stem, tuple(stages), block("classifier", "head"))


MODELS = dict.fromkeys(LAYOUTS, resnet)
