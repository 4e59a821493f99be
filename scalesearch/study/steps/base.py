"""The base network: a search of the space inside the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from scalesearch.budget import QUANTITIES
from scalesearch.errors import InputError, distinct, inside, numbered, unknown
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import DEFAULT, Problem, Scheduler, Search, SpaceProblem, check_searcher, scheduler_of
from scalesearch.signature import Count, Natural
from scalesearch.statistics import correlation, volumes
from scalesearch.study.driver import Driver
from scalesearch.study.page import FAMILY, Figure, Info, figure, fragment
from scalesearch.study.step import Step
from scalesearch.study.study import AUTO, Study
from scalesearch.trials import PROXIES, Job, Jobs, Trial, comparable_trials

NAME = "base"


@dataclass(frozen=True)
class Options:
    """The search for the base network: `with` which searcher, over how many networks, trained for how many epochs
    (`auto`: as few as rank networks like the whole training).

    `objective` is the task's score, alone or beside counted quantities to be small. `proxies` are computed of every
    network before it is trained; `screen` so many networks are drawn first and judged by proxies alone, and the best of
    them are trained first. With `inherit`, a network starts from the weights of the blocks that it shares with an
    earlier one.
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
        return scheduler_of(self.scheduler)

    def costs(self, score: str) -> tuple[str, ...]:
        """The objectives beside the score."""
        return tuple(name for name in self.objective or () if name != score)


def rungs(study: Study, epochs: int | None = None) -> tuple[int, ...]:
    """The epochs at which the search compares, of so many."""
    return study.options(Options).halving.rungs(epochs or study.recipe_of(NAME).epochs)


def _screened(run: Driver, problem: SpaceProblem) -> list[PlainDict]:
    """The screened networks with the best proxies, on average over their ranks; the searcher learns them all."""
    options = run.study.options(Options)
    names = [f"proxy.{name}" for name in options.proxies]
    trials = [t for t in run.log.of("screen") if t.done and all(name in t.scores for name in names)]
    if len(trials) < 4:
        return []
    table = np.array([[t.scores[name] for name in names] for t in trials])
    problem.learn_hints([t.decisions for t in trials], table)
    order = np.argsort(-table.argsort(0).argsort(0).mean(1), kind="stable")
    return [trials[i].decisions for i in order[: max(1, min(len(trials), options.trials) // 4)]]


def proxies(run: Driver) -> list[PlainDict]:
    """The rank correlation of every proxy, and of params and MACs, with the score of networks trained to the end."""
    trials = comparable_trials(run.log.of(NAME), run.study.evaluator.score)
    computed = [t for t in run.log.of(NAME) if t.done and any(key.startswith("proxy.") for key in t.scores)]
    first = {t.candidate: t.scores for t in computed}

    def by_proxy(key: str) -> Callable[[Trial], float | None]:
        return lambda t: first.get(t.candidate, {}).get(key)

    def by_count(key: str) -> Callable[[Trial], float | None]:
        return lambda t: t.cost[key]

    readings = {name: by_proxy(f"proxy.{name}") for name in run.study.options(Options).proxies}
    readings |= {key: by_count(key) for key in ("params", "macs")}
    found = []
    for name, reading in readings.items():
        pairs = [(x, run.score(t)) for t in trials if (x := reading(t)) is not None]
        found.append({"name": name, "ranks": correlation([x for x, _ in pairs], [y for _, y in pairs])})
    return found


def front_volumes(run: Driver) -> list[tuple[int, float]]:
    """For a search with counted objectives: after how many trials which hypervolume, as a share of the last, over the
    worst met."""
    trials = sorted(comparable_trials(run.log.of(NAME), run.study.evaluator.score), key=lambda t: t.number)
    if not run.study.objectives or not trials:
        return []
    points = [(run.score(t), *(-c for c in run.study.problem.costs(t.decisions))) for t in trials]
    reference = tuple(min(p[i] for p in points) - 1e-9 for i in range(len(points[0])))
    so_far = volumes(points, reference)
    return [(t.number, v / so_far[-1]) for t, v in zip(trials, so_far, strict=True)] if so_far[-1] > 0 else []


def early_end(run: Driver, step: str, planned: int) -> list[str]:
    """Returns a sentence for a search that ended before all of its planned trials."""
    done = len({t.candidate for t in run.log.of(step)})
    if not run.finished or done >= planned:
        return []
    return [
        f"The {step} search ended after {done} of {numbered(planned, 'trial')}: it found no further distinct "
        "network inside the budget."
    ]


def volumes_figure(info: Info) -> Figure:
    """Returns the hypervolume of the search's front over its trials."""
    numbers, shares = zip(*info.found["volumes"], strict=True)
    line = {"color": FAMILY, "shape": "hv", "width": 2}
    trace = {"type": "scatter", "x": numbers, "y": shares, "mode": "lines", "line": line}
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
        with inside("search"):
            known = (score, *QUANTITIES)
            for i, name in enumerate(options.objective or ()):
                if name not in known:
                    raise InputError(unknown("objective", name, known), f"objective[{i}]")
            if options.objective is not None and score not in options.objective:
                raise InputError(f"must hold {score}, alone or beside quantities to be small", "objective")
            distinct(options.objective or (), "objective")
            with inside("with"):
                check_searcher(options.with_, 1 + len(study.objectives))
            for i, name in enumerate(options.proxies):
                if name not in PROXIES:
                    raise InputError(unknown("proxy", name, PROXIES), f"proxies[{i}]")
            if options.screen and not options.proxies:
                raise InputError("needs proxies to judge by", "screen")
            scheduler_of(options.scheduler)
            if study.hours and options.epochs == AUTO:
                raise InputError("takes no auto beside budget.hours, which plans them", "epochs")
            with inside("objective"):
                study.budget.check_measurable(study.objectives)

    def jobs(self, run: Driver) -> Jobs:
        study, options, recipe = run.study, run.study.options(Options), run.recipe_of(NAME)
        levels = rungs(study, recipe.epochs)
        problem = study.problem
        assert isinstance(problem, SpaceProblem)
        search = Search(
            problem,
            study.evaluator.score,
            options.trials,
            options.with_,
            NAME,
            study.seeds[0],
            f"{study.seeds[0]}-{NAME}",
            study.parallel,
            levels,
            options.halving,
            _screened(run, problem),
            options.inherit,
        )
        for job in search.jobs(run.log):
            if isinstance(job, Job):
                job = replace(
                    job,
                    recipe=recipe,
                    proxies=options.proxies,
                    checkpoint=f"checkpoints/{NAME}-{job.candidate:03d}.pt" if len(levels) > 1 else "",
                    weights=f"weights/{job.name}.safetensors" if options.inherit and job.until == levels[-1] else "",
                )
            yield job

    def macs(self, study: Study, base: float) -> list[float]:
        options = study.options(Options)
        promoted = sum(options.trials // options.halving.eta**k for k in range(1, len(rungs(study))))
        return [base] * (options.trials + promoted)

    def what(self, study: Study) -> str:
        assert study.space is not None
        options, levels = study.options(Options), rungs(study)
        over = f", {options.halving.with_} over {', '.join(map(str, levels))} epochs" if len(levels) > 1 else ""
        return f"{options.with_} in {study.space.name}{over}"

    def networks(self, study: Study) -> int:
        return study.options(Options).trials

    def epochs(self, study: Study) -> int | str | None:
        return study.options(Options).epochs

    def settle(self, run: Driver) -> None:
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
        return {"volumes": volumes_figure(info)} if info.found.get("volumes") else {}
