"""Searchers. Each is a function of the past: it yields proposals, best first, and keeps nothing between calls.

So a search resumes by calling it again with the same past, and its outcome depends on no timing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from scalesearch.errors import InputError, unknown
from scalesearch.search.evolution import evolution
from scalesearch.search.tpe import tpe

Decisions = dict[str, Any]


class Problem(Protocol):
    """What a searcher sees of a space."""

    decisions: dict[str, Any]  # name → anything with a `domain` and `exists(decisions)`

    def draw(self, rng: Random) -> Decisions: ...

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions: ...


@dataclass(frozen=True)
class Past:
    """What is known when a proposal is asked for: results in the order of their numbers, and what is under way."""

    results: Sequence[tuple[Decisions, float | None]] = ()  # score to maximise; None where training failed
    pending: Sequence[Decisions] = field(default=())


def random(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Every architecture as likely as every other."""
    while True:
        yield problem.draw(rng)


Searcher = Callable[[Any, Past, Random], Iterator[Decisions]]
SEARCHERS: dict[str, Searcher] = {"random": random, "evolution": evolution, "tpe": tpe}


def searcher(name: str) -> Searcher:
    if name not in SEARCHERS:
        raise InputError(unknown("searcher", name, SEARCHERS))
    return SEARCHERS[name]
