"""Searchers. Each is a function of the past: it yields proposals, best first, and keeps nothing between calls that it could
not work out again.

So a search resumes by calling it again with the same past, and its outcome depends on no timing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from random import Random

from scalesearch.errors import InputError, unknown
from scalesearch.searchers.problem import Decisions, Past, Problem

Searcher = Callable[[Problem, Past, Random], Iterator[Decisions]]
# Name → the room it lives in, imported when first asked for: naming a searcher must not pay for Optuna or SciPy.
SEARCHERS = {"predictor": "predictor", "random": "evolution", "evolution": "evolution", "local": "evolution", "tpe": "bayes",
             "nsga2": "bayes", "gp": "bayes", "cmaes": "bayes"}  # fmt: skip
DEFAULT = "predictor"
ONE_OBJECTIVE = ("cmaes",)  # the others take several


def check_searcher(name: str, objectives: int = 1) -> None:
    """Raises `InputError` for a searcher that there is not, or that takes one objective alone."""
    if name not in SEARCHERS:
        raise InputError(unknown("searcher", name, SEARCHERS))
    if objectives > 1 and name in ONE_OBJECTIVE:
        several = ", ".join(n for n in SEARCHERS if n not in ONE_OBJECTIVE)
        raise InputError(f'"{name}" takes one objective; with several, {several} work')


def searcher(name: str, objectives: int = 1) -> Searcher:
    """The searcher of that name. Raises `InputError` as `check_searcher` does."""
    check_searcher(name, objectives)
    return getattr(importlib.import_module(f"scalesearch.searchers.{SEARCHERS[name]}"), name)


__all__ = ["DEFAULT", "SEARCHERS", "Decisions", "Past", "Problem", "Searcher", "check_searcher", "searcher"]
