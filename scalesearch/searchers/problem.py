"""Problems: what a searcher may try, and the past that it learns from."""

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
    """Says what may be tried: networks of a space inside a budget, scalings of a network, or rows of a table.

    Attributes:
        decisions: By name, anything with a `domain` and a method `exists(decisions)`.
        objectives: The names of the quantities to be small beside the score.
        memory: A cache for searchers; what is in it can be computed again.
    """

    decisions: PlainMapping
    objectives: tuple[str, ...] = ()
    memory: PlainDict

    @property
    def digest(self) -> str:
        """Returns 16 hex digits of all that a search depends on; by default, of the decisions."""
        domains = repr([(name, decision.domain) for name, decision in self.decisions.items()])
        return hashlib.sha256(domains.encode()).hexdigest()[:16]

    def check(self, decisions: Decisions) -> None:
        """Raises `InputError` for decisions, for example of a log, that don't belong to this problem."""
        check_decisions(self.decisions, decisions)

    @property
    def sparse(self) -> bool:
        """Returns whether changing one decision hardly ever leads to another network that may be tried."""
        return False

    @property
    def all_decisions(self) -> Iterable[Decisions] | None:
        """Returns the decisions of all networks inside the budget; None if they are too many to list."""
        return None

    def draw(self, rng: Random) -> Decisions:
        """Returns the decisions of a random network inside the budget; all networks are equally likely."""
        raise NotImplementedError

    def mutate(self, decisions: Decisions, rng: Random) -> Decisions:
        """Returns the decisions with another value for one of them, inside the budget or not."""
        raise NotImplementedError

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        """Yields all decisions that differ in one of them, inside the budget or not."""
        raise NotImplementedError

    def snap(self, decisions: Decisions) -> Decisions:
        """Returns the nearest decisions that can be tried, for values that arithmetic left slightly off."""
        return dict(decisions)

    def identity(self, decisions: Decisions) -> str | None:
        """Returns a name of the network, the same for all decisions that lead to it; None outside the budget."""
        raise NotImplementedError

    def admits(self, decisions: Decisions) -> bool:
        """Returns whether the network is inside the budget."""
        return self.identity(decisions) is not None

    def has_unseen(self, seen: Collection[str]) -> bool:
        """Returns whether there may be a network that is not among those `seen`, which are identities."""
        return self.all_decisions is None or any(self.identity(d) not in seen for d in self.all_decisions)

    def arch(self, decisions: Decisions) -> Arch | None:
        """Returns the network itself; None if it is only a row of a table."""
        return None

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        """Returns the counted objectives beside the score, each to be small; empty if there are none."""
        return ()

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        """Returns numbers known before any training, such as logs of counted costs; as many for every network."""
        return ()

    def sizes(self, decisions: Decisions) -> tuple[float, ...]:
        """Returns counts of which more mostly means a better score: params, MACs, activations; empty if unknown."""
        return ()


@dataclass(frozen=True)
class Past:
    """What is known when a proposal is asked for.

    Attributes:
        results: Decisions and their scores, to be maximised, in the order of their numbers and all of one
            fidelity; a score is None where training failed.
        pending: Decisions that are under way.
    """

    results: Sequence[tuple[Decisions, float | None]] = ()  # score to maximise; None where training failed
    pending: Sequence[Decisions] = field(default=())

    @property
    def trial_count(self) -> int:
        """Returns the number of results and of networks under way."""
        return len(self.results) + len(self.pending)

    @property
    def scored(self) -> list[tuple[Decisions, float]]:
        """Returns the results that have a score."""
        return [result for result in self.results if result[1] is not None]  # type: ignore[misc]

    def last_scored(self, count: int) -> list[tuple[Decisions, float]]:
        """Returns the last `count` results that have a score, in their order."""
        last_first = ((decisions, score) for decisions, score in reversed(self.results) if score is not None)
        return list(islice(last_first, count))[::-1]


def objective_values(problem: Problem, decisions: Decisions, score: float) -> tuple[float, ...]:
    """Returns all objectives, each to be maximised: the score, then the negated costs."""
    return (score, *(-cost for cost in problem.costs(decisions)))


def best_first(
    problem: Problem, results: Sequence[tuple[Decisions, float]], limit: int | None = None
) -> list[Decisions]:
    """Returns the decisions of the results, the best first, at most `limit` of them.

    With one objective they are sorted by score; with several by nondominated front, and within a front by
    crowding distance.
    """
    if problem.objectives:
        keys: Sequence[Any] = sort_keys([objective_values(problem, decisions, score) for decisions, score in results])
    else:
        keys = [score for _, score in results]
    return [results[i][0] for i in heapq.nlargest(limit or len(results), range(len(results)), key=keys.__getitem__)]
