"""The trials and epochs that fit into a study's hours, planned from the pace that its log shows.

A plan is made before every step that has `Step.planned_from`, from the trials of those steps alone, so it is the same
after a resume and when a run is verified. Later steps are assumed to go on at the measured pace: seconds per epoch by
a network's counts, and trainings side by side.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, cast

from scalesearch.errors import WorkFailed
from scalesearch.trials import Trial, TrialLog

if TYPE_CHECKING:
    from scalesearch.study.step import Step
    from scalesearch.study.study import Study

TARGET_SHARE = 0.98  # of the hours; reports and the end of Ray take time too
MAX_OVERRUN = 1.1  # times the hours, which no plan may take
MAX_FACTOR = 1e6  # times what the study says without hours
MAX_TRIALS = 2_000


@dataclass(frozen=True)
class Forecast:
    """Holds when the whole run was expected to end, and how long it took.

    Attributes:
        before: The step before which the forecast was made.
        at: Seconds of the run's time at which it was made.
        seconds: Seconds of the run's time at which the run was expected to end.
        asked: Seconds that the study allows.
        took: Seconds that the run has taken so far.
    """

    before: str
    at: float
    seconds: float
    asked: float
    took: float


class Pace:
    """Estimates how fast a machine trains: seconds per epoch by a network's counts, and trainings side by side."""

    def __init__(self, trials: list[Trial]):
        import numpy as np
        from scipy.optimize import nnls

        trained = [t for t in trials if t.seconds > 0 and t.history and not t.rung]
        epochs = np.array([len(t.history) for t in trained], dtype=float)
        seconds = np.array([t.seconds for t in trained])
        features = np.array(
            [[1.0, t.cost["macs"] / 1e6, t.cost["acts"] / 1e6, 1.0 / n] for t, n in zip(trained, epochs)]
        )
        # relative errors, so that short and long trainings weigh the same
        self.weights = nnls(features * (epochs / seconds)[:, None], np.ones(len(trained)))[0] if trained else None
        self.acts = sum(t.cost["acts"] for t in trained) / max(1, sum(t.cost["macs"] for t in trained))
        self.elapsed = max((t.at for t in trials), default=0.0)
        self.slots = _slots(trained)
        by_step = [[t for t in trained if t.step == step] for step in {t.step for t in trained}]
        measured = sum(max(t.at for t in step) - min(t.at - t.seconds for t in step) for step in by_step)
        self.stretch = measured / max(1e-9, sum(makespan([t.seconds for t in s], _slots(s)) for s in by_step))

    def step_seconds(self, sizes: Sequence[tuple[float, float]], epochs: int, parallel: int) -> float:
        """Returns the seconds of the run's time that a step takes.

        Args:
            sizes: MACs and activations of every training; 0 activations where unknown.
            epochs: The epochs of every training.
            parallel: How many trainings run side by side at most.
        """
        durations = [self._training(macs, acts or macs * self.acts, epochs) for macs, acts in sizes]
        return self.stretch * makespan(durations, max(1, min(parallel, self.slots)))

    def _training(self, macs: float, acts: float, epochs: int) -> float:
        features = (1.0, macs / 1e6, acts / 1e6, 1.0 / epochs)
        return 0.0 if self.weights is None else epochs * float(self.weights @ features)


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Returns the seconds until the last training has ended, each started as soon as a slot is free."""
    ends = [0.0] * slots
    for duration in seconds:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def _slots(trials: list[Trial]) -> int:
    """Returns the largest number of trials that ran at the same time, counted at the middle of each."""
    middles = [t.at - t.seconds / 2 for t in trials]
    return max([1, *(sum(t.at - t.seconds <= middle <= t.at for t in trials) for middle in middles)])


def plan_before(requested: Study, log: TrialLog, step: str) -> tuple[Study, list[Forecast]]:
    """Returns the study as planned before a step, and the forecasts made up to then.

    Args:
        requested: The study as its file has it.
        log: Every trial so far.
        step: The name of the step.
    """
    study, forecasts = requested, []
    for stage in _stages(requested):
        study, forecast = _plan_stage(study, log, stage)
        forecasts.append(forecast)
        if stage.name == step:
            break
    return study, forecasts


def check_hours(requested: Study, log: TrialLog) -> None:
    """Raises `WorkFailed` if even the smallest plan takes more than `MAX_OVERRUN` times the hours."""
    least = plan_before(requested, log, _stages(requested)[0].name)[1][0].seconds
    if least > MAX_OVERRUN * 3600 * requested.hours:
        raise WorkFailed(
            f"the least that the study asks for takes about {least / 3600:.2g} h, and budget.hours is "
            f"{requested.hours:g}; leave out hand-built networks or seeds, or give it more"
        )


def forecasts(requested: Study, log: TrialLog) -> list[Forecast]:
    """Returns the forecasts made so far; none for a study without hours."""
    return _plan_so_far(requested, log)[1]


def planned_study(requested: Study, log: TrialLog) -> Study:
    """Returns the study with the trials and epochs that were planned when the log was written."""
    return _plan_so_far(requested, log)[0]


def _stages(study: Study) -> list[Step]:
    """Returns the steps before which a plan is made."""
    return [step for step in study.steps if step.planned_from]


def _plan_so_far(requested: Study, log: TrialLog) -> tuple[Study, list[Forecast]]:
    """Returns the study as planned before the last stage that has begun, and the forecasts up to then."""
    begun = {trial.step for trial in log}
    stage = next((stage for stage in reversed(_stages(requested)) if stage.name in begun), None)
    return plan_before(requested, log, stage.name) if requested.hours and stage else (requested, [])


def _plan_stage(study: Study, log: TrialLog, stage: Step) -> tuple[Study, Forecast]:
    trials = [t for t in log if t.step in stage.planned_from]
    pace, available = Pace(trials), 3600 * study.hours

    def total(study: Study) -> float:
        return pace.elapsed + _remaining_seconds(study, pace, stage, trials)

    study = _largest_fitting(study, stage, lambda study: total(study) <= TARGET_SHARE * available)
    elapsed = max((t.at for t in log), default=0.0)
    return study, Forecast(stage.name, round(pace.elapsed, 1), round(total(study), 1), available, elapsed)


def _remaining_seconds(study: Study, pace: Pace, stage: Step, trials: list[Trial]) -> float:
    """Returns the seconds of the run's time for a stage and all steps after it."""
    base_macs = _expected_base_macs(study, stage, trials)
    seconds = 0.0
    for step in study.steps[study.steps.index(stage) :]:
        if step.trains:
            epochs = study.recipe_of(step.name).epochs
            sizes = step.costs(study) or [(macs, 0.0) for macs in step.macs(study, base_macs)]
            seconds += pace.step_seconds(sizes, epochs, study.parallel if step.search_title else len(sizes))
    return seconds


