"""Some networks that started from inherited weights, trained from nothing: what the inheritance adds or takes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from scalesearch.plain_data import PlainDict
from scalesearch.statistics import Correlation, correlation, interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import base
from scalesearch.study.steps.fixed import evenly, job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Trial

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


def inheritance(run: Driver) -> Inheritance | None:
    inherited = {t.candidate: run.score(t) for t in _inherited(run)}
    pairs = [(inherited[t.candidate], run.score(t)) for t in run.log.of(NAME) if t.done and t.candidate in inherited]
    if not pairs:
        return None
    bias = [a - b for a, b in pairs]
    return Inheritance(
        len(pairs), mean(bias), interval(bias), correlation([a for a, _ in pairs], [b for _, b in pairs])
    )


class Controls(Step):
    """Trains some networks that inherited weights from nothing, to see what the inheritance does."""

    name = NAME
    title = "training controls"
    needs = (base.NAME,)
    may_end_early = True
    fragments = (fragment(150, __file__),)

    def jobs(self, run: Driver) -> Jobs:
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

    def conclusions(self, run: Driver) -> PlainDict:
        return {"inheritance": inheritance(run)}

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [base_macs] * count(study)

    def what(self, study: Study) -> str:
        return "networks with inherited weights, from nothing"

    def epochs(self, study: Study) -> int | str | None:
        return study.options(base.Options).epochs
