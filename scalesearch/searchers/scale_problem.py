"""The ways to scale a network, as searchers see them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from random import Random
from typing import cast

from scalesearch.arch import Arch, expand
from scalesearch.budget import Budget
from scalesearch.counting import cost
from scalesearch.plain_data import PlainDict
from scalesearch.scaling import PRESETS, ScalingSpace
from scalesearch.searchers.problem import Problem
from scalesearch.space import Decision, Decisions, FloatRange

TRIED_ALWAYS = ("efficientnet", "depth", "width", "resolution")  # of the presets


class ScaleProblem(Problem):
    """The distinct networks that scaling a base by a factor gives: all of those inside the tolerance and the budget,
    and what `presets` make of the base inside the budget, even where it misses the factor.

    Decisions are the exponents of the axes (`ScalingSpace`); every point is one network's, and every network has one
    point.
    """

    def __init__(
        self,
        space: ScalingSpace,
        presets: Sequence[str] = (),
        budget: Budget | None = None,
        objectives: Sequence[str] = (),
    ):
        self.space, self.presets, self.budget = space, presets, budget or Budget()
        self.decisions = {name: Decision(name, FloatRange(0.0, 1.0), ((name, ()),)) for name in space.axes}
        self.memory: PlainDict = {}
        self.objectives = tuple(objectives)

    @property
    def digest(self) -> str:
        said = sorted(self.networks), str(self.budget), self.budget.profile, self.objectives
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    def check(self, decisions: Decisions) -> None:
        super().check(decisions)
        self.space.shares(decisions)

    def arch(self, decisions: Decisions) -> Arch:
        return self.space.at(decisions).arch

    @cached_property
    def always(self) -> dict[str, Decisions]:
        """The presets' networks by their digest."""
        known = self.space.networks  # first, so that each of its points is its own network's
        points = [self.space.decisions_of(PRESETS[name]) for name in self.presets]
        named = {expand(arch).digest: point for point in points if self.budget.admits(arch := self.arch(point))}
        return {name: known.get(name, point) for name, point in named.items()}

    @cached_property
    def networks(self) -> dict[str, Decisions]:
        """By their digest: what is always tried, then every distinct network within the tolerance and the budget."""
        others = {
            name: d
            for name, d in self.space.networks.items()
            if name not in self.always and self.budget.admits(self.arch(d))
        }
        return self.always | others

    @cached_property
    def _names(self) -> dict[tuple[tuple[str, float], ...], str]:
        return {tuple(sorted(d.items())): name for name, d in self.networks.items()}

    @cached_property
    def listed(self) -> list[Decisions]:
        return list(self.networks.values())

    def identity(self, decisions: Decisions) -> str | None:
        return self._names.get(tuple(sorted(decisions.items())))

    def snapped(self, decisions: Decisions) -> Decisions:
        """The nearest of the distinct networks' points."""

        def apart(d: Decisions) -> float:
            return cast(float, sum((d[name] - decisions[name]) ** 2 for name in d))

        return min(self.listed, key=apart) if self.listed else decisions

    def draw(self, rng: Random) -> Decisions:
        return rng.choice(self.listed)

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        return self.snapped({name: share + rng.gauss(0, 0.15) for name, share in decisions.items()})

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        def apart(d: Decisions) -> float:
            return cast(float, sum((d[name] - decisions[name]) ** 2 for name in d))

        yield from sorted((d for d in self.listed if d != decisions), key=apart)[:6]

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        return tuple(float(self.budget.measure(self.arch(decisions), name)) for name in self.objectives)

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        counted = cost(self.arch(decisions))
        return math.log(counted.params), math.log(counted.acts)
