"""A standalone search, scored by a person's own function or by a table: what `ss.search` calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any

from scalesearch.arch import Arch
from scalesearch.budget import budget_from_dict, reference_quantities
from scalesearch.errors import InputError, WorkFailed, check_kind, errors_at, format_count
from scalesearch.plain_data import PlainMapping
from scalesearch.scaling import ScalingSpace
from scalesearch.searchers.evaluators import Function, table_evaluator
from scalesearch.searchers.halving import Scheduler, scheduler_of
from scalesearch.searchers.problem import Decisions, Problem
from scalesearch.searchers.registry import DEFAULT, check_searcher
from scalesearch.searchers.scale_problem import DEFAULT_PRESETS, ScaleProblem
from scalesearch.searchers.searching import Search
from scalesearch.searchers.space_problem import SpaceProblem
from scalesearch.searchers.table_problem import SpaceTableProblem
from scalesearch.signature import Count, Rule, check_arguments, fields_of
from scalesearch.space import Space
from scalesearch.statistics import front, ranks, volumes
from scalesearch.trials import Job, Place, Score, Trial, TrialLog, open_log, outcome_of, trial_of
from scalesearch.zoo import Networks


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


def search(
    space: Space | ScalingSpace | Problem,
    objective: Callable[..., Any] | None = None,
    *,
    trials: int,
    with_: str = DEFAULT,
    budget: PlainMapping | None = None,
    objectives: Sequence[str] = (),
    seed: int = 0,
    scheduler: Scheduler | PlainMapping | str | None = None,
    epochs: int = 1,
    log: str | Path | None = None,
    observer: Callable[[Result], None] = lambda result: None,
) -> SearchResult:
    """Searches `trials` networks for the best score of `objective(arch)`; `api.search` documents the arguments."""
    check_searcher(with_, 1 + len(objectives))
    own = {"trials": trials, "epochs": epochs, "seed": seed}
    check_arguments("a search", fields_of(_integer_arguments), own)
    check_kind(objectives, (list, tuple), "a list of counted quantities", "objectives")
    if objective is not None and not callable(objective):
        raise InputError(f"takes a function of a network, got {type(objective).__name__}", "objective")
    if log is not None:
        check_kind(log, (str, Path), "a file", "log")
    problem = _problem(space, budget or {}, tuple(objectives))
    schedule = scheduler_of(scheduler)
    rungs, with_epochs = schedule.rungs(epochs), schedule.with_ != "none"
    if with_epochs and len(rungs) < 2:
        raise InputError(
            f"has one rung alone with epochs={epochs}; takes more than min_epochs, {schedule.min_epochs}", "scheduler"
        )
    evaluator = _evaluator(problem, objective, with_epochs)
    subject = {
        "with": with_,
        "seed": seed,
        "objectives": list(objectives),
        "problem": problem.digest,
        "budget": {k: str(v) for k, v in (budget or {}).items()},
        "rungs": list(rungs),
    }
    first = list(problem.preset_networks.values()) if isinstance(problem, ScaleProblem) else []
    proposer = Search(
        problem,
        evaluator.score,
        trials,
        with_,
        seed=seed,
        seed_key=str(seed),
        rungs=rungs,
        scheduler=schedule,
        first=first,
    )
    with open_log(Path(log), subject) if log is not None else nullcontext(TrialLog()) as trial_log:
        for job in proposer.jobs(trial_log):
            assert isinstance(job, Job), "one at a time, nothing is waited for"
            trial = trial_of(job, outcome_of(evaluator, job, Place()), evaluator)
            trial_log.append(trial)
            observer(search_result_of([trial], problem, evaluator.score).results[0])
    own_trials = [t for t in trial_log.of("search") if t.candidate < trials]
    if own_trials and not any(t.done for t in own_trials):
        raise WorkFailed(f"none of the {format_count(len(own_trials), 'trial')} was scored: {own_trials[0].reason}")
    return search_result_of(own_trials, problem, evaluator.score, proposer.exhausted)


def _integer_arguments(*, trials: Count, epochs: Count, seed: Annotated[int, Rule(low=0, high=2**63 - 1)]) -> None:
    """Declares the integer arguments of `search`, with their rules."""


def _problem(space: Space | ScalingSpace | Problem, budget: PlainMapping, objectives: tuple[str, ...]) -> Problem:
    if isinstance(space, Space):
        bounds = budget_from_dict(budget)
        with errors_at("objectives"):
            bounds.check_measurable(objectives)
        problem = SpaceProblem(space, bounds, objectives)
        problem.draw(Random(0))  # raises, naming the nearest network, if nothing is inside
        return problem
    if isinstance(space, ScalingSpace):
        bounds = budget_from_dict(budget, reference_quantities(Networks(), space.base))
        with errors_at("objectives"):
            bounds.check_measurable(objectives)
        scalings = ScaleProblem(space, DEFAULT_PRESETS, bounds, objectives)
        if not scalings.networks:
            in_tolerance = len(space.networks)
            raise InputError(f"none of the {in_tolerance:,} networks within the tolerance has {bounds}", "budget")
        return scalings
    if not isinstance(space, Problem):
        raise InputError("takes a Space, a ScalingSpace, or a scalesearch.searchers.Problem", "space")
    if budget:
        raise InputError("is for spaces; a table is made with its bounds", "budget")
    if space.objectives != objectives:
        own_objectives = ", ".join(space.objectives) or "none"
        raise InputError(
            f"are {', '.join(objectives) or 'none'}, and of what is searched {own_objectives}", "objectives"
        )
    return space


def _evaluator(problem: Any, objective: Callable[..., Any] | None, with_epochs: bool) -> Function:
    if objective is not None:
        return Function(objective, with_epochs=with_epochs, of_decisions=isinstance(problem, SpaceTableProblem))
    if not hasattr(problem, "measured_score"):
        raise InputError("needs a function that scores a network; only tables know their scores", "objective")
    if with_epochs:
        raise InputError("a table has one score for each network, whatever the epochs", "scheduler")
    return table_evaluator(problem)
