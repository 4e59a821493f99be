"""RegNetY (Radosavovic et al. 2020, §3.3 and table 8): widths by the quantised linear rule.

Checked against torchvision's. Widths must be multiples of the group width. timm takes the nearest, as
pycls does; torchvision takes the next larger one where the nearest is more than 10 % below. The
two rules give different 800MF and 8GF: the plain names are torchvision's, those in `_pycls` timm's. 4GF and
6.4GF exist in timm only.
"""

from __future__ import annotations

import math

from scalesearch.arch import Arch, Stage, block, make_divisible
from scalesearch.zoo.tables import TABLES

QUANTUM = 8
LAYOUTS = TABLES["regnet"]
PYCLS = ("regnet_y_800mf_pycls", "regnet_y_4gf", "regnet_y_6_4gf", "regnet_y_8gf_pycls")


def block_widths(depth: int, initial: int, slope: float, step: float) -> list[int]:
    """Returns the width of every block, by equations 2 to 4.

    Widths grow linearly by `slope` and are rounded to `initial` times powers of `step`, in multiples of 8.
    """
    powers = [round(math.log((initial + slope * i) / initial) / math.log(step)) for i in range(depth)]
    return [round(initial * step**power / QUANTUM) * QUANTUM for power in powers]


def regnet(name: str) -> Arch:
    """Returns the RegNetY called `name`, a key of `LAYOUTS` or one of `PYCLS`."""
    depth, initial, slope, step, group_width = LAYOUTS[name.removesuffix("_pycls")]
    widths = block_widths(depth, initial, slope, step)
    round_width = _nearest_multiple if name in PYCLS else make_divisible
    stages = tuple(
        Stage(block("regnet", width=round_width(width, group_width), group_width=group_width), widths.count(width), 2)
        for width in dict.fromkeys(widths)
    )
    return Arch(name, 224, 1000, (block("conv", "stem", width=32, stride=2),), stages, block("classifier", "head"))


def _nearest_multiple(width: int, multiple: int) -> int:
    return round(width / multiple) * multiple


MODELS = dict.fromkeys([*LAYOUTS, *PYCLS], regnet)
