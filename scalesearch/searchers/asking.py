"""Asking a searcher for the next network to try: inside the budget, and none tried before."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple

from scalesearch.searchers.problem import Decisions, Past, Problem
from scalesearch.searchers.table import searcher

PATIENCE = 20_000  # proposals in a row that may be outside the budget or known already


class Proposal(NamedTuple):
    """Decisions, the name of their network, and how many proposals before them were refused."""

    decisions: Decisions
    identity: str
    rejected: int


def ask(
    problem: Problem,
    with_: str,
    past: Past,
    rng: Random,
    seen: Collection[str],
    first: Sequence[Decisions] = (),
    objectives: int = 1,
) -> Proposal | None:
    """The first proposal inside the budget that is a network not `seen` before: of `first`, then of the searcher.

    A searcher that finds none for half the patience is helped by plain draws, and these by the list of all where there
    is one. None where nothing is left.
    """
    if not problem.has_unseen(seen):
        return None
    proposals = searcher(with_, objectives)(problem, past, rng)
    # models are small; on cores that are busy training, more threads wait for each other
    with _threads(with_).limit(limits=1):
        for rejected, proposed in enumerate(_all(first, proposals, problem, rng)):
            decisions = problem.snapped(proposed)
            identity = problem.identity(decisions)
            if identity is not None and identity not in seen:
                return Proposal(decisions, identity, rejected)
    return None


@cache
def _threads(with_: str) -> Any:
    """Those of the libraries that the searcher computes with; a library must be loaded to be limited."""
    from threadpoolctl import ThreadpoolController

    for library in ("scipy.linalg", "torch") if with_ == "gp" else ("scipy.linalg",):
        importlib.import_module(library)
    return ThreadpoolController()


def _all(
    first: Sequence[Decisions], proposals: Iterable[Decisions], problem: Problem, rng: Random
) -> Iterator[Decisions]:
    yield from first
    yield from itertools.islice(proposals, PATIENCE // 2)
    for _ in range(PATIENCE // 2):
        yield problem.draw(rng)
    yield from problem.listed or ()
