"""Some networks that started from inherited weights, trained from nothing: what the inheritance adds or takes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import Any

from scalesearch.searchers import Jobs, Trial
from scalesearch.statistics import Correlation, correlation, interval
from scalesearch.study.driver import Driver
from scalesearch.study.step import Step, fewer_may_do
from scalesearch.study.steps import base
from scalesearch.study.steps.fixed import evenly, job_of
from scalesearch.study.study import Study

NAME = "control"


@dataclass(frozen=True)
class Inheritance:
    """What starting from inherited weights did to scores: mean difference to the same networks trained from nothing,
    with half its 95 % interval, and how the two rank them."""

    pairs: int
    bias: float
    interval: float | None
    ranks: Correlation


def count(study: Study) -> int:
    options = study.options(base.Options)
    return max(3, min(8, options.trials // 2)) if options.inherit else 0


def _inherited(run: Driver) -> list[Trial]:
    return [t for t in run.log.of(base.NAME) if t.fidelity.get("parent") and t.done and not t.early]


def jobs(run: Driver) -> Jobs:
    for number, trial in enumerate(evenly(_inherited(run), count(run.study))):
        arch, seed = run.log.arch(trial), trial.fidelity["seed"]
        name = f"{NAME}-{trial.candidate:03d}"
        yield from run.once(
            job_of(
                run.study,
                NAME,
                number,
                name,
                arch,
                trial.decisions,
                seed,
                candidate=trial.candidate,
                recipe=run.recipe_of(NAME),
            )
        )


def inheritance(run: Driver) -> Inheritance | None:
    inherited = {t.candidate: run.score(t) for t in _inherited(run)}
    pairs = [(inherited[t.candidate], run.score(t)) for t in run.log.of(NAME) if t.done and t.candidate in inherited]
    if not pairs:
        return None
    bias = [a - b for a, b in pairs]
    return Inheritance(
        len(pairs), mean(bias), interval(bias), correlation([a for a, _ in pairs], [b for _, b in pairs])
    )


def concludes(run: Driver) -> dict[str, Any]:
    return {"inheritance": inheritance(run)}


STEP = Step(
    NAME,
    ended=fewer_may_do,
    title="training controls",
    needs=(base.NAME,),
    jobs=jobs,
    macs=lambda study, base_macs: [base_macs] * count(study),
    what=lambda study: "networks with inherited weights, from nothing",
    epochs=lambda study: study.options(base.Options).epochs,
    concludes=concludes,
)
