"""ShuffleNetV2 (Ma et al. 2018, table 5). Checked against torchvision's."""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block
from scalesearch.zoo.tables import TABLES

LAYOUTS = TABLES["shufflenet"]
DEPTHS = (4, 8, 4)


def shufflenet(name: str) -> Arch:
    """Returns the ShuffleNetV2 called `name`, a key of `LAYOUTS`."""
    widths, last = LAYOUTS[name]
    stem = (block("conv", "stem", width=24, stride=2), block("max_pool", "stem", kernel=3))
    stages = tuple(Stage(block("shufflenet", width=width), depth, 2) for width, depth in zip(widths, DEPTHS))
    return Arch(name, 224, 1000, stem, stages, block("classifier", "head", width=last, act="relu"))


MODELS = dict.fromkeys(LAYOUTS, shufflenet)
