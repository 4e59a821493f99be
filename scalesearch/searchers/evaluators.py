"""Evaluators that train nothing: a person's Python function, and a table's column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scalesearch.searchers.table_problem import RowsProblem
from scalesearch.trials import Fidelity, Job, Outcome, Place, Progress, Score

FUNCTION_SCORE = Score("score")


@dataclass(frozen=True)
class Function:
    """Scores networks by a person's own function: an `Evaluator`.

    A function that raises, or whose score is no finite number, is that trial's failure and no other's.

    Attributes:
        function: Called with the network, and with the epochs where `with_epochs`.
        score: What the function's score is called.
        with_epochs: Whether searches stop some trials early, so that the function is told for how many epochs to train.
        of_decisions: Whether it is called with the decisions in place of the network.
        in_process: Functions run in the process that searches.
        final_key: Under which key the score of a final job stands too, as the family's test score in a study.
    """

    function: Callable[..., Any]
    score: Score = FUNCTION_SCORE
    with_epochs: bool = False
    of_decisions: bool = False
    in_process: bool = True
    final_key: str = ""

    def fidelity(self, job: Job) -> Fidelity:
        """Returns the seed, and the epochs where the function is told them."""
        if not self.with_epochs:
            return {"seed": job.seed}
        return {"seed": job.seed, "epochs": job.until, "of": job.of}

    def evaluate(self, job: Job, place: Place) -> Iterator[Progress]:
        """Calls the function once; the report has the outcome."""
        subject = dict(job.decisions) if self.of_decisions or job.arch is None else job.arch
        try:
            score = self.function(subject, job.until) if self.with_epochs else self.function(subject)
        except Exception as error:  # whatever goes wrong in it
            yield Progress(outcome={"reason": f"{type(error).__name__}: {error}"[:500]})
        else:
            yield Progress(outcome=self._outcome(score, job.final))

    def _outcome(self, score: Any, final: bool) -> Outcome:
        if score is None:
            return {"reason": "the objective gave no score"}
        try:
            value = float(score)
        except (TypeError, ValueError, OverflowError):
            return {"reason": f"the objective gave {score!r}, which is no number"[:500]}
        if not math.isfinite(value):
            return {"reason": f"the score is {value}"}
        keys = [self.score.key, *([self.final_key] if final and self.final_key else [])]
        return {"scores": dict.fromkeys(keys, value)}


def column(problem: RowsProblem) -> Function:
    """Returns the evaluator that looks scores up in a table, by decisions."""
    return Function(problem.measured, Score(problem.score), of_decisions=True)
