"""What scores jobs, the contract of every evaluator, and the trial that comes of a scored job."""

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
    """What an evaluator reports of a job on the way: an epoch's numbers, and with the last of them the outcome."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None


class Evaluator(Protocol):
    """Scores jobs.

    Training on images is one (`training/`), a table's column and a person's function are others (`searchers/`). An
    evaluator is sent to worker processes, so it can be pickled.
    """

    @property
    def score(self) -> Score:
        """What trials are compared by."""

    @property
    def in_process(self) -> bool:
        """Whether scoring is so cheap that it needs no worker process of its own."""

    def fidelity(self, job: Job) -> Fidelity:
        """Returns what the job's score is measured with; scores of different fidelities are never compared."""

    def evaluate(self, job: Job, place: Place) -> Iterator[Progress]:
        """Scores a job step by step; the last report, and no other, has the outcome."""


def outcome_of(evaluator: Evaluator, job: Job, place: Place) -> Outcome:
    """Returns what comes of a job that is done in this process."""
    *_, last = evaluator.evaluate(job, place)
    assert last.outcome is not None, "an evaluator ends with an outcome"
    return last.outcome


def trial_of(job: Job, outcome: Outcome, evaluator: Evaluator) -> Trial:
    """Returns what came of a job that `evaluator` has scored as a trial.

    A score that is missing or not finite, and a network or recipe other than the one asked for, are failures.
    """
    recipe = job.recipe.digest if job.recipe else ""
    network, used_recipe = outcome.get("network", job.network), outcome.get("recipe", recipe)
    reason = outcome.get("reason") or _fault(job, outcome, network, used_recipe, evaluator.score)
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
    )


def _fault(job: Job, outcome: Outcome, network: str, recipe: str, score: Score) -> str | None:
    """Returns why an outcome that gives no reason of its own is a failure; None if it is none."""
    scores, expected = outcome.get("scores"), job.recipe.digest if job.recipe else ""
    if network != job.network:
        return f"another network was trained than was asked for: {network} instead of {job.network}"
    if recipe != expected:
        return f"another recipe was used than was asked for: {recipe} instead of {expected}"
    if job.parent and not outcome.get("inherited", 1.0):
        return f"nothing was inherited from {job.parent}: its weights are gone"
    if not isinstance(scores, dict) or (job.until and score.key not in scores):
        return "the training gave no score"
    bad = [key for key, value in scores.items() if not key.startswith("proxy.") and not _is_finite(value)]
    return f"{bad[0]} is {scores[bad[0]]}" if bad else None


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
