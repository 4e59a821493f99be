"""`ss.search`: a standalone search, scored by a person's own function or by a table, and what its result shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

from scalesearch.budget import budget_from_dict, reference_quantities
from scalesearch.errors import InputError, WorkFailed, check_kind, errors_at, format_count
from scalesearch.notebook import frame, html_table
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.scaling import ScalingSpace
from scalesearch.searchers import (
    DEFAULT,
    DEFAULT_PRESETS,
    Function,
    Problem,
    Result,
    ScaleProblem,
    Scheduler,
    Search,
    SearchResult,
    SpaceProblem,
    SpaceTableProblem,
    check_searcher,
    scheduler_of,
    search_result_of,
    table_evaluator,
)
from scalesearch.signature import Count, Rule, check_arguments, fields_of
from scalesearch.space import Space
from scalesearch.trials import Job, Place, TrialLog, open_log, outcome_of, trial_of
from scalesearch.zoo import Networks

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

SHOWN = 10  # results that a notebook shows


@dataclass(frozen=True, repr=False)
class Found(SearchResult):
    """The results of `search`: `best`, `front` and `volumes()`, as a table and as a figure."""

    @property
    def rows(self) -> list[PlainDict]:
        """Returns every result as a row: its number, score, costs by name, and decisions."""
        return [
            {"number": r.number, "score": r.score, **dict(zip(self.objectives, r.costs))}
            | {f"decision.{key}": value for key, value in r.decisions.items()}
            for r in self.results
        ]

    def frame(self) -> pandas.DataFrame:
        """Returns every result as a row of a table."""
        return frame(self.rows)

    def figure(self) -> plotly.graph_objects.Figure:
        """Returns the scores over the trials with the best so far; with objectives, over the first with the front."""
        from scalesearch.report import plotly_figure, search_figure

        scores = [None if r.early else r.score for r in self.results]
        return plotly_figure(search_figure(scores, [r.costs for r in self.results], self.objectives))

    def __repr__(self) -> str:
        best = f"; best {self.best.score:.6g} by number {self.best.number}" if self.scored else "; none has a score"
        return f"<Found {format_count(len(self.results), 'result')}{best}>"

    def _repr_html_(self) -> str:
        best = sorted((row for row in self.rows if row["score"] is not None), key=lambda row: -row["score"])[:SHOWN]
        columns = ("number", "score", *self.objectives)
        return html_table(repr(self)[1:-1], [{key: row[key] for key in columns} for row in best])


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
    """Searches `trials` networks for the best score of `objective(arch)`, and returns the results.

    Args:
        space: A space, the scalings of a network (`ScalingSpace`), or a problem such as a table's.
        objective: The function that scores a network, large being good; None for a table, which has its scores.
        trials: The number of networks to try.
        with_: The searcher's name.
        budget: Bounds on counted quantities, such as `{"macs": "600M"}`; a table has its own.
        objectives: Counted quantities (`macs`, `params`, …) to be small at the same time.
        seed: The seed of all proposals.
        scheduler: A scheduler such as `{"with": "asha"}`. With one, the objective also gets the number of epochs,
            `objective(arch, epochs)`: few at first, and more in later calls for the best networks.
        epochs: The epochs of the last rung, for a scheduler.
        log: A file that gets every result as a line, synced to disk. A search that is called again with it goes
            on after its last line.
        observer: Called with every new result.

    Returns:
        The results. A trial fails if the objective raises or its score is not a finite number; the search goes
            on.

    Raises:
        InputError: For an unknown searcher, scheduler or quantity, a budget that nothing meets, a missing
            objective, or a log of another search.
        WorkFailed: If the first ten trials all fail, or all of fewer.
    """
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
    found = search_result_of(own_trials, problem, evaluator.score, proposer.exhausted)
    return Found(found.results, found.objectives, found.exhausted, found.problem)


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
