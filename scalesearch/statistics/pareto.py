"""Pareto fronts: which points are not dominated, how much they dominate, and how sure that is."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

import numpy as np

T = TypeVar("T")
Values = Sequence[float] | np.ndarray  # all to be maximised
Points = Sequence[Values] | np.ndarray


def front(items: Iterable[T], cost: Callable[[T], float], score: Callable[[T], float]) -> list[T]:
    """Returns the items that no other dominates, sorted by cost.

    An item is dominated if another has no higher cost and no lower score, and is better in one of them. Of items
    equal in both, all stay.
    """
    best, best_cost, on_front = float("-inf"), float("-inf"), []
    for item in sorted(items, key=lambda i: (cost(i), -score(i))):
        if score(item) > best or (score(item) == best and cost(item) == best_cost):
            best, best_cost = score(item), cost(item)
            on_front.append(item)
    return on_front


def ranks(points: Points) -> list[int]:
    """Returns the number of the Pareto front on which each point lies (non-dominated sorting, Deb et al. 2002).

    Fronts are peeled off one by one; the first is 0; all values are to be maximised.
    """
    if not len(points):
        return []
    values, inverse = np.unique(-np.asarray(points, dtype=float).reshape(len(points), -1), axis=0, return_inverse=True)
    fronts = _ranks_of_two(values) if values.shape[1] == 2 else _ranks_of_many(values)
    return cast(list[int], fronts[inverse.reshape(-1)].tolist())


def _ranks_of_two(values: np.ndarray) -> np.ndarray:
    """Returns the front numbers of sorted distinct points with two values to be minimised.

    A front dominates a point where its lowest second value is at most that of the point.
    """
    lowest: list[float] = []  # of each front so far; they increase
    numbers = np.zeros(len(values), dtype=int)
    for i, second in enumerate(values[:, 1].tolist()):
        numbers[i] = rank = bisect_right(lowest, second)
        lowest[rank : rank + 1] = [second]
    return numbers


def _ranks_of_many(values: np.ndarray) -> np.ndarray:
    beats = np.ones((len(values), len(values)), dtype=bool)
    for column in values.T:
        beats &= column[:, None] <= column
    np.fill_diagonal(beats, False)
    numbers, n_better, rank = np.full(len(values), -1), beats.sum(0), 0
    while (is_first := (n_better == 0) & (numbers < 0)).any():
        numbers[is_first] = rank
        n_better -= beats[is_first].sum(0)
        rank += 1
    return numbers


def crowding(points: Points) -> list[float]:
    """Returns the crowding distance of each point (Deb et al. 2002), in shares of the range; infinite at the ends."""
    values = np.asarray(points, dtype=float).reshape(len(points), -1)
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        distances[order[[0, -1]]] = math.inf
        if len(values) > 2 and (width := column[order[-1]] - column[order[0]]) > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return distances.tolist()


def sort_keys(points: Points) -> list[tuple[float, float]]:
    """Returns keys by which points sort from worst to best: by front, then by crowding distance (NSGA-II).

    Points with one value sort by that value.
    """
    if not points:
        return []
    if len(points[0]) == 1:
        return [(value, 0.0) for (value,) in points]
    rank = ranks(points)
    distances = [0.0] * len(points)
    for r in set(rank):
        members = [i for i, other in enumerate(rank) if other == r]
        for i, value in zip(members, crowding([points[i] for i in members])):
            distances[i] = value
    return [(-float(r), value) for r, value in zip(rank, distances)]


def hypervolume(points: Points, reference: Values) -> float:
    """Returns the exact volume between `reference` and the points that exceed it in every value.

    All values are to be maximised. The volume is the sum of what each point adds to those after it (While et al.
    2012).
    """
    if not len(points):
        return 0.0
    values, low = np.asarray(points, dtype=float), np.asarray(reference, dtype=float)
    values = nondominated(values[(values > low).all(1)])
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
    """Returns the hypervolume that `point` adds to that of `others`."""
    corner, low = np.asarray(point, dtype=float), np.asarray(reference, dtype=float)
    if (corner <= low).any():
        return 0.0
    covered = hypervolume(np.minimum(np.asarray(others), corner), low) if len(others) else 0.0
    return float(np.prod(corner - low)) - covered


def nondominated(values: np.ndarray) -> np.ndarray:
    """Returns the distinct rows that no other dominates; all values are to be maximised."""
    remaining, rows = values[np.argsort(-values.sum(1), kind="stable")], []
    while len(remaining):
        rows.append(remaining[0])
        remaining = remaining[~(remaining <= remaining[0]).all(1)]
    return np.array(rows).reshape(-1, values.shape[1])


def volumes(points: Sequence[Values | None], reference: Values) -> list[float]:
    """Returns the hypervolume after each of the points in turn; a point that is None adds nothing."""
    front, volume, history = np.empty((0, len(reference))), 0.0, []
    for point in points:
        if point is not None and not (front >= np.asarray(point)).all(1).any():
            volume += added_volume(point, front, reference)
            front = nondominated(np.vstack([front, point]))
        history.append(volume)
    return history


def front_probability(
    costs: Mapping[str, float],
    means: Mapping[str, float],
    errors: Mapping[str, float | None],
    draws: int = 4000,
    seed: int = 0,
) -> dict[str, float]:
    """Returns for each item the probability that it is on the front of cost and score.

    Scores are drawn from normal distributions; the probability is the share of `draws` in which the item is on
    the front. Nothing is returned where an error is unknown, since each item's place depends on all.

    Args:
        costs: Cost by item; known exactly.
        means: Mean score by item.
        errors: Standard error of the mean by item; None where it is unknown.
        draws: The number of draws.
        seed: Seed of the draws.
    """
    if None in errors.values():
        return {}
    names = sorted(means, key=lambda name: (costs[name], name))
    rng = np.random.default_rng(seed)
    samples = rng.normal([means[n] for n in names], [cast(float, errors[n]) for n in names], (draws, len(names)))
    # items that cost no more than this one, itself included: items of equal cost compete
    n_no_dearer = [sum(costs[other] <= costs[name] for other in names) for name in names]
    probabilities = {}
    for i, name in enumerate(names):
        competitors = np.delete(samples[:, : n_no_dearer[i]], i, axis=1)
        probabilities[name] = float((samples[:, i] >= competitors.max(1)).mean()) if competitors.shape[1] else 1.0
    return probabilities
