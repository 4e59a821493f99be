"""The searches of a study as searchers see them: networks of a space inside a budget, and ways to scale one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from random import Random
from typing import Any

import numpy as np

from scalesearch.arch import Arch
from scalesearch.budget import Budget, quantity_of
from scalesearch.counting import cost
from scalesearch.space import Decision, Decisions
from scalesearch.space import FloatRange
from scalesearch.arch import expand
from scalesearch.budget import Feasible
from scalesearch.scaling import PRESETS
from scalesearch.scaling import ScalingSpace
from scalesearch.space import Space

REMEMBERED = 1 << 15
RIDGE = 1.0


class SpaceProblem:
    """The networks of `space` inside `budget`. `objectives` are quantities to be small beside the score.

    `hints` are numbers about some networks (zero-cost proxies, by their digest), from which those of the others are told.
    """

    def __init__(self, space: Space, budget: Budget, objectives: Sequence[str] = ()):
        self.space, self.budget, self.objectives, self.decisions = space, budget, tuple(objectives), space.decisions
        self.feasible = Feasible(space, budget)
        self.memory: dict[str, Any] = {}
        self._identities: dict[tuple, str | None] = {}
        self._costs: dict[tuple, tuple[float, ...]] = {}
        self._hints: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def digest(self) -> str:
        """Of everything that a search of it hangs on: its decisions, some of the networks that they give, and the budget."""
        some = [self.space.sample(seed)[1].digest for seed in range(8)]
        said = [(name, d.domain) for name, d in self.decisions.items()], some, str(self.budget), self.budget.profile, self.objectives
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    def arch(self, decisions: Decisions) -> Arch:
        return self.space._at(decisions)

    def draw(self, rng: Random) -> Decisions:
        return self.feasible.draw(rng)

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        return self.space.mutated(decisions, rng)

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        return self.space.neighbours(decisions)

    def snapped(self, decisions: Decisions) -> Decisions:
        """Decimals on a range's steps exactly, where a searcher's arithmetic left them beside."""
        domains = {key: self.decisions[key].domain for key in decisions}
        return {key: min(domains[key].values, key=lambda v: abs(v - value))
                if isinstance(domains[key], FloatRange) and domains[key].values else value
                for key, value in decisions.items()}

    def identity(self, decisions: Decisions) -> str | None:
        key = tuple(decisions.items())
        if key not in self._identities:
            if len(self._identities) > REMEMBERED:
                self._identities.clear()
                self._costs.clear()
            arch = self.arch(decisions)
            self._identities[key] = expand(arch).digest if self.budget.admits(arch) else None
        return self._identities[key]

    def inside(self, decisions: Decisions) -> bool:
        return self.budget.admits(self.arch(decisions))

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        if not self.objectives:
            return ()
        key = tuple(decisions.items())
        if key not in self._costs:
            arch = self.arch(decisions)
            self._costs[key] = tuple(float(self.budget.measure(arch, name)) for name in self.objectives)
        return self._costs[key]

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        counted = cost(self.arch(decisions))
        return (*(math.log(1 + quantity_of(counted, key)) for key in ("params", "macs", "acts")), *self._hinted(decisions))

    @property
    def listed(self) -> Sequence[Decisions] | None:
        """All inside, of a space that is small enough."""
        return self.feasible.listed

    def left(self, seen: Collection[str]) -> bool:
        """Whether a network not `seen` may be left."""
        return self.listed is None or any(self.identity(d) not in seen for d in self.listed)

    def hint(self, decisions: Sequence[Decisions], numbers: Sequence[Sequence[float]]) -> None:
        """Learn, by ridge regression on the decisions, what the proxies of networks not screened may be."""
        x = np.array([self._flags(d) for d in decisions])
        y = np.array(numbers, dtype=float)
        y = (y.argsort(0).argsort(0) + 0.5) / len(y)  # ranks: proxies run over many orders of magnitude
        self._hints = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean(0))), y.mean(0)

    def _hinted(self, decisions: Decisions) -> tuple[float, ...]:
        if self._hints is None:
            return ()
        weights, middle = self._hints
        return tuple((np.array(self._flags(decisions)) @ weights + middle).tolist())

    def _flags(self, decisions: Decisions) -> list[float]:
        return [float(decisions.get(name) == value) for name, d in self.decisions.items() for value in d.domain.values or ()]


class ScaleProblem:
    """The distinct networks that scaling a base by a factor gives: all of those inside the tolerance and the budget, and what
    `presets` make of the base inside the budget, even where it misses the factor.

    Decisions are the exponents of the axes (`ScalingSpace`); every point is one network's, and every network has one point.
    """

    def __init__(self, space: ScalingSpace, presets: Sequence[str] = (), budget: Budget | None = None):
        self.space, self.presets, self.budget = space, presets, budget or Budget()
        self.decisions = {name: Decision(name, FloatRange(0.0, 1.0), ((name, ()),)) for name in space.axes}
        self.memory: dict[str, Any] = {}
        self.objectives: tuple[str, ...] = ()

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
        others = {name: d for name, d in self.space.networks.items() if name not in self.always and self.budget.admits(self.arch(d))}
        return self.always | others

    @cached_property
    def _names(self) -> dict[tuple, str]:
        return {tuple(sorted(d.items())): name for name, d in self.networks.items()}

    @cached_property
    def listed(self) -> list[Decisions]:
        return list(self.networks.values())

    def identity(self, decisions: Decisions) -> str | None:
        return self._names.get(tuple(sorted(decisions.items())))

    def snapped(self, decisions: Decisions) -> Decisions:
        """The nearest of the distinct networks' points."""
        apart = lambda d: sum((d[name] - decisions[name]) ** 2 for name in d)
        return min(self.listed, key=apart) if self.listed else decisions

    def draw(self, rng: Random) -> Decisions:
        return rng.choice(self.listed)

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        return self.snapped({name: share + rng.gauss(0, 0.15) for name, share in decisions.items()})

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        apart = lambda d: sum((d[name] - decisions[name]) ** 2 for name in d)
        yield from sorted((d for d in self.listed if d != decisions), key=apart)[:6]

    def inside(self, decisions: Decisions) -> bool:
        return self.identity(decisions) is not None

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        return ()

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        counted = cost(self.arch(decisions))
        return math.log(counted.params), math.log(counted.acts)

    def left(self, seen: Collection[str]) -> bool:
        return any(name not in seen for name in self.networks)
