"""The contract of evaluators, which score jobs, and the conversion of a scored job into a trial."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from scalesearch.trials.job import Job
from scalesearch.trials.place import Place
from scalesearch.trials.score import Score
from scalesearch.trials.trial import Fidelity, Outcome, Trial


@dataclass(frozen=True)
class Progress:
    """A report of an evaluator on a job that it is scoring.

    Attributes:
        numbers: Losses and scores of an epoch by their keys.
        outcome: The outcome, in the last report alone.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None


class Evaluator(Protocol):
    """Scores jobs.

    Training on images is one evaluator (`training/`); a table's column and a person's function are others
    (`searchers/`). An evaluator is sent to worker processes, so it must be picklable.
    """

    @property
    def score(self) -> Score:
        """Returns the score that trials are compared by."""

    @property
    def in_process(self) -> bool:
        """Returns whether scoring is cheap enough to need no worker process."""

    def fidelity(self, job: Job) -> Fidelity:
        """Returns the conditions that the job is scored under; scores of different fidelities are never compared."""

    def evaluate(self, job: Job, place: Place) -> Iterator[Progress]:
        """Yields reports while it scores a job; the last report, and no other, has the outcome."""


def outcome_of(evaluator: Evaluator, job: Job, place: Place) -> Outcome:
    """Returns the outcome of scoring a job in this process."""
    *_, last = evaluator.evaluate(job, place)
    assert last.outcome is not None, "an evaluator ends with an outcome"
    return last.outcome


def trial_of(job: Job, outcome: Outcome, evaluator: Evaluator) -> Trial:
    """Returns the trial of a job that `evaluator` has scored.

    The trial has failed if a score is missing or not finite, or if another network or recipe was used than asked
    for.
    """
    recipe = job.recipe.digest if job.recipe else ""
    network, used_recipe = outcome.get("network", job.network), outcome.get("recipe", recipe)
    reason = outcome.get("reason") or _failure_reason(job, outcome, network, used_recipe, evaluator.score)
    scores = {key: value for key, value in (outcome.get("scores") or {}).items() if _is_finite(value)}
    return Trial(
        step=job.step,
        number=job.number,
        name=job.name,
        arch=job.arch.to_dict() if job.arch else {},
        network=network,
        recipe=used_recipe,
        cost=dict(job.cost),
        fidelity=evaluator.fidelity(job),
        decisions=dict(job.decisions),
        state="failed" if reason else "done",
        reason=reason or "",
        scores={} if reason else scores,
        history=[h for h in outcome.get("history", []) if h.get("epoch", math.inf) > job.start],
        candidate=job.candidate,
        rung=job.rung,
        built=outcome.get("built", ""),
        rejected=job.rejected,
        seconds=outcome.get("seconds", 0.0),
        used=outcome.get("used", {}),
        untrained=outcome.get("untrained", ""),
    )


def _failure_reason(job: Job, outcome: Outcome, network: str, recipe: str, score: Score) -> str | None:
    """Returns why an outcome without a reason of its own is a failure; None if it is none."""
    scores, expected = outcome.get("scores"), job.recipe.digest if job.recipe else ""
    if network != job.network:
        return f"another network was trained than was asked for: {network} instead of {job.network}"
    if recipe != expected:
        return f"another recipe was used than was asked for: {recipe} instead of {expected}"
    if job.parent and not outcome.get("inherited", 1.0):
        return f"nothing was inherited from {job.parent}: its weights are gone"
    if not isinstance(scores, dict) or (job.until and score.key not in scores):
        return "the training gave no score"
    invalid = [key for key, value in scores.items() if not key.startswith("proxy.") and not _is_finite(value)]
    return f"{invalid[0]} is {scores[invalid[0]]}" if invalid else None


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
