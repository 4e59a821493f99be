"""SqueezeNet 1.0 (Iandola et al. 2016, table 1) and the authors' 1.1.

Checked against torchvision's.
"""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block

#       squeeze width depth stride (of the pool before)
V1_0 = ((16, 128, 2, 2), (32, 256, 1, 1), (32, 256, 1, 2), (48, 384, 2, 1), (64, 512, 1, 1), (64, 512, 1, 2))
V1_1 = ((16, 128, 2, 2), (32, 256, 1, 2), (32, 256, 1, 1), (48, 384, 2, 2), (64, 512, 1, 1), (64, 512, 1, 1))
#                         rows  stem width, kernel
LAYOUTS = {"squeezenet1_0": (V1_0, 96, 7), "squeezenet1_1": (V1_1, 64, 3)}


def squeezenet(name: str) -> Arch:
    """Returns the SqueezeNet called `name`, a key of `LAYOUTS`."""
    rows, width, kernel = LAYOUTS[name]
    stem = (block("conv", "stem", width=width, kernel=kernel, stride=2, norm=False, padding=0),)
    stages = tuple(Stage(block("fire", squeeze=s, width=w), depth, stride) for s, w, depth, stride in rows)
    return Arch(name, 224, 1000, stem, stages, block("conv_classifier", "head", dropout=0.5))


MODELS = dict.fromkeys(LAYOUTS, squeezenet)
