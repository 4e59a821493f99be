"""The finalists: the best of the base search, trained again with several seeds; the best mean becomes the base."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from statistics import mean
from typing import Any

from scalesearch.errors import InputError, distinct
from scalesearch.searchers import Jobs, Trial, compared
from scalesearch.signature import Natural
from scalesearch.statistics import interval
from scalesearch.study.driver import Driver
from scalesearch.study.step import Step, fewer_may_do
from scalesearch.study.steps import base
from scalesearch.study.steps.fixed import job_of
from scalesearch.study.study import Study

NAME = "finalists"


@dataclass(frozen=True)
class Options:
    """The `top` networks of the base search, trained again under the final recipe with each of `seeds`; the best mean
    becomes the base."""

    top: Natural = 2
    seeds: tuple[Natural, ...] = (0, 1)


@dataclass(frozen=True)
class Finalist:
    """A finalist over its seeds: mean validation score and half its 95 % interval."""

    candidate: int
    seeds: int
    score: float
    interval: float | None
    searched: float  # what the search had scored it at, shorter and once
    chosen: bool


def check(study: Study) -> None:
    options = study.options(Options)
    if options.top and not options.seeds:
        raise InputError("takes a list of at least one seed, got []", f"{NAME}.seeds")
    distinct(options.seeds, f"{NAME}.seeds")


def jobs(run: Driver) -> Jobs:
    options, study = run.study.options(Options), run.study
    best = sorted(run.final(base.NAME), key=run.rank, reverse=True)[: options.top]
    for number, (trial, seed) in enumerate(itertools.product(best, options.seeds)):
        name = f"finalist-{trial.candidate:03d}-s{seed}"
        job = job_of(
            study, NAME, number, name, run.log.arch(trial), trial.decisions, seed, final=True, candidate=trial.candidate
        )
        yield from run.once(job)


def _scores(run: Driver) -> dict[int, list[float]]:
    scores: dict[int, list[float]] = defaultdict(list)
    for trial in run.log.of(NAME):
        if trial.done:
            scores[trial.candidate].append(run.score(trial))
    return scores


def base_of(run: Driver) -> Trial:
    """The trial of the base search whose network the study goes on with: of the finalists the one with the best mean.

    Raises `WorkFailed` where no network came to the end of its training.
    """
    return run.log.standing("base", lambda: _base_of(run))


def _base_of(run: Driver) -> Trial:
    scores = _scores(run)
    if not scores:
        return run.best(base.NAME)
    winner = max(scores, key=lambda candidate: mean(scores[candidate]))
    return max((t for t in run.final(base.NAME) if t.candidate == winner), key=run.rank)


def finalists(run: Driver) -> list[Finalist]:
    """Best mean first."""
    by_candidate = _scores(run)
    if not by_candidate:
        return []
    searched = {t.candidate: run.score(t) for t in compared(run.log.of(base.NAME), run.study.evaluator.score)}
    winner = base_of(run).candidate
    best_first = sorted(by_candidate.items(), key=lambda item: mean(item[1]), reverse=True)
    raw = run.study.evaluator.score.turned
    return [Finalist(c, len(s), raw(mean(s)), interval(s), raw(searched[c]), c == winner) for c, s in best_first]


def concludes(run: Driver) -> dict[str, Any]:
    if not run.has_best(base.NAME):
        return {"base": None, "finalists": []}
    chosen = base_of(run)
    told = {key: getattr(chosen, key) for key in ("name", "cost", "scores", "fidelity", "decisions")}
    return {"base": told, "finalists": finalists(run)}


def what(study: Study) -> str:
    options = study.options(Options)
    return f"the best {options.top}, seeds {', '.join(map(str, options.seeds))}"


def macs(study: Study, base_macs: float) -> list[float]:
    options = study.options(Options)
    return [base_macs] * (min(options.top, study.options(base.Options).trials) * len(options.seeds))


STEP = Step(
    NAME,
    ended=fewer_may_do,
    title="training finalists",
    key="finalists",
    options=Options,
    check=check,
    needs=(base.NAME, "control"),
    jobs=jobs,
    macs=macs,
    what=what,
    concludes=concludes,
)
