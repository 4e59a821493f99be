"""The scalings of a network as a problem for searchers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
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

DEFAULT_PRESETS = ("efficientnet", "depth", "width", "resolution")  # tried in every search of scalings


class ScaleProblem(Problem):
    """The distinct networks that scaling a base by a factor gives.

    These are all within the tolerance and the budget, and those that `presets` make of the base inside the
    budget, even if they miss the factor. Decisions are the exponents of the axes (`ScalingSpace`); networks and
    points correspond one to one.

    Args:
        space: The scalings of the base.
        presets: The names of the presets that are tried in any case.
        budget: The bounds; by default there are none.
        objectives: Counted quantities to be small beside the score.
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
        """Returns 16 hex digits of the networks, the budget and the objectives."""
        parts = sorted(self.networks), str(self.budget), self.budget.profile, self.objectives
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def check(self, decisions: Decisions) -> None:
        """Raises `InputError` for decisions that are no shares of the axes."""
        super().check(decisions)
        self.space.shares(decisions)

    def arch(self, decisions: Decisions) -> Arch:
        return self.space.at(decisions).arch

    @cached_property
    def preset_networks(self) -> dict[str, Decisions]:
        """Returns the decisions of the presets' networks inside the budget, by digest."""
        in_tolerance = self.space.networks  # first, so that each of its points is its own network's
        points = [self.space.decisions_of(PRESETS[name]) for name in self.presets]
        by_digest = {expand(arch).digest: point for point in points if self.budget.admits(arch := self.arch(point))}
        return {name: in_tolerance.get(name, point) for name, point in by_digest.items()}

    @cached_property
    def networks(self) -> dict[str, Decisions]:
        """Returns the decisions of all networks by digest, those of the presets first."""
        scalings = {
            name: d
            for name, d in self.space.networks.items()
            if name not in self.preset_networks and self.budget.admits(self.arch(d))
        }
        return self.preset_networks | scalings

    @cached_property
    def _digests(self) -> dict[tuple[tuple[str, float], ...], str]:
        return {tuple(sorted(d.items())): name for name, d in self.networks.items()}

    @cached_property
    def all_decisions(self) -> list[Decisions]:
        """Returns the multipliers of every network that fits the budget, one choice each."""
        return list(self.networks.values())

    def identity(self, decisions: Decisions) -> str | None:
        return self._digests.get(tuple(sorted(decisions.items())))

    def snap(self, decisions: Decisions) -> Decisions:
        """Returns the decisions of the nearest network."""

        return min(self.all_decisions, key=_distance_to(decisions)) if self.all_decisions else decisions

    def draw(self, rng: Random) -> Decisions:
        return rng.choice(self.all_decisions)

    def mutate(self, decisions: Decisions, rng: Random) -> Decisions:
        return self.snap({name: share + rng.gauss(0, 0.15) for name, share in decisions.items()})

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        yield from sorted((d for d in self.all_decisions if d != decisions), key=_distance_to(decisions))[:6]

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        return tuple(float(self.budget.measure(self.arch(decisions), name)) for name in self.objectives)

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        counts = cost(self.arch(decisions))
        return math.log(counts.params), math.log(counts.acts)


def _distance_to(decisions: Decisions) -> Callable[[Decisions], float]:
    return lambda d: cast(float, sum((d[name] - decisions[name]) ** 2 for name in d))
