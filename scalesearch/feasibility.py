"""The networks of a space inside a budget: how many, between which costs, and drawn with equal probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from random import Random
from typing import Any

from scalesearch.arch import Arch
from scalesearch.budget import COUNTED, FLOAT, Budget, budget_of
from scalesearch.counting import cost, possible_cost
from scalesearch.decisions import Decisions
from scalesearch.errors import InputError
from scalesearch.expansion import expand
from scalesearch.ladder import AXES, Band, Ladder, TooEntangled
from scalesearch.space import Space

WALKED = 5_000  # spaces up to this size are listed whole
DRAWS = 2_000
PATIENCE = 3_000  # draws in a row that may be outside before a walk through the inside takes over
DESCENTS = 3
STRIDES = 30  # steps of the walk between two networks that it gives


@dataclass(frozen=True)
class Certificate:
    """Smallest, median and largest MACs in a space, and the share of it inside the budget.

    `exact` says whether every architecture was counted; `networks` are then the distinct ones. Otherwise the median is of
    `counted` uniform draws, the share has its 95 % interval, and the extremes are exact where the space can be climbed unit
    by unit (`climbed`), else those of the draws improved step by step.
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


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


class Feasible:
    """The networks of `space` inside `budget`.

    A small space is listed; a larger one is drawn from along its counted costs (`ladder`), or blindly where its units
    cannot be climbed, or, where blind draws find nothing, by a random walk that stays inside.
    """

    def __init__(self, space: Space, budget: Budget | Mapping[str, Any]):
        self.space, self.budget = space, budget if isinstance(budget, Budget) else budget_of(budget)
        self._walking = False  # whether blind draws were given up

    @cached_property
    def listed(self) -> list[Decisions] | None:
        """One reading of every distinct network inside, where the space is small enough to list."""
        return None if self._listing is None else [d for d, inside in self._listing if inside]

    @cached_property
    def _listing(self) -> list[tuple[Decisions, bool]] | None:
        if self.space.size > WALKED:
            return None
        found: dict[str, tuple[Decisions, bool]] = {}
        for decisions in self.space:
            arch = self.space._at(decisions)
            if possible_cost(arch) is not None:
                digest = expand(arch).digest
                if digest not in found:
                    found[digest] = decisions, self.budget.admits(arch)
        return list(found.values())

    @cached_property
    def ladder(self) -> Ladder | None:
        try:
            return Ladder(self.space)
        except TooEntangled:
            return None

    @cached_property
    def band(self) -> Band | None:
        """The band of counted costs that the budget leaves; None without such bounds, or where the space cannot be climbed."""
        bounds = self._counted_bounds()
        if not bounds or self.ladder is None:
            return None
        return Band(self.ladder, bounds)

    def _counted_bounds(self) -> list[tuple[int, float, float]]:
        found: dict[int, tuple[float, float]] = {}
        for key, bound in self.budget.bounds.items():
            if key in COUNTED:
                axis, per = (AXES["params"], FLOAT) if key == "size" else (AXES[key], 1)
                low, high = found.get(axis, (0.0, math.inf))
                found[axis] = max(low, bound.low / per), min(high, bound.high / per)
        if not found or self.ladder is None:
            return []
        ends = {axis: self.ladder.extremes(axis) for axis in found}
        return [(axis, low, min(high, ends[axis][1])) for axis, (low, high) in found.items() if ends[axis]]

    def draw(self, rng: Random) -> Decisions:
        """Decisions of a network inside, each as likely as every other.

        Raises `InputError` where none is found.
        """
        if self.listed is not None:
            if not self.listed:
                raise self._nothing()
            return rng.choice(self.listed)
        if self._walking:
            return self._walk(rng)
        for _ in range(PATIENCE):
            decisions, arch = self._propose(rng)
            if arch is not None and self.budget.admits(arch):
                return decisions
        self._walking = True
        return self._walk(rng)

    def _propose(self, rng: Random) -> tuple[Decisions, Arch | None]:
        """A draw that is inside the counted bounds but for rounding; its architecture, or None for a second reading of one."""
        if self.band is None:
            return self.space.sample(rng)
        if not self.band.weight:
            raise self._nothing()
        decisions = self.band.draw(rng)
        arch = self.space._at(decisions)
        canonical = not self.space._ambiguous or self.space.decisions_of(arch) == decisions
        return decisions, arch if canonical else None

    def _walk(self, rng: Random) -> Decisions:
        """The end of a random walk over neighbours inside, each step accepted so that every network is as likely."""
        here = self._some_inside(rng)
        around = self._inside_around(here)
        for _ in range(STRIDES):
            if around:
                there = rng.choice(around)
                beyond = self._inside_around(there)
                if rng.random() < len(around) / max(1, len(beyond)):
                    here, around = there, beyond
        return here

    def _inside_around(self, decisions: Decisions) -> list[Decisions]:
        return [d for d in self.space.neighbours(decisions) if self.budget.admits(self.space._at(d))]

    def _some_inside(self, rng: Random) -> Decisions:
        for _ in range(DESCENTS * 4):
            start = self.space.sample(rng)[0]
            if possible_cost(self.space._at(start)) is not None:
                found, excess = descend(self.space, start, self.budget.excess)
                if excess <= 1:
                    return found
        raise self._nothing()

    def share(self, rng: Random) -> tuple[float, tuple[float, float], int]:
        """The share of the space's architectures inside, its 95 % interval, and how many draws that took."""
        if self._listing is not None:
            inside = len(self.listed) / max(1, len(self._listing))
            return inside, (inside, inside), len(self._listing)
        whole = 1.0
        if self.band is not None:
            whole = min(1.0, self.band.weight / self.space.size) if self.space.size < math.inf else 1.0
            if not whole:
                return 0.0, (0.0, 0.0), 0
        hits = sum(arch is not None and self.budget.admits(arch) for _, arch in (self._propose(rng) for _ in range(DRAWS)))
        low, high = wilson(hits, DRAWS)
        return whole * hits / DRAWS, (whole * low, whole * high), DRAWS

    def _nothing(self) -> InputError:
        """What to say where no network is inside: the nearest budget that one meets."""
        space, bounds = self.space, self.budget.bounds
        found = min(self._near_misses(), key=lambda pair: pair[1], default=None)
        if found is None:
            expand(space.sample(Random(0))[1])  # says why the shapes of none meet
            return InputError(f'no network was found in "{space.name}"', "budget")
        arch = space._at(found[0])
        measured = {key: self.budget.measure(arch, key) for key in bounds}
        worst = max(bounds, key=lambda key: bounds[key].excess(measured[key]))
        reachable = ", ".join(f"{key}: {f'{value * 1000:.4g}ms' if key == 'latency' else f'{value:.0f}'}" for key, value in measured.items())
        only = Budget({worst: bounds[worst]}, self.budget.profile)
        return InputError(f'no network of "{space.name}" has {only}; the nearest budget that one meets is {{{reachable}}}',
                          f"budget.{worst}")

    def _near_misses(self) -> Iterator[tuple[Decisions, float]]:
        rng = Random(0)
        if self._listing is not None:
            yield from ((d, self.budget.excess(self.space._at(d))) for d, _ in self._listing)
            return
        yield from self._nearest_bands(rng)
        starts = [d for d in (self.space.sample(rng)[0] for _ in range(200)) if possible_cost(self.space._at(d)) is not None]
        starts.sort(key=lambda d: self.budget.excess(self.space._at(d)))
        yield from (descend(self.space, start, self.budget.excess) for start in starts[:DESCENTS])

    def _nearest_bands(self, rng: Random) -> Iterator[tuple[Decisions, float]]:
        """Draws from the first band that holds anything while the counted bounds are let out, little by little."""
        if self.band is None:
            return
        for step in range(1, 40):
            slack = 1.002 ** (2**(step / 3))
            bounds = [(axis, low / slack, high * slack) for axis, low, high in self.band.bounds]
            wider = Band(self.ladder, bounds)
            if wider.weight:
                drawn = (wider.draw(rng) for _ in range(200))
                yield from ((d, self.budget.excess(self.space._at(d))) for d in drawn)
                return


