"""The finalists: the best of the base search, trained again with several seeds; the best mean becomes the base."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from statistics import mean

from scalesearch.arch import Arch
from scalesearch.errors import InputError, check_distinct
from scalesearch.plain_data import PlainDict
from scalesearch.signature import Natural
from scalesearch.statistics import interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import base
from scalesearch.study.steps.network_jobs import job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Trial, comparable_trials

NAME = "finalists"


@dataclass(frozen=True)
class Options:
    """Options of the finalists.

    Attributes:
        top: How many of the best networks of the base search are trained again under the final recipe.
        seeds: The seeds that each is trained with; the best mean becomes the base.
    """

    top: Natural = 2
    seeds: tuple[Natural, ...] = (0, 1)


@dataclass(frozen=True)
class Finalist:
    """Holds a finalist over its seeds.

    Attributes:
        candidate: Its number in the base search.
        seeds: The number of seeds.
        score: The mean validation score.
        interval: Half its 95 % interval.
        searched: Its score in the search, which trained shorter and once.
        chosen: Whether it became the base.
    """

    candidate: int
    seeds: int
    score: float
    interval: float | None
    searched: float
    chosen: bool


def _scores(run: Driver) -> dict[int, list[float]]:
    scores: dict[int, list[float]] = defaultdict(list)
    for trial in run.log.of(NAME):
        if trial.done:
            scores[trial.candidate].append(run.score(trial))
    return scores


def base_of(run: Driver) -> Trial:
    """Returns the trial of the base search whose network becomes the base: that of the finalist with the best mean.

    Without finalists it is the best trial of the search.

    Raises:
        WorkFailed: If no network was trained to the end.
    """
    return run.log.cached("base", lambda: _base_of(run))


def _base_of(run: Driver) -> Trial:
    scores = _scores(run)
    if not scores:
        return run.best(base.NAME)
    winner = max(scores, key=lambda candidate: mean(scores[candidate]))
    return max((t for t in run.final_trials(base.NAME) if t.candidate == winner), key=run.rank)


def finalists(run: Driver) -> list[Finalist]:
    """Returns the finalists, best mean first."""
    by_candidate = _scores(run)
    if not by_candidate:
        return []
    searched = {t.candidate: run.score(t) for t in comparable_trials(run.log.of(base.NAME), run.study.evaluator.score)}
    winner = base_of(run).candidate
    best_first = sorted(by_candidate.items(), key=lambda item: mean(item[1]), reverse=True)
    raw = run.study.evaluator.score.orient
    return [Finalist(c, len(s), raw(mean(s)), interval(s), raw(searched[c]), c == winner) for c, s in best_first]


class Finalists(Step):
    """Trains the best of the base search again with several seeds; the best mean becomes the base."""

    name = NAME
    title = "training finalists"
    key = "finalists"
    options = Options
    needs = (base.NAME, "control")
    may_end_early = True
    decides_base = True
    by_class = "finalists"
    fragments = (fragment(130, __file__),)

    def check(self, study: Study) -> None:
        options = study.options(Options)
        if options.top and not options.seeds:
            raise InputError("takes a list of at least one seed, got []", f"{NAME}.seeds")
        check_distinct(options.seeds, f"{NAME}.seeds")

    def jobs(self, run: Driver) -> Jobs:
        options = run.study.options(Options)
        best = sorted(run.final_trials(base.NAME), key=run.rank, reverse=True)[: options.top]
        for number, (trial, seed) in enumerate(itertools.product(best, options.seeds)):
            name, arch = f"finalist-{trial.candidate:03d}-s{seed}", run.log.arch(trial)
            yield job_of(
                run.study, NAME, number, name, arch, trial.decisions, seed, final=True, candidate=trial.candidate
            )

    def conclusions(self, run: Driver) -> PlainDict:
        if not run.has_best(base.NAME):
            return {"base": None, "finalists": []}
        chosen = base_of(run)
        base_summary = {key: getattr(chosen, key) for key in ("name", "cost", "scores", "fidelity", "decisions")}
        return {"base": base_summary, "finalists": finalists(run)}

    def description(self, study: Study) -> str:
        options = study.options(Options)
        return f"the best {options.top}, seeds {', '.join(map(str, options.seeds))}"

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(Options)
        return [base_macs] * (min(options.top, study.options(base.Options).trials) * len(options.seeds))

    def drawn_network(self, run: Driver) -> Arch | None:
        return run.log.arch(base_of(run)) if run.has_best(base.NAME) else None

    def class_results(self, run: Driver) -> list[str]:
        return list(dict.fromkeys(t.name.rpartition("-s")[0] for t in run.log.of(NAME)))
