"""Certificates: how much of a space a budget admits, computed before any training starts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from random import Random

from scalesearch.arch import Arch
from scalesearch.budget.bounds import Budget
from scalesearch.budget.cost_lattice import AXES
from scalesearch.budget.feasibility import DESCENTS, DRAWS, Feasible, descend_by_decision
from scalesearch.counting import cost, cost_or_none
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.progress import with_progress
from scalesearch.space import Decisions, Space


@dataclass(frozen=True)
class Certificate:
    """Holds the smallest, median and largest MACs of a space's networks, and the share of networks inside a budget.

    `size` architectures can be written down. `networks` of them are valid (their shapes meet) and distinct; all
    other figures are about these. With `exact`, every network was listed and counted. Otherwise `networks` is the
    number of paths through the space's `CostLattice` corrected for duplicates (`climbed`), or an estimate from
    random draws (None where `size` is infinite); `median` is that of `counted` uniform draws, `inside` has its 95
    % interval in `interval`, and the extremes are exact where `climbed`, else those of the draws improved by
    local search. MACs are per image; `inside` and `interval` are shares in [0, 1].
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

    def to_dict(self) -> PlainDict:
        """Returns the fields as JSON holds them; an infinite size becomes null."""
        return asdict(self) | {"size": None if self.size == math.inf else self.size}


def certify(space: Space, budget: Budget | PlainMapping, seed: int = 0) -> Certificate:
    """Certifies how much of `space` lies inside `budget`.

    Args:
        space: The search space.
        budget: A `Budget`, or its mapping such as `{"macs": "570M..630M"}`.
        seed: Seed of the draws, where the space is too large to list.

    Raises:
        InputError: If no network is found inside; the message gives the nearest budget that a network meets.
    """
    rng, feasible = Random(seed), Feasible(space, budget)
    listing = feasible._listing
    exact = listing is not None
    attempts = with_progress(range(DRAWS), "drawing networks", DRAWS)
    samples = (
        [d for d, _ in listing]
        if listing is not None
        else [d for _ in attempts if (d := feasible.draw_any(rng)) is not None]
    )
    macs = sorted(cost(space.at_unchecked(d)).macs for d in samples)
    if not macs:  # no draw was a valid network: `sample` finds one in another way, or raises why there is none
        samples = [space.sample(rng)[0]]
        macs = [cost(space.at_unchecked(samples[0])).macs]
    extremes = (macs[0], macs[-1]) if exact else _macs_range(feasible, samples)
    share, interval = feasible.share(rng)
    if not share:
        feasible.draw(rng)  # raises an error that names the nearest budget, unless this search finds a network
    return Certificate(
        space.size,
        exact,
        len(samples),
        extremes[0],
        macs[len(macs) // 2],
        extremes[1],
        share,
        interval,
        feasible.networks(Random(seed)),
        not exact and feasible.lattice is not None,
    )


def _macs_range(feasible: Feasible, samples: list[Decisions]) -> tuple[int, int]:
    """Returns the smallest and the largest MACs: exact where the space has a `CostLattice`."""
    if feasible.lattice is not None:
        return feasible.lattice.nonempty_extremes(AXES["macs"])
    space = feasible.space
    ordered = sorted(samples, key=lambda d: cost(space.at_unchecked(d)).macs)

    def least(starts: list[Decisions], sign: int, which: str) -> int:
        def macs(arch: Arch) -> float:
            return math.inf if (c := cost_or_none(arch)) is None else sign * c.macs

        starting_points = with_progress(starts, f"looking for the {which}", len(starts))
        return sign * int(min(descend_by_decision(space, d, macs)[1] for d in starting_points))

    return least(ordered[:DESCENTS], 1, "smallest"), least(ordered[-DESCENTS:], -1, "largest")
