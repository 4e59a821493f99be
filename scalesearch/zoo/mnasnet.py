"""MnasNet-B1 with width multipliers, which the paper calls depth multipliers (Tan et al. 2019, fig. 7).

Checked against torchvision's.
"""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block, make_divisible
from scalesearch.zoo.tables import TABLES

WIDTH_MULTIPLIERS = {"mnasnet0_5": 0.5, "mnasnet0_75": 0.75, "mnasnet1_0": 1.0, "mnasnet1_3": 1.3}


def mnasnet(name: str) -> Arch:
    """Returns the MnasNet called `name`, a key of `WIDTH_MULTIPLIERS`."""

    def scaled_width(width: float) -> int:
        return make_divisible(width * WIDTH_MULTIPLIERS[name])

    stem = (block("conv", "stem", width=scaled_width(32), stride=2),)
    stages = tuple(
        Stage(
            block("inverted_residual", width=scaled_width(w), kernel=k, expand=e, act="relu", skip=i > 0), depth, stride
        )
        for i, (e, k, w, depth, stride) in enumerate(TABLES["mnasnet"])
    )
    head = block("classifier", "head", width=1280, act="relu", dropout=0.2)
    return Arch(name, 224, 1000, stem, stages, head, norm_momentum=3e-4)


MODELS = dict.fromkeys(WIDTH_MULTIPLIERS, mnasnet)
