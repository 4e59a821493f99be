"""What a space costs, and how much of it a budget admits: the certificate before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from scalesearch.counting import Cost, cost, possible_cost
from scalesearch.decisions import Decisions
from scalesearch.errors import InputError
from scalesearch.space import Space

WALKED = 5_000  # spaces up to this size are counted whole
DRAWS = 6_000
DESCENTS = 2


@dataclass(frozen=True)
class Certificate:
    """Smallest, median and largest MACs in a space, and the share of its architectures inside the budget.

    `exact` says whether every architecture was counted; otherwise the median and the share are of `counted` uniform
    draws, the share with its 95 % interval (Wilson), and the extremes are of those draws improved step by step.
    """

    size: int | float
    exact: bool
    counted: int
    smallest: int
    median: int
    largest: int
    inside: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: an infinite size is null."""
        return asdict(self) | {"size": None if self.size == math.inf else self.size}


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def certify(space: Space, budget: Any, seed: int = 0) -> Certificate:
    """The certificate of `budget` (anything with `broken_by(Cost)` and bounds as fields) in `space`.

    Raises `InputError` where no network is found inside, with the nearest budget that one meets.
    """
    rng = Random(seed)
    exact = space.size <= WALKED
    drawn = list(space) if exact else [space.sample(rng)[0] for _ in range(DRAWS)]
    tried = len(drawn)
    drawn, costs = _possible(space, drawn)
    hits = sum(not budget.broken_by(c) for c in costs)
    ordered = sorted(range(len(drawn)), key=lambda i: costs[i].macs)
    smallest, largest = costs[ordered[0]].macs, costs[ordered[-1]].macs
    if not exact:
        smallest = min(_descend(space, drawn[i], lambda c: c.macs)[1].macs for i in ordered[:DESCENTS])
        largest = max(_descend(space, drawn[i], lambda c: -c.macs)[1].macs for i in ordered[-DESCENTS:])
    if not hits:
        _refuse_unless_reachable(space, budget, [drawn[i] for i in ordered[:DESCENTS]])
    share = hits / tried
    interval = (share, share) if exact else wilson(hits, tried)
    return Certificate(space.size, exact, tried, smallest, costs[ordered[len(drawn) // 2]].macs, largest, share, interval)


def _possible(space: Space, drawn: list[Decisions]) -> tuple[list[Decisions], list[Cost]]:
    """Those whose shapes meet, with their costs; what is no network is outside every budget."""
    pairs = [(d, c) for d in drawn if (c := possible_cost(space._at(d))) is not None]
    if not pairs:
        cost(space._at(drawn[0]))  # says why not
    return [d for d, _ in pairs], [c for _, c in pairs]


def _descend(space: Space, start: Decisions, value: Callable[[Cost], float]) -> tuple[Decisions, Cost]:
    """The best neighbour, again and again, until none is better."""
    here, found = start, cost(space._at(start))
    while True:
        steps = [(d, c) for d in space.neighbours(here) if (c := possible_cost(space._at(d))) is not None]
        best = min(steps, key=lambda step: value(step[1]), default=None)
        if best is None or value(best[1]) >= value(found):
            return here, found
        here, found = best


def _refuse_unless_reachable(space: Space, budget: Any, starts: list[Decisions]) -> None:
    bounds = {key: bound for key, bound in asdict(budget).items() if bound is not None}

    def excess(c: Cost) -> float:
        return max(getattr(c, key) / bound for key, bound in bounds.items())

    nearest = min((_descend(space, start, excess)[1] for start in starts), key=excess)
    if excess(nearest) > 1:
        key = max(bounds, key=lambda k: getattr(nearest, k) / bounds[k])
        reachable = ", ".join(f"{k}: {getattr(nearest, k)}" for k in bounds)
        raise InputError(f'no network of "{space.name}" has {key} ≤ {bounds[key]:,}; the nearest budget that one meets '
                         f"is {{{reachable}}}", f"budget.{key}")
