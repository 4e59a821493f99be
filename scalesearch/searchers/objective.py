"""`ss.search`: a search by itself, of whatever can be tried, scored by a person's own function or by a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from scalesearch.budget import budget_from_dict, reference_quantities
from scalesearch.errors import InputError, WorkFailed, inside
from scalesearch.plain_data import PlainMapping
from scalesearch.scaling import ScalingSpace
from scalesearch.searchers.evaluators import Function, column
from scalesearch.searchers.halving import Scheduler, scheduler_of
from scalesearch.searchers.problem import Decisions, Problem
from scalesearch.searchers.scale_problem import TRIED_ALWAYS, ScaleProblem
from scalesearch.searchers.searching import Search
from scalesearch.searchers.space_problem import SpaceProblem
from scalesearch.searchers.table import DEFAULT, check_searcher
from scalesearch.searchers.table_problem import SpaceTableProblem
from scalesearch.signature import Count, check_arguments, fields_of
from scalesearch.space import Space
from scalesearch.statistics import front, ranks, volumes
from scalesearch.trials import Job, Place, Score, Trial, TrialLog, opened_log, outcome_of, trial_of
from scalesearch.zoo import Networks


@dataclass(frozen=True)
class Result:
    """One network asked about. `costs` are the counted objectives beside the score, to be small; `early` says that it
    was stopped before the end, so that its score is not held against the others."""

    number: int
    decisions: Decisions
    identity: str
    score: float | None
    costs: tuple[float, ...] = ()
    reason: str = ""
    rejected: int = 0
    early: bool = False
    epochs: int | None = None


@dataclass(frozen=True)
class Found:
    """What a search found. `objectives` names the costs; `exhausted` says that no further one is inside."""

    results: list[Result]
    objectives: tuple[str, ...] = ()
    exhausted: bool = False
    problem: Problem | None = field(default=None, repr=False)

    @property
    def scored(self) -> list[Result]:
        """Those that were tried to the end."""
        return [r for r in self.results if r.score is not None and not r.early]

    @property
    def best(self) -> Result:
        """The result with the best score. Raises `WorkFailed` where there is none."""
        if not self.scored:
            reason = next((r.reason for r in self.results if r.reason), "no network was found")
            raise WorkFailed(f"all {len(self.results)} trials failed: {reason}")
        return max(self.scored, key=_score)

    @property
    def front(self) -> list[Result]:
        """The results that none beats in every objective, by the first cost; without objectives the best alone."""
        if not self.objectives:
            return [self.best]
        if len(self.objectives) == 1:
            return front(self.scored, lambda r: r.costs[0], _score)
        rank = ranks(list(map(_point, self.scored)))
        return sorted((r for r, first in zip(self.scored, rank, strict=True) if not first), key=lambda r: r.costs)

    def volumes(self) -> list[float]:
        """The hypervolume after every result, over the worst score and highest costs met; with objectives."""
        if not self.objectives or not self.scored:
            return []
        worst = tuple(map(min, zip(*map(_point, self.scored), strict=True)))
        return volumes([None if r.score is None or r.early else _point(r) for r in self.results], worst)


def _score(result: Result) -> float:
    assert result.score is not None
    return result.score


def _point(result: Result) -> tuple[float, ...]:
    return (_score(result), *(-c for c in result.costs))


def found_in(trials: Iterable[Trial], problem: Problem, score: Score, exhausted: bool = False) -> Found:
    """The trials of a search of `problem` as what it found."""
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
        )
        for t in trials
    ]
    return Found(results, problem.objectives, exhausted, problem)


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
) -> Found:
    """Ask `objective(arch)` (a score to be large) about `trials` networks inside `budget`, chosen by the searcher
    `with_`.

    `space` may be a space, the ways to scale a network (`ScalingSpace`), or a table. `objectives` are counted
    quantities (`macs`, `params`, …) to be small at the same time. With a `scheduler` (`{"with": "asha"}`) the objective
    is asked with the epochs too, `objective(arch, epochs)`, few at first, and about the best of them again with more,
    up to `epochs`. An objective that raises, or whose score is no finite number, is a failed trial, and the search goes
    on; it ends with `WorkFailed` where the first ten all fail. With `log`, every result is a synced line of that file,
    and a search that is called again goes on after them. Raises `InputError` for an unknown searcher, scheduler or
    quantity, a budget that nothing meets, a missing objective, and a log of another search.
    """
    check_searcher(with_, 1 + len(objectives))
    check_arguments("a search", fields_of(_numbers), {"trials": trials, "epochs": epochs})
    problem = _problem(space, budget or {}, tuple(objectives))
    halving = scheduler_of(scheduler)
    rungs, with_epochs = halving.rungs(epochs), halving.with_ != "none"
    if with_epochs and len(rungs) < 2:
        raise InputError(
            f"has one rung alone with epochs={epochs}; takes more than min_epochs, {halving.min_epochs}", "scheduler"
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
    first = list(problem.always.values()) if isinstance(problem, ScaleProblem) else []
    one = Search(
        problem,
        evaluator.score,
        trials,
        with_,
        seed=seed,
        seed_key=str(seed),
        rungs=rungs,
        scheduler=halving,
        first=first,
    )
    with opened_log(Path(log), subject) if log is not None else nullcontext(TrialLog()) as trial_log:
        for job in one.jobs(trial_log):
            assert isinstance(job, Job), "one at a time, nothing is waited for"
            trial = trial_of(job, outcome_of(evaluator, job, Place()), evaluator)
            trial_log.append(trial)
            observer(found_in([trial], problem, evaluator.score).results[0])
    tried = [t for t in trial_log.of("search") if t.candidate < trials]
    return found_in(tried, problem, evaluator.score, one.exhausted)


def _numbers(*, trials: Count, epochs: Count) -> None:
    """The whole numbers of a search."""


def _problem(space: Space | ScalingSpace | Problem, budget: PlainMapping, objectives: tuple[str, ...]) -> Problem:
    if isinstance(space, Space):
        bounds = budget_from_dict(budget)
        with inside("objectives"):
            bounds.check_measurable(objectives)
        problem = SpaceProblem(space, bounds, objectives)
        problem.draw(Random(0))  # says what is nearest where nothing is inside
        return problem
    if isinstance(space, ScalingSpace):
        bounds = budget_from_dict(budget, reference_quantities(Networks(), space.base))
        with inside("objectives"):
            bounds.check_measurable(objectives)
        scaled = ScaleProblem(space, TRIED_ALWAYS, bounds, objectives)
        if not scaled.networks:
            there = len(space.networks)
            raise InputError(f"none of the {there:,} networks within the tolerance has {bounds}", "budget")
        return scaled
    if not isinstance(space, Problem):
        raise InputError("takes a Space, a ScalingSpace, or a scalesearch.searchers.Problem", "space")
    if budget:
        raise InputError("is for spaces; a table is made with its bounds", "budget")
    if space.objectives != objectives:
        of = ", ".join(space.objectives) or "none"
        raise InputError(f"are {', '.join(objectives) or 'none'}, and of what is searched {of}", "objectives")
    return space


def _evaluator(problem: Any, objective: Callable[..., Any] | None, with_epochs: bool) -> Function:
    if objective is not None:
        return Function(objective, with_epochs=with_epochs, of_decisions=isinstance(problem, SpaceTableProblem))
    if not hasattr(problem, "measured"):
        raise InputError("needs a function that scores a network; only tables know their scores", "objective")
    if with_epochs:
        raise InputError("a table has one score for each network, whatever the epochs", "scheduler")
    return column(problem)
