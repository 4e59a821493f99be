"""What a budget leaves of a space, certified before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from scalesearch.budget.bounds import Budget
from scalesearch.budget.feasibility import DESCENTS, DRAWS, Feasible, descend
from scalesearch.budget.ladder import AXES
from scalesearch.counting import cost, possible_cost
from scalesearch.space import Decisions, Space
from scalesearch.watched import watched


@dataclass(frozen=True)
class Certificate:
    """Smallest, median and largest MACs in a space, and the share of it inside the budget.

    Of the `size` architectures that can be written down, `networks` are networks, their shapes meeting, and distinct;
    all else is about these. `exact` says whether every one was counted. Otherwise their number is that of the ways to
    climb the space unit by unit (`climbed`), or an estimate; the median is of `counted` uniform draws, the share has
    its 95 % interval, and the extremes are exact where the space is climbed, else those of the draws improved step by
    step.
    """

    size: int | float
    exact: bool
    counted: int
    smallest: int
    median: int
    largest: int
    inside: float
    interval: tuple[float, float]
    networks: int | None = None
    climbed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: an infinite size is null."""
        return asdict(self) | {"size": None if self.size == math.inf else self.size}


def certify(space: Space, budget: Budget | Mapping[str, Any], seed: int = 0) -> Certificate:
    """The certificate of `budget` (or of its mapping, `{"macs": "570M..630M"}`) in `space`.

    Raises `InputError` where no network is found inside, with the nearest budget that one meets.
    """
    rng, feasible = Random(seed), Feasible(space, budget)
    listing = feasible._listing
    exact = listing is not None
    dice = watched(range(DRAWS), "drawing networks", DRAWS)
    drawn = (
        [d for d, _ in listing]
        if listing is not None
        else [d for _ in dice if (d := feasible.draw_any(rng)) is not None]
    )
    counted = sorted(cost(space._at(d)).macs for d in drawn)
    if not counted:  # what is drawn now is a network all the same, or says why none is
        drawn = [space.sample(rng)[0]]
        counted = [cost(space._at(drawn[0])).macs]
    ends = (counted[0], counted[-1]) if exact else _extremes(feasible, drawn)
    share, interval = feasible.share(rng)
    if not share:
        feasible.draw(rng)  # finds one all the same, or says what is nearest
    return Certificate(
        space.size,
        exact,
        len(drawn),
        ends[0],
        counted[len(counted) // 2],
        ends[1],
        share,
        interval,
        feasible.networks(Random(seed)),
        not exact and feasible.ladder is not None,
    )


def _extremes(feasible: Feasible, drawn: list[Decisions]) -> tuple[int, int]:
    """The least and the most MACs: exact where the space can be climbed."""
    if feasible.ladder is not None:
        return feasible.ladder.ends(AXES["macs"])
    space = feasible.space
    ordered = sorted(drawn, key=lambda d: cost(space._at(d)).macs)

    def least(starts: list[Decisions], sign: int, which: str) -> int:
        def macs(arch):
            return math.inf if (c := possible_cost(arch)) is None else sign * c.macs

        tried = watched(starts, f"looking for the {which}", len(starts))
        return sign * int(min(descend(space, d, macs)[1] for d in tried))

    return least(ordered[:DESCENTS], 1, "smallest"), least(ordered[-DESCENTS:], -1, "largest")
