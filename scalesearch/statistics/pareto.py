"""Pareto fronts: which points nothing beats, how much they dominate, and how sure that is."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Values = Sequence[float] | np.ndarray  # all to be maximised
Points = Sequence[Values] | np.ndarray


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


def ranks(points: Points) -> list[int]:
    """The number of the front that each point lies on when fronts are peeled off one by one (Deb et al. 2002); 0 is the
    first."""
    if not len(points):
        return []
    values, copies = np.unique(-np.asarray(points, dtype=float).reshape(len(points), -1), axis=0, return_inverse=True)
    found = _ranks_of_two(values) if values.shape[1] == 2 else _ranks_of_many(values)
    return found[copies.reshape(-1)].tolist()


def _ranks_of_two(values: np.ndarray) -> np.ndarray:
    """Of sorted distinct points to be minimised: a front stands before a point where its lowest second value does."""
    lowest: list[float] = []  # of each front so far; they increase
    found = np.zeros(len(values), dtype=int)
    for i, second in enumerate(values[:, 1].tolist()):
        found[i] = rank = bisect_right(lowest, second)
        lowest[rank : rank + 1] = [second]
    return found


def _ranks_of_many(values: np.ndarray) -> np.ndarray:
    beats = np.ones((len(values), len(values)), dtype=bool)
    for column in values.T:
        beats &= column[:, None] <= column
    np.fill_diagonal(beats, False)
    found, beaten, rank = np.full(len(values), -1), beats.sum(0), 0
    while (first := (beaten == 0) & (found < 0)).any():
        found[first] = rank
        beaten -= beats[first].sum(0)
        rank += 1
    return found


def crowding(points: Points) -> list[float]:
    """How far each point's neighbours lie apart, in shares of the range; infinite at the ends (Deb et al. 2002)."""
    values = np.asarray(points, dtype=float).reshape(len(points), -1)
    found = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        found[order[[0, -1]]] = math.inf
        if len(values) > 2 and (width := column[order[-1]] - column[order[0]]) > 0:
            found[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return found.tolist()


def sort_keys(points: Points) -> list[tuple[float, float]]:
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


def hypervolume(points: Points, reference: Values) -> float:
    """The volume between `reference` and the points above it in every value, exactly: the sum of what each adds to
    those after it (While et al. 2012)."""
    if not len(points):
        return 0.0
    values, low = np.asarray(points, dtype=float), np.asarray(reference, dtype=float)
    values = undominated(values[(values > low).all(1)])
    if not len(values):
        return 0.0
    if len(low) == 1:
        return float(values.max() - low[0])
    values = values[np.argsort(-values[:, -1], kind="stable")]
    if len(low) == 2:
        width = np.diff(values[:, 0], prepend=low[0])  # down the second value, up the first
        return float(width @ (values[:, 1] - low[1]))
    return sum((added_volume(point, values[i + 1 :], low) for i, point in enumerate(values)), 0.0)


def added_volume(point: Values, others: Points, reference: Values) -> float:
    """The hypervolume that `point` adds to that of `others`."""
    at, low = np.asarray(point, dtype=float), np.asarray(reference, dtype=float)
    if (at <= low).any():
        return 0.0
    return float(np.prod(at - low)) - (hypervolume(np.minimum(np.asarray(others), at), low) if len(others) else 0.0)


def undominated(values: np.ndarray) -> np.ndarray:
    """The distinct rows that no other beats."""
    left, kept = values[np.argsort(-values.sum(1), kind="stable")], []
    while len(left):
        kept.append(left[0])
        left = left[~(left <= left[0]).all(1)]
    return np.array(kept).reshape(-1, values.shape[1])


def volumes(points: Sequence[Values | None], reference: Values) -> list[float]:
    """The hypervolume after each of the points; None is no point."""
    front, so_far, found = np.empty((0, len(reference))), 0.0, []
    for point in points:
        if point is not None and not (front >= np.asarray(point)).all(1).any():
            so_far += added_volume(point, front, reference)
            front = undominated(np.vstack([front, point]))
        found.append(so_far)
    return found


def front_probability(
    costs: Mapping[str, float],
    means: Mapping[str, float],
    errors: Mapping[str, float],
    draws: int = 4000,
    seed: int = 0,
) -> dict[str, float]:
    """For each item the probability of being on the front of cost and score, its score being normal about its mean with
    its standard error: the share of `draws` in which it is."""
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
