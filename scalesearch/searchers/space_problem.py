"""Networks of a space inside a budget, as searchers see them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from scalesearch.arch import Arch, expand
from scalesearch.budget import Budget, Feasible, quantity_of
from scalesearch.counting import cost
from scalesearch.plain_data import PlainDict
from scalesearch.searchers.problem import Problem
from scalesearch.space import Decisions, FloatRange, Space

REMEMBERED = 1 << 15
RIDGE = 1.0


class SpaceProblem(Problem):
    """The networks of `space` inside `budget`. `objectives` are quantities to be small beside the score.

    `hints` are numbers about some networks (zero-cost proxies, by their digest), from which those of the others are
    told.
    """

    def __init__(self, space: Space, budget: Budget, objectives: Sequence[str] = ()):
        self.space, self.budget, self.objectives, self.decisions = space, budget, tuple(objectives), space.decisions
        self.feasible = Feasible(space, budget)
        self.memory: PlainDict = {}
        self._identities: dict[tuple[object, ...], str | None] = {}
        self._costs: dict[tuple[object, ...], tuple[float, ...]] = {}
        self._hints: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def digest(self) -> str:
        """Of everything that a search of it hangs on: its decisions, some of the networks they give, the budget."""
        some = [self.space.sample(seed)[1].digest for seed in range(8)]
        said = (
            [(name, d.domain) for name, d in self.decisions.items()],
            some,
            str(self.budget),
            self.budget.profile,
            self.objectives,
        )
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    def arch(self, decisions: Decisions) -> Arch:
        return self.space.at_unchecked(decisions)

    def draw(self, rng: Random) -> Decisions:
        return self.feasible.draw(rng)

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        return self.space.mutated(decisions, rng)

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        return self.space.neighbours(decisions)

    def snapped(self, decisions: Decisions) -> Decisions:
        """Decimals on a range's steps and between its ends exactly, where a searcher's arithmetic left them beside."""
        domains = {key: self.decisions[key].domain for key in decisions}
        return {
            key: _nearest(domain, value) if isinstance(domain := domains[key], FloatRange) else value
            for key, value in decisions.items()
        }

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
        return (
            *(math.log(1 + quantity_of(counted, key)) for key in ("params", "macs", "acts")),
            *self._hinted(decisions),
        )

    @property
    def listed(self) -> Sequence[Decisions] | None:
        """All inside, of a space that is small enough."""
        return self.feasible.listed

    def hint(self, decisions: Sequence[Decisions], numbers: np.ndarray) -> None:
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
        return [
            float(decisions.get(name) == value) for name, d in self.decisions.items() for value in d.domain.values or ()
        ]


def _nearest(domain: FloatRange, value: float) -> float:
    if domain.values:
        return min(domain.values, key=lambda there: abs(there - value))
    return min(max(value, domain.low), domain.high)
