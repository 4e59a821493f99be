"""Progressive resolution: how large images are in each epoch."""

from __future__ import annotations

from scalesearch.arch import Arch, Resolution, expand, of_height
from scalesearch.counting import possible_cost
from scalesearch.trials import Recipe

GROWN = 2 / 3  # of the epochs, after which the resolution is whole


def resolutions(arch: Arch, recipe: Recipe) -> list[Resolution]:
    """The resolution of every epoch: rising to the whole one, which stands in where a smaller image would make another
    network (VGG's head leaves its pool out where there is nothing to pool)."""
    whole, start = arch.sides[0], recipe.progressive
    shares = [min(1.0, start + (1 - start) * epoch / max(1.0, GROWN * recipe.epochs)) for epoch in range(recipe.epochs)]
    wanted = [round(whole * share) for share in shares]
    fit = {
        height: smaller if _same_at(arch, smaller := of_height(arch.resolution, height)) else arch.resolution
        for height in {*wanted}
    }
    return [fit[height] for height in wanted]


def _same_at(arch: Arch, resolution: Resolution) -> bool:
    smaller = arch.with_(resolution=resolution)

    def operators(one):
        return [layer.op for _, layer, _ in expand(one).layers()]

    return possible_cost(smaller) is not None and operators(smaller) == operators(arch)