def _expected_base_macs(study: Study, stage: Step, trials: list[Trial]) -> float:
    """Returns the MACs of the best network so far; before the base search, the mean over the networks tried."""
    deciding = [step.name for step in study.steps if step.decides_base]
    candidates = [t for t in trials if t.step in deciding and t.done]
    if stage.name not in deciding and candidates:
        return cast(float, max(candidates, key=lambda t: study.evaluator.score.rank(t.scores)).cost["macs"])
    counts = [t.cost["macs"] for t in candidates if t.step == deciding[0]] or [t.cost["macs"] for t in trials]
    return cast(float, sum(counts) / max(1, len(counts)))


def _largest_fitting(study: Study, stage: Step, fits: Callable[[Study], bool]) -> Study:
    """Returns the study with the most trials and epochs still open at a stage that fit, at least one of each."""
    low, high = 1e-3, MAX_FACTOR
    for _ in range(40):
        middle = sqrt(low * high)
        low, high = (middle, high) if fits(_scaled_study(study, stage, middle)) else (low, middle)
    fitting = _scaled_study(study, stage, low)
    while (more := _with_one_more_trial(fitting, stage)) is not None and fits(more):
        fitting = more
    return fitting


def _scaled_study(study: Study, stage: Step, factor: float) -> Study:
    """Returns the study with open trials and epochs changed so that they take about `factor` times as long."""
    share = sqrt(factor) if stage.open_searches else factor
    sections = dict(study.sections)
    for kind in (_options_type(study, search) for search in stage.open_searches):
        options = sections[kind]
        epochs = None if options.epochs is None else max(1, int(options.epochs * share))
        sections[kind] = replace(options, trials=min(MAX_TRIALS, max(4, int(options.trials * share))), epochs=epochs)
    recipe = study.trained.recipe
    training = replace(study.trained, recipe=replace(recipe, epochs=max(1, int(recipe.epochs * share))))
    return replace(study, sections=sections, training=training)


def _options_type(study: Study, step: str) -> type:
    options = next(s.options for s in study.steps if s.name == step)
    assert options is not None, step
    return options


def _with_one_more_trial(study: Study, stage: Step) -> Study | None:
    """Returns the study with one more trial in the stage's search; None if it has no search or `MAX_TRIALS`."""
    if not stage.open_searches:
        return None
    kind = _options_type(study, stage.name)
    options = study.sections[kind]
    if options.trials >= MAX_TRIALS:
        return None
    return replace(study, sections={**study.sections, kind: replace(options, trials=options.trials + 1)})
