"""The base network: a search of the space inside the budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from scalesearch.budget import QUANTITIES
from scalesearch.errors import InputError, check_distinct, errors_at, format_count, unknown_message
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import DEFAULT, Problem, Scheduler, Search, SpaceProblem, check_searcher, scheduler_of
from scalesearch.signature import Count, Natural
from scalesearch.statistics import correlation, volumes
from scalesearch.study.driver import Driver
from scalesearch.study.page import FAMILY, Figure, Info, figure, fragment, scatter
from scalesearch.study.step import Step
from scalesearch.study.study import AUTO, Study
from scalesearch.trials import PROXIES, Job, Jobs, comparable_trials

NAME = "base"


@dataclass(frozen=True)
class Options:
    """Options of the search for the base network.

    Attributes:
        with_: The searcher.
        trials: How many networks are tried.
        epochs: Epochs of each training; `auto` for as few as rank networks like the full training.
        objective: The task's score, alone or beside counted quantities to be minimised.
        scheduler: The options of successive halving.
        proxies: The zero-cost proxies that are computed of every network before it is trained.
        screen: How many networks are first drawn and judged by proxies alone; the best of them are trained first.
        inherit: Whether a network starts from the weights of the blocks that it shares with an earlier one.
    """

    with_: str = DEFAULT
    trials: Count = 24
    epochs: Count | Literal["auto"] | None = None
    objective: tuple[str, ...] | None = None
    scheduler: PlainDict | None = None
    proxies: tuple[str, ...] = PROXIES
    screen: Natural = 0
    inherit: bool = False

    @property
    def halving(self) -> Scheduler:
        """The scheduler that ends trials early."""
        return scheduler_of(self.scheduler)

    def costs(self, score: str) -> tuple[str, ...]:
        """Returns the objectives beside the score."""
        return tuple(name for name in self.objective or () if name != score)


def rungs(study: Study, epochs: int | None = None) -> tuple[int, ...]:
    """Returns the epochs at which the search compares networks, the last being the full training.

    Args:
        study: The study.
        epochs: The epochs of the full training; those of the search's recipe by default.
    """
    return study.options(Options).halving.rungs(epochs or study.recipe_of(NAME).epochs)


def _best_screened(run: Driver, problem: SpaceProblem) -> list[PlainDict]:
    """Returns the screened networks with the best mean rank over the proxies, and gives all of them to the searcher."""
    options = run.study.options(Options)
    names = [f"proxy.{name}" for name in options.proxies]
    trials = [t for t in run.log.of("screen") if t.done and all(name in t.scores for name in names)]
    if len(trials) < 4:
        return []
    values = np.array([[t.scores[name] for name in names] for t in trials])
    problem.learn_hints([t.decisions for t in trials], values)
    order = np.argsort(-values.argsort(0).argsort(0).mean(1), kind="stable")
    return [trials[i].decisions for i in order[: max(1, min(len(trials), options.trials) // 4)]]


def search_jobs(run: Driver, step: str, seed: int, label: str = NAME) -> Jobs:
    """Yields the jobs of a whole search of the space.

    Args:
        run: The driver.
        step: The name of the step in the log.
        seed: The seed of proposals and trainings.
        label: What the names of its trials begin with.
    """
    study, options, recipe = run.study, run.study.options(Options), run.recipe_of(NAME)
    levels, problem = rungs(study, recipe.epochs), study.problem
    assert isinstance(problem, SpaceProblem)
    search = Search(
        problem,
        study.evaluator.score,
        options.trials,
        options.with_,
        step,
        seed,
        f"{seed}-{NAME}",
        study.parallel,
        levels,
        options.halving,
        _best_screened(run, problem),
        options.inherit,
        label,
    )
    for job in search.jobs(run.log):
        if isinstance(job, Job):
            job = replace(
                job,
                recipe=recipe,
                proxies=options.proxies,
                checkpoint=f"checkpoints/{label}-{job.candidate:03d}.pt" if len(levels) > 1 else "",
                weights=f"weights/{job.name}.safetensors" if options.inherit and job.until == levels[-1] else "",
            )
        yield job


def proxies(run: Driver) -> list[PlainDict]:
    """Returns the rank correlation of every proxy, params and MACs with the scores of fully trained networks."""
    trials = comparable_trials(run.log.of(NAME), run.study.evaluator.score)
    with_proxies = [t for t in run.log.of(NAME) if t.done and any(key.startswith("proxy.") for key in t.scores)]
    proxies_of = {t.candidate: t.scores for t in with_proxies}

    def row(name: str, values: list[float | None]) -> PlainDict:
        pairs = [(x, run.score(t)) for x, t in zip(values, trials, strict=True) if x is not None]
        return {"name": name, "ranks": correlation([x for x, _ in pairs], [y for _, y in pairs])}

    return [
        *(
            row(name, [proxies_of.get(t.candidate, {}).get(f"proxy.{name}") for t in trials])
            for name in run.study.options(Options).proxies
        ),
        *(row(key, [t.cost[key] for t in trials]) for key in ("params", "macs")),
    ]


def front_volumes(run: Driver) -> list[tuple[int, float]]:
    """Returns the hypervolume of the front over the trials of a search with counted objectives.

    Returns:
        Pairs of a trial's number and the hypervolume up to it, over the worst point met, as a share of the last one.
    """
    trials = sorted(comparable_trials(run.log.of(NAME), run.study.evaluator.score), key=lambda t: t.number)
    if not run.study.objectives or not trials:
        return []
    points = [(run.score(t), *(-c for c in run.study.problem.costs(t.decisions))) for t in trials]
    reference = tuple(min(p[i] for p in points) - 1e-9 for i in range(len(points[0])))
    so_far = volumes(points, reference)
    return [(t.number, v / so_far[-1]) for t, v in zip(trials, so_far, strict=True)] if so_far[-1] > 0 else []


def early_end(run: Driver, step: str, planned: int) -> list[str]:
    """Returns a sentence if a search ended before all of its planned trials, else nothing.

    Args:
        run: The driver.
        step: The name of the step that searches.
        planned: The planned number of trials.
    """
    done = len({t.candidate for t in run.log.of(step)})
    if not run.finished or done >= planned:
        return []
    return [
        f"The {step} search ended after {done} of {format_count(planned, 'trial')}: it found no further distinct "
        "network inside the budget."
    ]


def volumes_figure(info: Info) -> Figure:
    """Returns the hypervolume of the search's front over its trials."""
    numbers, shares = zip(*info.conclusions["volumes"], strict=True)
    trace = scatter(numbers, shares, "lines", line={"color": FAMILY, "shape": "hv", "width": 2})
    yaxis = {"title": "share of the last hypervolume", "tickformat": ".0%"}
    return figure([trace], 360, xaxis={"title": "trial"}, yaxis=yaxis)


