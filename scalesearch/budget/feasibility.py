"""The networks of a space inside a budget: which share, and drawn with equal probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from random import Random
from typing import Any

from scalesearch.arch import Arch, expand, meets
from scalesearch.budget.band import Band
from scalesearch.budget.bounds import COUNTED, FLOAT, Budget, budget_of
from scalesearch.budget.ladder import AXES, Ladder, Names, TooEntangled
from scalesearch.counting import possible_cost
from scalesearch.errors import InputError
from scalesearch.space import Decisions, Space
from scalesearch.statistics import wilson
from scalesearch.watched import watched

WALKED = 16_000  # spaces up to this size are listed whole
DRAWS = 2_000
PATIENCE = 3_000  # draws in a row that may be outside before a walk through the inside takes over
NEAR = 400  # draws of which the nearest are improved where none is inside
DESCENTS = 6  # of the nearest draws that are improved
STRIDES = 40  # steps of the walk from a network found inside to the one that it gives
REMEMBERED = 20_000


class Feasible:
    """The networks of `space` inside `budget`.

    A small space is listed; a larger one is drawn from along its counted costs (`ladder`), or blindly where its units
    cannot be climbed, or, where blind draws find nothing, by a random walk that stays inside. What is drawn hangs on
    the dice alone, not on what was drawn before.
    """

    def __init__(self, space: Space, budget: Budget | Mapping[str, Any]):
        self.space, self.budget = space, budget if isinstance(budget, Budget) else budget_of(budget)
        self._around: dict[tuple, list[Decisions]] = {}
        self._asked = self._kept = 0  # draws of the space, and those that were not another way to a network of it

    @cached_property
    def listed(self) -> list[Decisions] | None:
        """One reading of every distinct network inside, where the space is small enough to list."""
        return None if self._listing is None else [d for d, inside in self._listing if inside]

    @cached_property
    def _listing(self) -> list[tuple[Decisions, bool]] | None:
        if self.space.size > WALKED:
            return None
        found: dict[str, tuple[Decisions, bool]] = {}
        for decisions in watched(self.space, "counting every network", int(self.space.size)):
            arch = self.space._at(decisions)
            if possible_cost(arch) is not None:
                digest = expand(arch).digest
                if digest not in found:
                    found[digest] = decisions, self.budget.admits(arch)
        return list(found.values())

    @cached_property
    def ladder(self) -> Ladder | None:
        try:
            ladder = Ladder(self.space)
        except TooEntangled:
            return None
        return ladder if ladder.extremes(AXES["macs"]) else None

    @cached_property
    def everything(self) -> Band | None:
        """All ways to the networks of the space; None where it cannot be climbed."""
        macs = AXES["macs"]
        return None if self.ladder is None else Band(self.ladder, [(macs, 0, self.ladder.ends(macs)[1])])

    @cached_property
    def band(self) -> Band | None:
        """The band of counted costs that the budget leaves, of the two quantities that are bounded most closely."""
        bounds = self._counted_bounds()
        if not bounds or self.ladder is None:
            return self.everything
        ladder = self.ladder
        if len(bounds) > 2:
            bounds = sorted(bounds, key=lambda bound: Band(ladder, [bound]).weight)[:2]
        return Band(ladder, bounds)

    def _counted_bounds(self) -> list[tuple[int, float, float]]:
        found: dict[int, tuple[float, float]] = {}
        for key, bound in self.budget.bounds.items():
            if key in COUNTED:
                axis, per = (AXES["params"], FLOAT) if key == "size" else (AXES[key], 1)
                low, high = found.get(axis, (0.0, math.inf))
                found[axis] = max(low, bound.low / per), min(high, bound.high / per)
        if not found or self.ladder is None:
            return []
        return [(axis, low, min(high, self.ladder.ends(axis)[1])) for axis, (low, high) in found.items()]

    def draw(self, rng: Random) -> Decisions:
        """Decisions of a network inside, each network as likely as every other.

        Raises `InputError` where none is found.
        """
        if self.listed is not None:
            if not self.listed:
                raise self._nothing()
            return rng.choice(self.listed)
        if not self._hopeless:
            for _ in range(PATIENCE):
                if (found := self._attempt(rng)) is not None:
                    return found
        return self._walk(rng)

    def draw_any(self, rng: Random) -> Decisions | None:
        """Decisions of a network of the space, inside the budget or not, each as likely as every other; of a space that
        cannot be climbed now and then nothing, a point of it that is no network."""
        if self.everything is None:
            decisions, arch = self.space.point(rng)
            return decisions if meets(arch) else None
        while True:
            decisions, names = self.everything.draw(rng)
            self._asked += 1
            if rng.random() * self._readings(names) < 1:
                self._kept += 1
                return decisions

    @cached_property
    def _hopeless(self) -> bool:
        """Whether drawing and refusing what is outside finds nothing in any useful time."""
        rng = Random(0)
        return all(self._attempt(rng) is None for _ in range(PATIENCE))

    def _attempt(self, rng: Random) -> Decisions | None:
        """A draw along the counted bounds; None where it is outside, or one of several readings whose turn it isn't."""
        if self.band is None:
            decisions, arch = self.space.point(rng)
            return decisions if self.budget.admits(arch) else None
        if not self.band.weight:
            return None
        decisions, names = self.band.draw(rng)
        if not self.budget.admits(self.space._at(decisions)) or rng.random() * self._readings(names) >= 1:
            return None
        return decisions

    def _walk(self, rng: Random) -> Decisions:
        """The end of a random walk over neighbours inside, each step accepted so that every network is as likely."""
        starts = [decisions for decisions, excess in self._nearest if excess <= 1]
        if not starts:
            raise self._nothing()
        here = rng.choice(starts)
        around = self._inside_around(here)
        for _ in range(STRIDES):
            if around:
                there = rng.choice(around)
                beyond = self._inside_around(there)
                if rng.random() < len(around) / max(1, len(beyond)):
                    here, around = there, beyond
        return here

    def _inside_around(self, decisions: Decisions) -> list[Decisions]:
        key = tuple(decisions.items())
        if key not in self._around:
            if len(self._around) > REMEMBERED:
                self._around.clear()
            self._around[key] = [d for d in self.space.neighbours(decisions) if self.budget.admits(self.space._at(d))]
        return self._around[key]

    def networks(self, rng: Random) -> int | None:
        """How many distinct networks the space has: counted where it is listed, or climbed and none is built in several
        ways, else estimated from draws; None where there are infinitely many."""
        if self._listing is not None:
            return len(self._listing)
        if self.everything is not None:
            while self._kept < DRAWS:
                self.draw_any(rng)
            return round(self.everything.weight * self._kept / self._asked)
        if self.space.size == math.inf:
            return None
        return round(
            self.space.size
            * sum(self.draw_any(rng) is not None for _ in watched(range(DRAWS), "drawing networks", DRAWS))
            / DRAWS
        )

    def share(self, rng: Random) -> tuple[float, tuple[float, float]]:
        """The share of the space's networks inside, and its 95 % interval."""
        if self._listing is not None:
            inside = len(self.listed or ()) / max(1, len(self._listing))
            return inside, (inside, inside)
        if self.band is None:
            drawn = [d for _ in range(DRAWS) if (d := self.draw_any(rng)) is not None]
            met = sum(self.budget.admits(self.space._at(d)) for d in drawn)
            return met / max(1, len(drawn)), wilson(met, max(1, len(drawn)))
        if not self.band.weight:
            return 0.0, (0.0, 0.0)
        there = self._weighed(self.band, rng)
        hits = sum((weight for weight, inside in there if inside), 0.0)
        if self.everything is None or self.band is self.everything:
            everything = sum((weight for weight, _ in there), 0.0)
            return hits / everything, wilson(hits / everything * DRAWS, DRAWS)
        whole = sum((weight for weight, _ in self._weighed(self.everything, rng, look=False)), 0.0) / DRAWS
        part = self.band.weight / (self.everything.weight * whole)
        low, high = wilson(hits, DRAWS)
        return min(1.0, part * hits / DRAWS), (min(1.0, part * low), min(1.0, part * high))

    def _weighed(self, band: Band, rng: Random, look: bool = True) -> list[tuple[float, bool]]:
        """Draws, each worth one over the readings of its network, and whether it is inside the budget."""
        drawn = (band.draw(rng) for _ in watched(range(DRAWS), "drawing networks inside", DRAWS))
        return [(1 / self._readings(names), look and self.budget.admits(self.space._at(d))) for d, names in drawn]

    def _nothing(self) -> InputError:
        """What to say where no network is inside: the nearest budget that one meets."""
        space, bounds = self.space, self.budget.bounds
        if not self._nearest:
            expand(space.sample(Random(0))[1])  # says why the shapes of none meet
            return InputError(f'no network was found in "{space.name}"', "budget")
        arch = space._at(self._nearest[0][0])
        measured = {key: self.budget.measure(arch, key) for key in bounds}
        worst = max(bounds, key=lambda key: bounds[key].excess(measured[key]))
        reachable = ", ".join(
            f"{key}: {f'{value * 1000:.4g}ms' if key == 'latency' else f'{value:.0f}'}"
            for key, value in measured.items()
        )
        return InputError(
            f'no network of "{space.name}" has {self.budget}; the nearest budget that one meets is {{{reachable}}}',
            f"budget.{worst}",
        )

    @cached_property
    def _nearest(self) -> list[tuple[Decisions, float]]:
        """Networks with how many times outside they are, the nearest first; those inside have at most 1."""

        def excess(decisions):
            return self.budget.excess(self.space._at(decisions))

        if self._listing is not None:
            found = [(d, excess(d)) for d, _ in self._listing]
        else:
            rng = Random(0)
            near = [(d, e) for d in self._near(rng) if (e := excess(d)) < math.inf]
            near.sort(key=lambda pair: pair[1])
            found = near[:DESCENTS]
            for start, _ in near[:DESCENTS]:
                between, penalty = descend(self.space, start, self.budget.penalty)
                found.append((between, 1.0) if not penalty else descend(self.space, between, self.budget.excess))
        return sorted(found, key=lambda pair: pair[1])

    def _readings(self, names: Names) -> int:
        assert self.ladder is not None
        return self.ladder.readings(names)

    def _near(self, rng: Random) -> Iterator[Decisions]:
        """Draws from the counted bounds; from the first that hold anything, where they have to be let out for that,
        little by little."""
        yield from (self.space.point(rng)[0] for _ in range(NEAR))
        if self.band is None:
            return
        for step in range(40):
            slack = 1.002 ** (2 ** (step / 3)) if step else 1.0
            let_out = [(axis, low / slack, high * slack) for axis, low, high in self.band.bounds]
            wider = Band(self.band.ladder, let_out) if step else self.band
            if wider.weight:
                yield from (wider.draw(rng)[0] for _ in range(NEAR))
                return


def descend(space: Space, start: Decisions, value: Callable[[Arch], float]) -> tuple[Decisions, float]:
    """The best neighbour, again and again, until none is better."""
    here, found = start, value(space._at(start))
    while True:
        steps = ((d, value(space._at(d))) for d in space.neighbours(here))
        best = min(steps, key=lambda step: step[1], default=None)
        if best is None or best[1] >= found:
            return here, found
        here, found = best
