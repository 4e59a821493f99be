"""What may be tried, as a searcher sees it: what to draw from, what is known so far, and how good that is."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from scalesearch.arch import Arch
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.space import check_decisions
from scalesearch.statistics import sort_keys

Decisions = PlainDict


class Problem:
    """What may be tried: networks of a space inside a budget, ways to scale one, rows of a table.

    `decisions` are by name anything with a `domain` and `exists(decisions)`, `objectives` the quantities to be small
    beside the score, `memory` is where a searcher keeps what it could work out again.
    """

    decisions: PlainMapping
    objectives: tuple[str, ...] = ()
    memory: PlainDict

    @property
    def digest(self) -> str:
        """16 hex digits of everything that a search of it hangs on; if not said otherwise, of its decisions."""
        said = repr([(name, decision.domain) for name, decision in self.decisions.items()])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def check(self, decisions: Decisions) -> None:
        """Raises `InputError` for decisions, of a log say, that are none of this problem's."""
        check_decisions(self.decisions, decisions)

    @property
    def sparse(self) -> bool:
        """Whether a step from one decision to the next hardly ever leads to another that may be tried."""
        return False

    @property
    def listed(self) -> Iterable[Decisions] | None:
        """All inside, where there are few enough."""
        return None

    def draw(self, rng: Random) -> Decisions:
        """Inside the budget, each network as likely as every other."""
        raise NotImplementedError

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        """Another value for one decision, inside the budget or not."""
        raise NotImplementedError

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        """All that differ in one decision, inside the budget or not."""
        raise NotImplementedError

    def snapped(self, decisions: Decisions) -> Decisions:
        """The nearest decisions that can be tried, where a searcher's arithmetic left them beside."""
        return dict(decisions)

    def identity(self, decisions: Decisions) -> str | None:
        """Names the network, whatever decisions lead to it; None outside the budget."""
        raise NotImplementedError

    def inside(self, decisions: Decisions) -> bool:
        """Whether they are inside the budget."""
        return self.identity(decisions) is not None

    def has_unseen(self, seen: Collection[str]) -> bool:
        """Returns whether there may be a network that is not among those `seen`."""
        return self.listed is None or any(self.identity(d) not in seen for d in self.listed)

    def arch(self, decisions: Decisions) -> Arch | None:
        """The network itself, where it is more than a row of a table."""
        return None

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        """The counted objectives beside the score, each to be small; empty where the score is the only one."""
        return ()

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        """Numbers known before any training: logs of counted costs, zero-cost proxies."""
        return ()


@dataclass(frozen=True)
class Past:
    """What is known when a proposal is asked for: results of one fidelity by their numbers, and what is under way."""

    results: Sequence[tuple[Decisions, float | None]] = ()  # score to maximise; None where training failed
    pending: Sequence[Decisions] = field(default=())

    @property
    def asked(self) -> int:
        return len(self.results) + len(self.pending)

    @property
    def scored(self) -> list[tuple[Decisions, float]]:
        return [result for result in self.results if result[1] is not None]  # type: ignore[misc]

    def youngest(self, count: int) -> list[tuple[Decisions, float]]:
        """The last so many that are scored, in their order."""
        last_first = ((decisions, score) for decisions, score in reversed(self.results) if score is not None)
        return list(islice(last_first, count))[::-1]


def values(problem: Problem, decisions: Decisions, score: float) -> tuple[float, ...]:
    """All objectives, each to be maximised."""
    return (score, *(-cost for cost in problem.costs(decisions)))


def best_first(
    problem: Problem, results: Sequence[tuple[Decisions, float]], most: int | None = None
) -> list[Decisions]:
    """The decisions of results, `most` of them, the best first: by score, or by front and room on it with several
    objectives."""
    if problem.objectives:
        keys: Sequence[Any] = sort_keys([values(problem, decisions, score) for decisions, score in results])
    else:
        keys = [score for _, score in results]
    return [results[i][0] for i in heapq.nlargest(most or len(results), range(len(results)), key=keys.__getitem__)]
