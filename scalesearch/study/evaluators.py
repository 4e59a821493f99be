"""The evaluators that a study can name: each scores its jobs. A new evaluator is a function and a row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from scalesearch.errors import InputError
from scalesearch.searchers import SpaceTableProblem, TableProblem, table_evaluator
from scalesearch.trials import Evaluator

if TYPE_CHECKING:
    from scalesearch.study.study import Study

MakeEvaluator: TypeAlias = "Callable[[Study], Evaluator]"


def _training(study: Study) -> Evaluator:
    return study.trained


def _column(study: Study) -> Evaluator:
    assert isinstance(study.problem, TableProblem | SpaceTableProblem)
    return table_evaluator(study.problem)


EVALUATORS: dict[str, MakeEvaluator] = {"training": _training, "table": _column}


def register_evaluator(make: MakeEvaluator, name: str | None = None) -> MakeEvaluator:
    """Registers `make` as an evaluator that studies can name by `evaluator:`; also usable as a decorator.

    Args:
        make: Returns the evaluator of a study's jobs. To score by a function of your own, return
            `scalesearch.searchers.Function(function, study.trained.task.searched, ...)`.
        name: The name in studies; the name of `make` by default.

    Raises:
        InputError: If the name is taken.
    """
    name = name or make.__name__
    if name in EVALUATORS:
        raise InputError("is an evaluator already; give another name", name)
    EVALUATORS[name] = make
    return make
