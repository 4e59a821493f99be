"""Progressive resolution: the size of the images in each epoch."""

from __future__ import annotations

from typing import NamedTuple

from scalesearch.arch import Arch, Resolution, expand, with_height
from scalesearch.counting import cost_or_none
from scalesearch.trials import Recipe

GROWTH_SHARE = 2 / 3  # share of the epochs after which the resolution is the full one


def resolutions(arch: Arch, recipe: Recipe) -> list[Resolution]:
    """Returns the resolution of every epoch, rising from a share `recipe.progressive` to the full one.

    The full one is used where a smaller image would make another network (VGG's head leaves out its pool
    where there is nothing to pool).
    """
    full_height, start = arch.sides[0], recipe.progressive
    growth = max(1.0, GROWTH_SHARE * recipe.epochs)  # epochs
    shares = [min(1.0, start + (1 - start) * epoch / growth) for epoch in range(recipe.epochs)]
    heights = [round(full_height * share) for share in shares]
    resolution_at = {
        height: smaller if _same_at(arch, smaller := with_height(arch.resolution, height)) else arch.resolution
        for height in {*heights}
    }
    return [resolution_at[height] for height in heights]


def _same_at(arch: Arch, resolution: Resolution) -> bool:
    smaller = arch.with_(resolution=resolution)

    def operators(network: Arch) -> list[NamedTuple]:
        return [layer.op for _, layer, _ in expand(network).layers()]

    return cost_or_none(smaller) is not None and operators(smaller) == operators(arch)
