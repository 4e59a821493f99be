"""The networks of a space inside a budget as a problem for searchers."""

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

SIZES = ("params", "macs", "acts")
MAX_CACHED = 1 << 15
RIDGE = 1.0


class SpaceProblem(Problem):
    """The networks of `space` inside `budget`.

    Args:
        space: The space of networks.
        budget: The bounds.
        objectives: Counted quantities to be small beside the score.
    """

    def __init__(self, space: Space, budget: Budget, objectives: Sequence[str] = ()):
        self.space, self.budget, self.objectives, self.decisions = space, budget, tuple(objectives), space.decisions
        self.feasible = Feasible(space, budget)
        self.memory: PlainDict = {}
        self._identities: dict[tuple[object, ...], str | None] = {}
        self._costs: dict[tuple[object, ...], tuple[float, ...]] = {}
        self._hint_model: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def digest(self) -> str:
        """Returns 16 hex digits of all that a search depends on.

        These are the decisions, eight sampled networks, the budget and the objectives.
        """
        parts = (
            [(name, d.domain) for name, d in self.decisions.items()],
            [self.space.sample(seed)[1].digest for seed in range(8)],
            str(self.budget),
            self.budget.profile,
            self.objectives,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def arch(self, decisions: Decisions) -> Arch:
        return self.space.at_unchecked(decisions)

    def draw(self, rng: Random) -> Decisions:
        return self.feasible.draw(rng)

    def mutate(self, decisions: Decisions, rng: Random) -> Decisions:
        return self.space.mutate(decisions, rng)

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        return self.space.neighbours(decisions)

    def snap(self, decisions: Decisions) -> Decisions:
        """Returns the decisions with decimals moved onto their range's steps and between its ends."""
        return {
            key: _nearest(domain, value) if isinstance(domain := self.decisions[key].domain, FloatRange) else value
            for key, value in decisions.items()
        }

    def identity(self, decisions: Decisions) -> str | None:
        key = tuple(decisions.items())
        if key not in self._identities:
            if len(self._identities) > MAX_CACHED:
                self._identities.clear()
                self._costs.clear()
            arch = self.arch(decisions)
            self._identities[key] = expand(arch).digest if self.budget.admits(arch) else None
        return self._identities[key]

    def admits(self, decisions: Decisions) -> bool:
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
        """Returns the logs of params, MACs and activations, and what `learn_hints` predicts, if it was called."""
        counts = cost(self.arch(decisions))
        logs = (math.log(1 + quantity_of(counts, key)) for key in SIZES)
        return (*logs, *self._predicted_ranks(decisions))

    def sizes(self, decisions: Decisions) -> tuple[float, ...]:
        counts = cost(self.arch(decisions))
        return tuple(quantity_of(counts, key) for key in SIZES)

    @property
    def all_decisions(self) -> Sequence[Decisions] | None:
        """Returns the decisions of all networks inside the budget, if the space is small enough to list."""
        return self.feasible.all_decisions

    def learn_hints(self, decisions: Sequence[Decisions], proxies: np.ndarray) -> None:
        """Learns to predict zero-cost proxies from decisions; `features` then has the predictions too.

        The proxies are replaced by their ranks, and fitted by ridge regression.

        Args:
            decisions: The decisions of the n networks whose proxies are known.
            numbers: `(n, proxies)` values of the proxies.
        """
        x = np.array([self._one_hot(d) for d in decisions])
        y = np.array(proxies, dtype=float)
        y = (y.argsort(0).argsort(0) + 0.5) / len(y)  # ranks: proxies run over many orders of magnitude
        self._hint_model = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean(0))), y.mean(0)

    def _predicted_ranks(self, decisions: Decisions) -> tuple[float, ...]:
        if self._hint_model is None:
            return ()
        weights, mean = self._hint_model
        return tuple((np.array(self._one_hot(decisions)) @ weights + mean).tolist())

    def _one_hot(self, decisions: Decisions) -> list[float]:
        return [
            float(decisions.get(name) == value) for name, d in self.decisions.items() for value in d.domain.values or ()
        ]


def _nearest(domain: FloatRange, value: float) -> float:
    if domain.values:
        return min(domain.values, key=lambda option: abs(option - value))
    return min(max(value, domain.low), domain.high)
