"""Evaluators that train nothing: a person's Python function, and a table's column of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scalesearch.searchers.table_problem import TabulatedProblem
from scalesearch.trials import Fidelity, Job, Outcome, Place, Progress, Score

FUNCTION_SCORE = Score("score")


@dataclass(frozen=True)
class Function:
    """Scores networks by a person's own Python function; an `Evaluator`.

    A function that raises, or whose score is not a finite number, makes that one trial fail; the search goes on.

    Attributes:
        function: Called with the network, and with the number of epochs if `with_epochs`.
        score: The key and direction of the function's score.
        with_epochs: Whether the function also gets the number of epochs to train for, as searches that stop some
            trials early need.
        of_decisions: Whether the function is called with the decisions instead of the network.
        in_process: Whether the function runs in the process that searches.
        final_key: A second key under which a final job's score is stored: in a study, the key of the test score.
    """

    function: Callable[..., Any]
    score: Score = FUNCTION_SCORE
    with_epochs: bool = False
    of_decisions: bool = False
    in_process: bool = True
    final_key: str = ""

    def fidelity(self, job: Job) -> Fidelity:
        """Returns the job's seed, and its epochs if the function gets them."""
        if not self.with_epochs:
            return {"seed": job.seed}
        return {"seed": job.seed, "epochs": job.until, "of": job.of}

    def evaluate(self, job: Job, place: Place) -> Iterator[Progress]:
        """Yields one report, with the outcome of calling the function once."""
        argument = dict(job.decisions) if self.of_decisions or job.arch is None else job.arch
        try:
            score = self.function(argument, job.until) if self.with_epochs else self.function(argument)
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


def table_evaluator(problem: TabulatedProblem) -> Function:
    """Returns the evaluator that looks scores up in a table by their decisions."""
    return Function(problem.measured_score, Score(problem.score), of_decisions=True)
