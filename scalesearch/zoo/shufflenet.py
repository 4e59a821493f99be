"""ShuffleNetV2 (Ma et al. 2018, table 5). Checked against torchvision's.

`…_cifar` are for images of 32 pixels, as people train them on CIFAR-10: a stem without stride, and no
max-pool (chenyaofo/pytorch-cifar-models; its published params and MACs are equal to these).
"""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block
from scalesearch.zoo.tables import TABLES

LAYOUTS = TABLES["shufflenet"]
DEPTHS = (4, 8, 4)
CIFAR = "_cifar"


def shufflenet(name: str) -> Arch:
    """Returns the ShuffleNetV2 called `name`: a key of `LAYOUTS`, or that and `_cifar`."""
    widths, last = LAYOUTS[name.removesuffix(CIFAR)]
    small_images = name.endswith(CIFAR)
    conv = block("conv", "stem", width=24, stride=1 if small_images else 2)
    stem = (conv,) if small_images else (conv, block("max_pool", "stem", kernel=3))
    stages = tuple(Stage(block("shufflenet", width=width), depth, 2) for width, depth in zip(widths, DEPTHS))
    head = block("classifier", "head", width=last, act="relu")
    return Arch(name, 32 if small_images else 224, 10 if small_images else 1000, stem, stages, head)


MODELS = dict.fromkeys([*LAYOUTS, *(name + CIFAR for name in LAYOUTS)], shufflenet)
