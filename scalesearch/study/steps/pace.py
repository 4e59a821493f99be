"""The pace at which the machine trains the space's networks, from which a budget of hours is planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from scalesearch.arch import Arch
from scalesearch.counting import cost
from scalesearch.plain_data import PlainDict
from scalesearch.study.driver import Driver
from scalesearch.study.planning import forecasts
from scalesearch.study.step import Step
from scalesearch.study.steps.hand_built import hand_built
from scalesearch.study.steps.network_jobs import job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs

NAME = "pace"
NETWORKS, EPOCHS = 4, 2  # more than one at a time, as later; the first epoch warms up


def _networks(study: Study) -> Iterator[tuple[Arch, PlainDict]]:
    """Yields some networks of the space, and the hand-built ones, whose MACs may be many times as many."""
    for number in range(NETWORKS):
        decisions = study.problem.draw(Random(f"{study.seeds[0]}-{NAME}-{number}"))
        arch = study.problem.arch(decisions)
        assert arch is not None
        yield arch, decisions
    for arch in hand_built(study).values():
        yield arch, {}


class PaceMeasurement(Step):
    """Measures how fast the machine trains, where a study has hours to plan."""

    name = NAME
    title = "measuring the pace"

    def jobs(self, run: Driver) -> Jobs:
        study = run.requested
        if not study.hours:
            return
        recipe = replace(study.recipe_of(NAME), epochs=EPOCHS, patience=0)
        for number, (arch, decisions) in enumerate(_networks(study)):
            yield job_of(study, NAME, number, f"{NAME}-{number}", arch, decisions, recipe=recipe)

    def notes(self, run: Driver) -> list[str]:
        """Returns a sentence that compares the forecasts with the hours asked for and taken."""
        predictions = forecasts(run.requested, run.log)
        if not predictions:
            return []

        def hours(seconds: float) -> str:
            return f"{seconds / 3600:.3g} h"

        predicted = "; ".join(
            f"forecast after {hours(f.at)}, before the {f.before} step: {hours(f.seconds)}" for f in predictions
        )
        if not run.finished:
            return [f"{hours(predictions[0].asked)} were asked for; {predicted}."]
        asked, took = predictions[0].asked, predictions[-1].took
        return [f"{hours(asked)} were asked for and {hours(took)} taken ({took / asked - 1:+.1%}); {predicted}."]

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [float(cost(arch).macs) for arch, _ in _networks(study)] if study.hours else []

    def description(self, study: Study) -> str:
        return "networks of the space and hand-built ones, to plan the hours by"

    def epochs(self, study: Study) -> int | str | None:
        return EPOCHS

    def conclusions(self, run: Driver) -> PlainDict:
        return {"forecast": forecasts(run.requested, run.log)} if run.requested.hours else {}

    def log_lines(self, run: Driver) -> list[str]:
        return self.notes(run)
