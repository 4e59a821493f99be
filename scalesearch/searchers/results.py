"""The results of a search, as objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scalesearch.arch import Arch
from scalesearch.errors import WorkFailed
from scalesearch.searchers.problem import Decisions, Problem
from scalesearch.statistics import front, ranks, volumes
from scalesearch.trials import Score, Trial


@dataclass(frozen=True)
class Result:
    """The result of one trial of a search.

    Attributes:
        number: The trial's number, from 0.
        decisions: The decisions that lead to the network.
        identity: The network's name (`Problem.identity`).
        score: The score, its sign turned so that large is good; None if the trial failed.
        costs: The counted objectives beside the score, each to be small.
        reason: Why the trial failed; empty if it did not.
        rejected: How many proposals before it were outside the budget or known already.
        early: Whether it was stopped before the last epoch, so that its score is not compared with the others.
        epochs: The epochs that it was trained for; None if the objective takes none.
        problem: What was searched.
    """

    number: int
    decisions: Decisions
    identity: str
    score: float | None
    costs: tuple[float, ...] = ()
    reason: str = ""
    rejected: int = 0
    early: bool = False
    epochs: int | None = None
    problem: Problem | None = field(default=None, repr=False, compare=False)

    @property
    def arch(self) -> Arch | None:
        """Returns the network; None in a search of a table without a space."""
        return None if self.problem is None else self.problem.arch(self.decisions)


@dataclass(frozen=True)
class SearchResult:
    """The results of a search.

    Attributes:
        results: One result per trial, in their order.
        objectives: The names of the costs.
        exhausted: Whether no further network inside the budget was left.
        problem: What was searched.
    """

    results: list[Result]
    objectives: tuple[str, ...] = ()
    exhausted: bool = False
    problem: Problem | None = field(default=None, repr=False)

    @property
    def scored(self) -> list[Result]:
        """Returns the results that have a score and were not stopped early."""
        return [r for r in self.results if r.score is not None and not r.early]

    @property
    def best(self) -> Result:
        """Returns the result with the best score. Raises `WorkFailed` if there is none."""
        if not self.scored:
            reason = next((r.reason for r in self.results if r.reason), "no network was found")
            raise WorkFailed(f"all {len(self.results)} trials failed: {reason}")
        return max(self.scored, key=_score)

    @property
    def front(self) -> list[Result]:
        """Returns the nondominated results, ordered by the first cost; without costs the best result alone.

        Raises:
            WorkFailed: If there are no costs and no result has a score.
        """
        if not self.objectives:
            return [self.best]
        if len(self.objectives) == 1:
            return front(self.scored, lambda r: r.costs[0], _score)
        rank = ranks(list(map(_point, self.scored)))
        return sorted((r for r, first in zip(self.scored, rank, strict=True) if not first), key=lambda r: r.costs)

    def volumes(self) -> list[float]:
        """Returns the hypervolume after every result; an empty list if there are no costs or no scores.

        Its reference point is the worst score and the highest costs of all scored results.
        """
        if not self.objectives or not self.scored:
            return []
        worst = tuple(map(min, zip(*map(_point, self.scored), strict=True)))
        return volumes([None if r.score is None or r.early else _point(r) for r in self.results], worst)


def _score(result: Result) -> float:
    assert result.score is not None
    return result.score


def _point(result: Result) -> tuple[float, ...]:
    return (_score(result), *(-c for c in result.costs))


def search_result_of(trials: Iterable[Trial], problem: Problem, score: Score, exhausted: bool = False) -> SearchResult:
    """Returns the trials of a search of `problem` as its results."""
    results = [
        Result(
            t.number,
            t.decisions,
            t.network,
            score.of(t.scores),
            problem.costs(t.decisions),
            t.reason,
            t.rejected,
            t.early,
            t.fidelity.get("epochs"),
            problem,
        )
        for t in trials
    ]
    return SearchResult(results, problem.objectives, exhausted, problem)
