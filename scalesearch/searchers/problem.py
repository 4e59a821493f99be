"""What a searcher sees: a space to draw from, what is known so far, and how good that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from scalesearch.statistics import standing

Decisions = dict[str, Any]


class Problem(Protocol):
    """A space inside its budget, as a searcher sees it."""

    decisions: Mapping[str, Any]  # name → anything with a `domain` and `exists(decisions)`
    memory: dict[str, Any]  # where a searcher keeps what it could work out again

    def draw(self, rng: Random) -> Decisions:
        """Inside the budget, each network as likely as every other."""

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        """Another value for one decision, inside the budget or not."""

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        """All that differ in one decision, inside the budget or not."""

    def identity(self, decisions: Decisions) -> str | None:
        """Names the network, whatever decisions lead to it; None outside the budget."""

    def inside(self, decisions: Decisions) -> bool:
        """Whether they are inside the budget."""

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        """The counted objectives beside the score, each to be small; empty where the score is the only one."""

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        """Numbers known before any training: logs of counted costs, zero-cost proxies."""


@dataclass(frozen=True)
class Past:
    """What is known when a proposal is asked for: results of one fidelity in the order of their numbers, and what is under way."""

    results: Sequence[tuple[Decisions, float | None]] = ()  # score to maximise; None where training failed
    pending: Sequence[Decisions] = field(default=())

    @property
    def asked(self) -> int:
        return len(self.results) + len(self.pending)

    @property
    def scored(self) -> list[tuple[Decisions, float]]:
        return [(decisions, score) for decisions, score in self.results if score is not None]


def values(problem: Problem, decisions: Decisions, score: float) -> tuple[float, ...]:
    """All objectives, each to be maximised."""
    return (score, *(-cost for cost in problem.costs(decisions)))


def best_first(problem: Problem, results: Sequence[tuple[Decisions, float]]) -> list[Decisions]:
    """The decisions of results, the best first: by score, or by front and room on it where there are several objectives."""
    keys = standing([values(problem, decisions, score) for decisions, score in results])
    return [results[i][0] for i in sorted(range(len(results)), key=lambda i: keys[i], reverse=True)]