class BaseSearch(Step):
    """Searches the base network in the space, inside the budget."""

    name = NAME
    title = "searching the base"
    key = "search"
    options = Options
    needs = ("screen", "fidelity", "pace")
    may_end_early = True
    search_title = "base search"
    epochs_key = "search epochs"
    decides_base = True
    planned_from = ("pace",)
    open_searches = (NAME, "scale")
    fragments = (fragment(120, __file__), fragment(140, __file__, "proxies"))

    def check(self, study: Study) -> None:
        """Raises `InputError` for a searcher, scheduler, objective or proxy that there is not."""
        options, score = study.options(Options), study.trained.task.score
        with errors_at("search"):
            allowed = (score, *QUANTITIES)
            for i, name in enumerate(options.objective or ()):
                if name not in allowed:
                    raise InputError(unknown_message("objective", name, allowed), f"objective[{i}]")
            if options.objective is not None and score not in options.objective:
                raise InputError(f"must hold {score}, alone or beside quantities to be small", "objective")
            check_distinct(options.objective or (), "objective")
            with errors_at("with"):
                check_searcher(options.with_, 1 + len(study.objectives))
            for i, name in enumerate(options.proxies):
                if name not in PROXIES:
                    raise InputError(unknown_message("proxy", name, PROXIES), f"proxies[{i}]")
            if options.screen and not options.proxies:
                raise InputError("needs proxies to judge by", "screen")
            scheduler_of(options.scheduler)
            if study.hours and options.epochs == AUTO:
                raise InputError("takes no auto beside budget.hours, which plans them", "epochs")
            with errors_at("objective"):
                study.budget.check_measurable(study.objectives)

    def jobs(self, run: Driver) -> Jobs:
        yield from search_jobs(run, NAME, run.study.seeds[0])

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(Options)
        promoted = sum(options.trials // options.halving.eta**k for k in range(1, len(rungs(study))))
        return [base_macs] * (options.trials + promoted)

    def description(self, study: Study) -> str:
        assert study.space is not None
        options, levels = study.options(Options), rungs(study)
        schedule = f", {options.halving.with_} over {', '.join(map(str, levels))} epochs" if len(levels) > 1 else ""
        return f"{options.with_} in {study.space.name}{schedule}"

    def networks(self, study: Study) -> int:
        return study.options(Options).trials

    def epochs(self, study: Study) -> int | str | None:
        return study.options(Options).epochs

    def require_result(self, run: Driver) -> None:
        run.best(NAME)

    def problem(self, run: Driver) -> Problem | None:
        return run.study.problem

    def searcher(self, study: Study) -> str:
        return study.options(Options).with_

    def conclusions(self, run: Driver) -> PlainDict:
        return {"proxies": proxies(run), "volumes": front_volumes(run)}

    def notes(self, run: Driver) -> list[str]:
        return early_end(run, NAME, run.study.options(Options).trials)

    def figures(self, info: Info) -> dict[str, Figure]:
        return {"volumes": volumes_figure(info)} if info.conclusions.get("volumes") else {}
