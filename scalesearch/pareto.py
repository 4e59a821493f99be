"""Pareto fronts: which points nothing beats, how much they dominate, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Values = Sequence[float]  # all to be maximised


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


def ranks(points: Sequence[Values]) -> list[int]:
    """The number of the front that each point lies on when fronts are peeled off one by one (Deb et al. 2002); 0 is the first."""
    values = np.asarray(points, dtype=float).reshape(len(points), -1)
    found, left, rank = np.zeros(len(values), dtype=int), np.arange(len(values)), 0
    while len(left):
        here = values[left]
        as_good = (here[:, None] >= here[None]).all(2)
        better = as_good & (here[:, None] > here[None]).any(2)
        first = ~better.any(0)
        found[left[first]] = rank
        left, rank = left[~first], rank + 1
    return found.tolist()


def crowding(points: Sequence[Values]) -> list[float]:
    """How far each point's neighbours lie apart, in shares of the range; infinite at the ends (Deb et al. 2002)."""
    values = np.asarray(points, dtype=float).reshape(len(points), -1)
    found = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        found[order[[0, -1]]] = math.inf
        if len(values) > 2 and (width := column[order[-1]] - column[order[0]]) > 0:
            found[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return found.tolist()


def standing(points: Sequence[Values]) -> list[tuple[float, float]]:
    """What points are to be sorted by: the front first, then room around. One value alone is sorted by itself."""
    if not points:
        return []
    if len(points[0]) == 1:
        return [(value, 0.0) for (value,) in points]
    rank = ranks(points)
    room = [0.0] * len(points)
    for r in set(rank):
        members = [i for i, other in enumerate(rank) if other == r]
        for i, value in zip(members, crowding([points[i] for i in members])):
            room[i] = value
    return [(-float(r), value) for r, value in zip(rank, room)]


def hypervolume(points: Sequence[Values], reference: Values) -> float:
    """The volume between `reference` and the points above it in every value, exactly, by slices along the last value."""
    above = np.asarray([p for p in points if all(v > r for v, r in zip(p, reference))], dtype=float)
    if not len(above):
        return 0.0
    if len(reference) == 1:
        return float(above[:, 0].max() - reference[0])
    above = above[np.argsort(-above[:, -1], kind="stable")]
    if len(reference) == 2:
        reach = np.maximum.accumulate(above[:, 0]) - reference[0]
        depth = above[:, 1] - np.append(above[1:, 1], reference[1])
        return float((reach * depth).sum())
    levels = np.append(above[:, -1], reference[-1])
    slices = ((i + 1, levels[i] - levels[i + 1]) for i in range(len(above)))
    return sum(depth * hypervolume(above[:upto, :-1], reference[:-1]) for upto, depth in slices if depth > 0)


def front_probability(costs: Mapping[str, float], means: Mapping[str, float], errors: Mapping[str, float], draws: int = 4000,
                      seed: int = 0) -> dict[str, float]:
    """For each item the probability of being on the front of cost and score, its score being normal about its mean with its
    standard error: the share of `draws` in which it is."""
    names = sorted(means, key=lambda name: (costs[name], name))
    rng = np.random.default_rng(seed)
    drawn = rng.normal([means[n] for n in names], [errors[n] for n in names], (draws, len(names)))
    # what costs no more than the item, itself apart: items of one cost stand in each other's way
    upto = [sum(costs[other] <= costs[name] for other in names) for name in names]
    found = {}
    for i, name in enumerate(names):
        others = np.delete(drawn[:, : upto[i]], i, axis=1)
        found[name] = float((drawn[:, i] >= others.max(1)).mean()) if others.shape[1] else 1.0
    return found
