"""What a try scores, and at which fidelity: training on data (in `training/`), a Python function, a table's column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from scalesearch.searchers.table_problem import RowsProblem
from scalesearch.training import Place, Score


class Evaluator(Protocol):
    """Scores jobs. `here` says whether that is so cheap that it needs no worker of its own."""

    @property
    def score(self) -> Score:
        """What tries are compared by."""

    @property
    def here(self) -> bool: ...

    def fidelity(self, job: Any) -> dict[str, Any]:
        """What a job's score is measured with, its seed at least."""

    def tries(self, job: Any, place: Place) -> Iterator[dict[str, Any]]:
        """What comes of a job step by step: numbers, and at the end `{"outcome": {"scores": …}}` or `{"outcome":
        {"reason": …}}`."""


OWN = Score("score")


@dataclass(frozen=True)
class Function:
    """A person's own function of a network, or of decisions; where searches stop some early, of the epochs too.

    One that raises, or whose score is no finite number, is that trial's failure and no other's.
    """

    function: Callable[..., Any]
    score: Score = OWN
    halves: bool = False
    of_decisions: bool = False
    here: bool = True

    def fidelity(self, job: Any) -> dict[str, Any]:
        return {"seed": job.seed} | ({"epochs": job.until, "of": job.of} if self.halves else {})

    def tries(self, job: Any, place: Place) -> Iterator[dict[str, Any]]:
        subject = dict(job.decisions) if self.of_decisions or job.arch is None else job.arch
        try:
            score = self.function(subject, job.until) if self.halves else self.function(subject)
        except Exception as error:  # whatever goes wrong in it
            yield {"outcome": {"reason": f"{type(error).__name__}: {error}"[:500]}}
        else:
            yield {"outcome": self._outcome(score)}

    def _outcome(self, score: Any) -> dict[str, Any]:
        if score is None:
            return {"reason": "the objective gave no score"}
        try:
            value = float(score)
        except (TypeError, ValueError, OverflowError):
            return {"reason": f"the objective gave {score!r}, which is no number"[:500]}
        return {"scores": {self.score.key: value}} if math.isfinite(value) else {"reason": f"the score is {value}"}


def column(problem: RowsProblem) -> Function:
    """The scores in a table, looked up by decisions."""
    return Function(problem.measured, Score(problem.score), of_decisions=True)


def outcome_of(evaluator: Evaluator, job: Any, place: Place) -> dict[str, Any]:
    """What comes of a job in this process."""
    *_, last = evaluator.tries(job, place)
    return last["outcome"]
