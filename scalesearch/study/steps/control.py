"""Networks that started from inherited weights, trained again from scratch: what inheritance does to scores."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from scalesearch.plain_data import PlainDict
from scalesearch.statistics import Correlation, correlation, interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import base
from scalesearch.study.steps.network_jobs import evenly_spaced, job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Trial

NAME = "control"


@dataclass(frozen=True)
class Inheritance:
    """Compares scores of trainings from inherited weights with those of the same networks trained from scratch.

    Attributes:
        pairs: The number of networks.
        bias: The mean of the score with inherited weights minus that without; scores have their sign changed where
            smaller is better.
        interval: Half the 95 % interval of that mean.
        ranks: How alike the two rank the networks.
    """

    pairs: int
    bias: float
    interval: float | None
    ranks: Correlation


def count(study: Study) -> int:
    """Returns how many networks are trained again; 0 without `search.inherit`."""
    options = study.options(base.Options)
    return max(3, min(8, options.trials // 2)) if options.inherit else 0


def _inheriting_trials(run: Driver) -> list[Trial]:
    return [t for t in run.log.of(base.NAME) if t.fidelity.get("parent") and t.done and not t.early]


def inheritance(run: Driver) -> Inheritance | None:
    """Returns what inheritance does to scores; None before any control was trained."""
    inherited_scores = {t.candidate: run.score(t) for t in _inheriting_trials(run)}
    pairs = [
        (inherited_scores[t.candidate], run.score(t))
        for t in run.log.of(NAME)
        if t.done and t.candidate in inherited_scores
    ]
    if not pairs:
        return None
    differences = [a - b for a, b in pairs]
    return Inheritance(len(pairs), mean(differences), interval(differences), correlation(*zip(*pairs, strict=True)))


class Controls(Step):
    """Trains some networks that inherited weights again from scratch, to measure what inheritance does."""

    name = NAME
    title = "training controls"
    needs = (base.NAME,)
    may_end_early = True
    fragments = (fragment(150, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        recipe = run.recipe_of(NAME)
        for number, trial in enumerate(evenly_spaced(_inheriting_trials(run), count(run.study))):
            arch, seed = run.log.arch(trial), trial.fidelity["seed"]
            name = f"{NAME}-{trial.candidate:03d}"
            yield job_of(
                run.study, NAME, number, name, arch, trial.decisions, seed, candidate=trial.candidate, recipe=recipe
            )

    def conclusions(self, run: Driver) -> PlainDict:
        return {"inheritance": inheritance(run)}

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [base_macs] * count(study)

    def description(self, study: Study) -> str:
        return "networks with inherited weights, from nothing"

    def epochs(self, study: Study) -> int | str | None:
        return study.options(base.Options).epochs
