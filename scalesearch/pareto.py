"""Pareto fronts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def front(items: Iterable[T], cost: Callable[[T], float], score: Callable[[T], float]) -> list[T]:
    """The items that none beats: no other has as low a cost and as high a score and is better in one of them.

    Sorted by cost. Of items equal in both, all stay.
    """
    best, best_cost, kept = float("-inf"), float("-inf"), []
    for item in sorted(items, key=lambda i: (cost(i), -score(i))):
        if score(item) > best or (score(item) == best and cost(item) == best_cost):
            best, best_cost = score(item), cost(item)
            kept.append(item)
    return kept
