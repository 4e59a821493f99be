"""What a run can do in the hours that it has: trials and epochs, from the pace that its log tells.

The plan is made before the base search, and again before the scaling search and before the family, each time from the
trials of the steps before alone; so it is the same after a resume, and for whoever verifies the run. What is not known
yet is taken to go on as measured: seconds an epoch by what a network counts, and how many trainings ran side by side.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

from scalesearch.errors import WorkFailed
from scalesearch.searchers import Trial, TrialLog

STAGES = {
    "base": ("pace",),
    "scale": ("pace", "base", "finalists"),
    "family": ("pace", "base", "finalists", "scale", "transfer"),
}
OPEN: dict[str, tuple[str, ...]] = {"base": ("base", "scale"), "scale": ("scale",), "family": ()}  # searches, by stage
AIM = 0.98  # of the hours; reports and the end of Ray take time too
LATE = 1.1  # times the hours, which no plan may take
MOST = 1e6  # times what the study says without hours
MOST_TRIALS = 2_000
Asked = Any  # a `Study`


@dataclass(frozen=True)
class Forecast:
    """When the whole run would end, in seconds of its time, as told `at` a moment `before` a step; and when it did, as
    far as it has come."""

    before: str
    at: float
    seconds: float
    asked: float
    took: float


class Pace:
    """Of trials that a log holds."""

    def __init__(self, trials: list[Trial]):
        import numpy as np
        from scipy.optimize import nnls

        trained = [t for t in trials if t.seconds > 0 and t.history and not t.rung]
        epochs = np.array([len(t.history) for t in trained], dtype=float)
        seconds = np.array([t.seconds for t in trained])
        counted = np.array(
            [[1.0, t.cost["macs"] / 1e6, t.cost["acts"] / 1e6, 1.0 / n] for t, n in zip(trained, epochs)]
        )
        # what is relative to a training's length counts alike for short and long ones
        self.weights = nnls(counted * (epochs / seconds)[:, None], np.ones(len(trained)))[0] if trained else None
        self.acts = sum(t.cost["acts"] for t in trained) / max(1, sum(t.cost["macs"] for t in trained))
        self.elapsed = max((t.at for t in trials), default=0.0)
        self.slots = _slots(trained)
        by_step = [[t for t in trained if t.step == step] for step in {t.step for t in trained}]
        really = sum(max(t.at for t in step) - min(t.at - t.seconds for t in step) for step in by_step)
        self.stretch = really / max(1e-9, sum(_together([t.seconds for t in s], _slots(s)) for s in by_step))

    def step(self, sizes: Sequence[tuple[float, float]], epochs: int, most: int) -> float:
        """Seconds of the run's time for trainings of so many MACs and activations, `most` of them side by side."""
        trained = [self._training(macs, acts or macs * self.acts, epochs) for macs, acts in sizes]
        return self.stretch * _together(trained, max(1, min(most, self.slots)))

    def _training(self, macs: float, acts: float, epochs: int) -> float:
        each = (1.0, macs / 1e6, acts / 1e6, 1.0 / epochs)
        return 0.0 if self.weights is None else epochs * float(self.weights @ each)


def _together(seconds: Sequence[float], slots: int) -> float:
    """Until the last has ended, each begun as soon as there is room."""
    ends = [0.0] * slots
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def _slots(trials: list[Trial]) -> int:
    """How many were at work at a time: in the middle of a trial, at most."""
    middles = [t.at - t.seconds / 2 for t in trials]
    return max([1, *(sum(t.at - t.seconds <= middle <= t.at for t in trials) for middle in middles)])


def planned(asked: Asked, log: TrialLog, stage: str) -> tuple[Asked, list[Forecast]]:
    """The study with the trials and epochs that the log justifies before a stage, and what was forecast until then."""
    study, told, stages = asked, [], list(STAGES)
    for before in stages[: stages.index(stage) + 1]:
        study, forecast = _planned_once(study, log, before)
        told.append(forecast)
    return study, told


