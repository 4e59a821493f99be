"""Jobs: what is to be tried next and how; and what came of one, as a trial."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

from scalesearch.arch import Arch
from scalesearch.searchers.evaluators import Evaluator
from scalesearch.searchers.problem import Decisions
from scalesearch.searchers.trial import Fidelity, Key, Trial
from scalesearch.training import Recipe, Score


class Wait(Enum):
    """Stands among jobs where results are missing that the next one needs."""

    WAIT = "wait"


WAIT = Wait.WAIT
Jobs = Iterator["Job | Wait"]


@dataclass(frozen=True)
class Job:
    """A network to try, from epoch `start` `until` another; none: its proxies alone.

    `network` is the digest that it must turn out to have, `cost` what it counts. `candidate` and `rung` say which
    network of a search it is and how far it goes, `of` how many epochs the whole way has, `parent` which trial's
    weights it starts from. What follows is for training: the `recipe`, whether the score is `final` and taken on the
    test split too, which `proxies` are computed, the files in the run's folder for `weights` and for a
    `checkpoint`, and the `teacher` whose outputs it learns beside the labels, with the file of its weights.
    """

    step: str
    number: int
    name: str
    network: str
    decisions: Decisions
    seed: int
    arch: Arch | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)
    until: int = 1
    start: int = 0
    of: int = 1
    candidate: int = 0
    rung: int = 0
    rejected: int = 0
    parent: str = ""
    recipe: Recipe | None = None
    final: bool = False
    proxies: tuple[str, ...] = ()
    weights: str = ""
    checkpoint: str = ""
    teacher: Arch | None = None
    teacher_weights: str = ""

    @property
    def key(self) -> Key:
        return self.step, self.seed, self.number


def trial_of(job: Job, outcome: Mapping[str, Any], evaluator: Evaluator) -> Trial:
    """What came of `job`: `{"scores": …, "history": …, "seconds": …}` or `{"reason": …}`, and what was really used.

    A score that is missing or not finite, and a network or recipe that is not what was asked for, are failures.
    """
    recipe = job.recipe.digest if job.recipe else ""
    digests = {"network": outcome.get("network", job.network), "recipe": outcome.get("recipe", recipe)}
    reason = outcome.get("reason") or _fault(job, outcome, digests, recipe, evaluator.score)
    scores = {key: value for key, value in (outcome.get("scores") or {}).items() if _is_finite(value)}
    return Trial(
        step=job.step,
        number=job.number,
        name=job.name,
        arch=job.arch.to_dict() if job.arch else {},
        **digests,
        cost=dict(job.cost),
        fidelity=cast(Fidelity, evaluator.fidelity(job)),
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


def _fault(job: Job, outcome: Mapping[str, Any], used: Mapping[str, str], recipe: str, score: Score) -> str | None:
    """Why an outcome without a reason of its own is none."""
    scores = outcome.get("scores")
    if used["network"] != job.network:
        return f"another network was trained than was asked for: {used['network']} instead of {job.network}"
    if used["recipe"] != recipe:
        return f"another recipe was used than was asked for: {used['recipe']} instead of {recipe}"
    if job.parent and not outcome.get("inherited", 1.0):
        return f"nothing was inherited from {job.parent}: its weights are gone"
    if not isinstance(scores, dict) or (job.until and score.key not in scores):
        return "the training gave no score"
    bad = [key for key, value in scores.items() if not key.startswith("proxy.") and not _is_finite(value)]
    return f"{bad[0]} is {scores[bad[0]]}" if bad else None


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