def certify(space: Space, budget: Budget | Mapping[str, Any], seed: int = 0) -> Certificate:
    """The certificate of `budget` (or of its mapping, `{"macs": "570M..630M"}`) in `space`.

    Raises `InputError` where no network is found inside, with the nearest budget that one meets.
    """
    rng, feasible = Random(seed), Feasible(space, budget)
    exact = feasible._listing is not None
    drawn = [d for d, _ in feasible._listing] if exact else [space.sample(rng)[0] for _ in range(DRAWS)]
    counted = sorted(c.macs for d in drawn if (c := possible_cost(space._at(d))) is not None)
    if not counted:
        cost(space._at(drawn[0] if drawn else space.sample(rng)[0]))  # says why not
    ends = (counted[0], counted[-1]) if exact else _extremes(feasible, drawn)
    share, interval, _ = feasible.share(rng)
    if not share:
        feasible.draw(rng)  # finds one all the same, or says what is nearest
    return Certificate(space.size, exact, len(drawn), ends[0], counted[len(counted) // 2], ends[1], share, interval,
                       len(feasible._listing) if exact else None, not exact and feasible.ladder is not None)


def _extremes(feasible: Feasible, drawn: list[Decisions]) -> tuple[int, int]:
    """The least and the most MACs: exact where the space can be climbed."""
    if feasible.ladder is not None:
        return feasible.ladder.extremes(AXES["macs"])
    space = feasible.space
    possible = [d for d in drawn if possible_cost(space._at(d)) is not None]
    ordered = sorted(possible, key=lambda d: cost(space._at(d)).macs)
    macs = lambda sign: lambda arch: math.inf if (c := possible_cost(arch)) is None else sign * c.macs
    return (int(min(descend(space, d, macs(1))[1] for d in ordered[:DESCENTS])),
            int(-min(descend(space, d, macs(-1))[1] for d in ordered[-DESCENTS:])))


def descend(space: Space, start: Decisions, value: Callable[[Arch], float]) -> tuple[Decisions, float]:
    """The best neighbour, again and again, until none is better."""
    here, found = start, value(space._at(start))
    while True:
        steps = ((d, value(space._at(d))) for d in space.neighbours(here))
        best = min(steps, key=lambda step: step[1], default=None)
        if best is None or best[1] >= found:
            return here, found
        here, found = best