def _planned_once(study: Asked, log: TrialLog, stage: str) -> tuple[Asked, Forecast]:
    trials = [t for t in log if t.step in STAGES[stage]]
    pace, whole = Pace(trials), 3600 * study.hours

    def total(study):
        return pace.elapsed + _left(study, pace, stage, trials)

    study = _fitting(study, stage, lambda study: total(study) <= AIM * whole)
    took = max((t.at for t in log), default=0.0)
    return study, Forecast(stage, round(pace.elapsed, 1), round(total(study), 1), whole, took)


def check_enough(asked: Asked, log: TrialLog) -> None:
    """Raises `WorkFailed` where even the least of everything takes longer than the hours."""
    least = planned(asked, log, "base")[1][0].seconds
    if least > LATE * 3600 * asked.hours:
        raise WorkFailed(
            f"the least that the study asks for takes about {least / 3600:.2g} h, and budget.hours is "
            f"{asked.hours:g}; leave out hand-built networks or seeds, or give it more"
        )


def forecasts(asked: Asked, log: TrialLog) -> list[Forecast]:
    reached = [stage for stage in STAGES if any(t.step == stage for t in log)]
    return planned(asked, log, reached[-1])[1] if asked.hours and reached else []


def replanned(asked: Asked, log: TrialLog) -> Asked:
    """The study as its log shows it to be under way."""
    reached = [stage for stage in STAGES if any(t.step == stage for t in log)]
    return planned(asked, log, reached[-1])[0] if asked.hours and reached else asked


def _left(study: Asked, pace: Pace, stage: str, trials: list[Trial]) -> float:
    """Seconds of the run's time for all from a stage on."""
    counted = [t.cost["macs"] for t in trials if t.step == "base" and t.done] or [t.cost["macs"] for t in trials]
    base = sum(counted) / max(1, len(counted))
    best = max(
        (t for t in trials if t.step in ("base", "finalists") and t.done),
        default=None,
        key=lambda t: study.evaluator.score.rank(t.scores),
    )
    if stage != "base" and best is not None:
        base = best.cost["macs"]
    names = [step.name for step in study.steps]
    seconds = 0.0
    for step in study.steps[names.index(stage) :]:
        if step.trains:
            epochs = study.recipe_of(step.name).epochs
            sizes = step.costs(study) if step.costs else [(macs, 0.0) for macs in step.macs(study, base)]
            seconds += pace.step(sizes, epochs, study.parallel if step.settled else len(sizes))
    return seconds


def _fitting(study: Asked, stage: str, fits: Callable[[Asked], bool]) -> Asked:
    """The most of what is open at a stage that fits, at least one of each."""
    low, high = 1e-3, MOST
    for _ in range(40):
        middle = sqrt(low * high)
        low, high = (middle, high) if fits(_times(study, stage, middle)) else (low, middle)
    found = _times(study, stage, low)
    while stage != "family" and (more := _one_more(found, stage)) is not None and fits(more):
        found = more
    return found


def _times(study: Asked, stage: str, factor: float) -> Asked:
    """As many trials and epochs as a factor on the time that they take makes of them; what is begun stays."""
    each = factor if stage == "family" else sqrt(factor)

    def epochs(n):
        return None if n is None else max(1, int(n * each))

    def trials(n):
        return min(MOST_TRIALS, max(4, int(n * each)))

    sections = dict(study.sections)
    for kind in [_kind(study, search) for search in OPEN[stage]]:
        options = sections[kind]
        sections[kind] = replace(options, trials=trials(options.trials), epochs=epochs(options.epochs))
    recipe = study.training.recipe
    training = replace(study.training, recipe=replace(recipe, epochs=max(1, int(recipe.epochs * each))))
    return replace(study, sections=sections, training=training)


def _kind(study: Asked, step: str) -> Any:
    """The type of a step's options."""
    return next(s.options for s in study.steps if s.name == step)


def _one_more(study: Asked, stage: str) -> Asked | None:
    """One trial more in the stage's search: what is left over where a whole epoch more for all would be too much."""
    kind = _kind(study, stage)
    options = study.sections[kind]
    if options.trials >= MOST_TRIALS:
        return None
    return replace(study, sections={**study.sections, kind: replace(options, trials=options.trials + 1)})
