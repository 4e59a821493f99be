"""DenseNet (Huang et al. 2017, table 1), and DenseNet-BC for CIFAR-10 (§3: bottleneck and compression).

Checked against torchvision's; the CIFAR-10 networks against the parameters of table 2.
"""

from __future__ import annotations

from scalesearch.arch import Arch, BlockSpec, Stage, block
from scalesearch.zoo.tables import TABLES

LAYOUTS = TABLES["densenet"]
#                                depth growth
CIFAR = {"densenet_bc100_12": (100, 12), "densenet_bc250_24": (250, 24), "densenet_bc190_40": (190, 40)}


def _arch(
    name: str, resolution: int, classes: int, stem: tuple[BlockSpec, ...], growth: int, layers: tuple[int, ...]
) -> Arch:
    stages = []
    for i, depth in enumerate(layers):
        stages += [Stage(block("transition"), 1, 2)] if i else []
        stages.append(Stage(block("dense", growth=growth), depth))
    return Arch(name, resolution, classes, stem, tuple(stages), block("preact_classifier", "head"))


def densenet(name: str) -> Arch:
    """Returns the DenseNet called `name`, a key of `LAYOUTS`."""
    growth, width, layers = LAYOUTS[name]
    stem = (block("conv", "stem", width=width, kernel=7, stride=2), block("max_pool", "stem", kernel=3))
    return _arch(name, 224, 1000, stem, growth, layers)


def cifar_densenet(name: str) -> Arch:
    """Returns the DenseNet-BC for CIFAR-10 called `name`, a key of `CIFAR`."""
    depth, growth = CIFAR[name]
    stem = (block("conv", "stem", width=2 * growth, norm=False, bias=False, act=None),)
    return _arch(name, 32, 10, stem, growth, ((depth - 4) // 6,) * 3)


MODELS = dict.fromkeys(LAYOUTS, densenet) | dict.fromkeys(CIFAR, cifar_densenet)
