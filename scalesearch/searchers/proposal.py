"""Asks a searcher for the next network to try, one that is inside the budget and was not tried before."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple

from scalesearch.searchers.problem import Decisions, Past, Problem
from scalesearch.searchers.registry import searcher

MAX_PROPOSALS = 20_000  # proposals in a row that may be outside the budget or known already


class Proposal(NamedTuple):
    """A network to try next.

    Attributes:
        decisions: The decisions that lead to the network.
        identity: The network's name (`Problem.identity`).
        rejected: How many proposals before this one were outside the budget or known already.
    """

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
    """Returns the first proposal inside the budget whose network is not in `seen`; None if nothing is left.

    Proposals come from `first`, then from the searcher. Where the searcher yields nothing acceptable within half
    of `MAX_PROPOSALS`, as many random draws follow, and then the list of all networks where there is one.

    Args:
        problem: What may be tried.
        with_: The searcher's name.
        past: The results so far, and what is under way.
        rng: The random numbers of this proposal.
        seen: Identities of the networks that were proposed before.
        first: Decisions to propose before the searcher is asked.
        objectives: The number of objectives, the score included.

    Raises:
        InputError: As `check_searcher` does.
    """
    if not problem.has_unseen(seen):
        return None
    proposals = searcher(with_, objectives)(problem, past, rng)
    # models are small; on cores that are busy training, more threads wait for each other
    with _thread_pools(with_).limit(limits=1):
        for rejected, candidate in enumerate(_all_proposals(first, proposals, problem, rng)):
            decisions = problem.snap(candidate)
            identity = problem.identity(decisions)
            if identity is not None and identity not in seen:
                return Proposal(decisions, identity, rejected)
    return None


@cache
def _thread_pools(with_: str) -> Any:
    """Returns the controller of the thread pools that the searcher computes with.

    The libraries are imported first, since only a loaded library can be limited.
    """
    from threadpoolctl import ThreadpoolController

    for library in ("scipy.linalg", "torch") if with_ == "gp" else ("scipy.linalg",):
        importlib.import_module(library)
    return ThreadpoolController()


def _all_proposals(
    first: Sequence[Decisions], proposals: Iterable[Decisions], problem: Problem, rng: Random
) -> Iterator[Decisions]:
    yield from first
    yield from itertools.islice(proposals, MAX_PROPOSALS // 2)
    for _ in range(MAX_PROPOSALS // 2):
        yield problem.draw(rng)
    yield from problem.all_decisions or ()
