"""ResNet (He et al. 2015), ResNeXt (Xie et al. 2017) and Wide ResNet (Zagoruyko & Komodakis 2016).

Checked against torchvision's, whose bottleneck has its stride in the 3×3 (v1.5). The CIFAR-10 networks
(He et al., §4.2) have the paper's shortcuts without parameters (option A) and are checked against its
table 6.
"""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block
from scalesearch.zoo.tables import TABLES

LAYOUTS = TABLES["resnet"]
WIDTHS = {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}
CIFAR_DEPTHS = (20, 32, 44, 56, 110)  # layers: 6n + 2


def resnet(name: str) -> Arch:
    """Returns the ResNet, ResNeXt or Wide ResNet called `name`, a key of `LAYOUTS`."""
    kind, arguments, depths = LAYOUTS[name]
    stem = (block("conv", "stem", width=64, kernel=7, stride=2), block("max_pool", "stem", kernel=3, stride=2))
    stages = [
        Stage(block(kind, width=width, **arguments), depth, stride=1 if i == 0 else 2)
        for i, (width, depth) in enumerate(zip(WIDTHS[kind], depths))
    ]
    return Arch(name, 224, 1000, stem, tuple(stages), block("classifier", "head"))


def cifar_resnet(name: str) -> Arch:
    """Returns the ResNet for CIFAR-10 called `name`, such as `resnet20_cifar`."""
    depth = (int(name.removeprefix("resnet").removesuffix("_cifar")) - 2) // 6
    stages = [
        Stage(block("basic", width=width, shortcut="padding"), depth, stride)
        for width, stride in ((16, 1), (32, 2), (64, 2))
    ]
    return Arch(name, 32, 10, (block("conv", "stem", width=16),), tuple(stages), block("classifier", "head"))


MODELS = dict.fromkeys(LAYOUTS, resnet) | {f"resnet{depth}_cifar": cifar_resnet for depth in CIFAR_DEPTHS}
