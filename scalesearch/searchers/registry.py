"""The registry of searchers.

A searcher is a function of the past: it yields proposals, best first, and keeps nothing between calls that it
could not compute again. So a search resumes by calling it again with the same past, and its outcome depends
on no timing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from scalesearch.errors import InputError, unknown_message
from scalesearch.searchers.problem import Decisions, Past, Problem

Searcher = Callable[[Problem, Past, Random], Iterator[Decisions]]


@dataclass(frozen=True)
class RegisteredSearcher:
    """A registered searcher.

    Attributes:
        source: The function, or the name of the module beside this one that defines it, imported when it is first
            used.
        several: Whether it takes several objectives.
    """

    source: str | Searcher
    several: bool = True


SEARCHERS = {
    "predictor": RegisteredSearcher("predictor"),
    "random": RegisteredSearcher("evolution"),
    "evolution": RegisteredSearcher("evolution"),
    "local": RegisteredSearcher("evolution"),
    "tpe": RegisteredSearcher("bayes"),
    "nsga2": RegisteredSearcher("bayes"),
    "gp": RegisteredSearcher("bayes"),
    "cmaes": RegisteredSearcher("bayes", several=False),
}
DEFAULT = "predictor"


def register_searcher(function: Searcher, name: str | None = None, several: bool = True) -> Searcher:
    """Registers a person's own `function(problem, past, rng)` as a searcher; also usable as a decorator.

    Args:
        function: Yields decisions, best first (see `Problem` and `Past`).
        name: The searcher's name; by default the function's.
        several: Whether it takes several objectives.

    Raises:
        InputError: If the name is taken.
    """
    name = name or function.__name__
    if name in SEARCHERS:
        raise InputError("is a searcher already; give another name", name)
    SEARCHERS[name] = RegisteredSearcher(function, several)
    return function


def check_searcher(name: str, objectives: int = 1) -> None:
    """Raises `InputError` for an unknown searcher, and for one that takes only one objective if there are more."""
    if name not in SEARCHERS:
        raise InputError(unknown_message("searcher", name, SEARCHERS))
    if objectives > 1 and not SEARCHERS[name].several:
        several = ", ".join(n for n, row in SEARCHERS.items() if row.several)
        raise InputError(f'"{name}" takes one objective; with several, {several} work')


def searcher(name: str, objectives: int = 1) -> Searcher:
    """Returns the searcher of that name. Raises `InputError` as `check_searcher` does."""
    check_searcher(name, objectives)
    source = SEARCHERS[name].source
    return (
        getattr(importlib.import_module(f"scalesearch.searchers.{source}"), name) if isinstance(source, str) else source
    )
