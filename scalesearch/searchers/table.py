"""The table of searchers. Each is a function of the past: it yields proposals, best first, and keeps nothing between
calls that it could not work out again.

So a search resumes by calling it again with the same past, and its outcome depends on no timing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from scalesearch.errors import InputError, unknown
from scalesearch.searchers.problem import Decisions, Past, Problem

Searcher = Callable[[Problem, Past, Random], Iterator[Decisions]]


@dataclass(frozen=True)
class Row:
    """A searcher: itself, or the module beside this one that has it by its name, imported when it is first asked for;
    and whether it takes several objectives."""

    home: str | Searcher
    several: bool = True


SEARCHERS = {
    "predictor": Row("predictor"),
    "random": Row("evolution"),
    "evolution": Row("evolution"),
    "local": Row("evolution"),
    "tpe": Row("bayes"),
    "nsga2": Row("bayes"),
    "gp": Row("bayes"),
    "cmaes": Row("bayes", several=False),
}
DEFAULT = "predictor"


def register_searcher(function: Searcher, name: str | None = None, several: bool = True) -> Searcher:
    """Make a person's own `function(problem, past, rng)` a searcher, by its name or by `name`; also as a decorator.

    `several` says whether it takes several objectives. Raises `InputError` for a name that is taken.
    """
    name = name or function.__name__
    if name in SEARCHERS:
        raise InputError("is a searcher already; give another name", name)
    SEARCHERS[name] = Row(function, several)
    return function


def check_searcher(name: str, objectives: int = 1) -> None:
    """Raises `InputError` for a searcher that there is not, or that takes one objective alone."""
    if name not in SEARCHERS:
        raise InputError(unknown("searcher", name, SEARCHERS))
    if objectives > 1 and not SEARCHERS[name].several:
        several = ", ".join(n for n, row in SEARCHERS.items() if row.several)
        raise InputError(f'"{name}" takes one objective; with several, {several} work')


def searcher(name: str, objectives: int = 1) -> Searcher:
    """The searcher of that name. Raises `InputError` as `check_searcher` does."""
    check_searcher(name, objectives)
    home = SEARCHERS[name].home
    return getattr(importlib.import_module(f"scalesearch.searchers.{home}"), name) if isinstance(home, str) else home
