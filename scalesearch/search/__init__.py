"""Searchers. Each is a function of the past: it yields proposals, best first, and keeps nothing between calls that it could
not work out again.

So a search resumes by calling it again with the same past, and its outcome depends on no timing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from scalesearch.errors import InputError, unknown
from scalesearch.search.bayes import cmaes, gp, nsga2, tpe
from scalesearch.search.evolution import evolution, local, random
from scalesearch.search.predictor import predictor
from scalesearch.search.problem import Decisions, Past, Problem

Searcher = Callable[[Problem, Past, Random], Iterator[Decisions]]
SEARCHERS: dict[str, Searcher] = {
    "predictor": predictor, "random": random, "evolution": evolution, "local": local, "tpe": tpe, "nsga2": nsga2, "gp": gp,
    "cmaes": cmaes}
DEFAULT = "predictor"
ONE_OBJECTIVE = ("cmaes",)  # the others take several


def searcher(name: str, objectives: int = 1) -> Searcher:
    """The searcher of that name. Raises `InputError` where there is none, or where it takes one objective alone."""
    if name not in SEARCHERS:
        raise InputError(unknown("searcher", name, SEARCHERS))
    if objectives > 1 and name in ONE_OBJECTIVE:
        several = ", ".join(n for n in SEARCHERS if n not in ONE_OBJECTIVE)
        raise InputError(f'"{name}" takes one objective; with several, {several} work')
    return SEARCHERS[name]
