"""VGG (Simonyan & Zisserman 2014, table 1: A, B, D, E). Checked against torchvision's `vgg11` … `vgg19_bn`."""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block

# Convolutions in each stage; the stages' widths are `WIDTHS`.
DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


def vgg(name: str) -> Arch:
    """Returns the VGG called `name`, a key of `DEPTHS`, with batch norm if the name ends in `_bn`."""
    norm = name.endswith("_bn")
    depths = DEPTHS[name.removesuffix("_bn")]
    stages = [
        Stage(block("vgg", width=width, norm=norm), depth, stride=1 if i == 0 else 2)
        for i, (width, depth) in enumerate(zip(WIDTHS, depths))
    ]
    return Arch(name, 224, 1000, (), tuple(stages), block("vgg_classifier", "head"))


MODELS = {name + norm: vgg for name in DEPTHS for norm in ("", "_bn")}
