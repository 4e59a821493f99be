"""Fronts, hypervolumes, correlations and intervals against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from scalesearch.statistics.correlations import correlation, interval, spearman, standard_error
from scalesearch.statistics.pareto import crowding, front, front_probability, hypervolume, ranks, volumes

points = st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=10)


@given(points)
def test_hypervolume_is_the_share_of_cells_that_are_dominated(items):
    cells = sum(any(all(c < v for c, v in zip(cell, item)) for item in items) for cell in np.ndindex(6, 6, 6))
    assert hypervolume(items, (0, 0, 0)) == pytest.approx(cells)


@given(points, st.integers(1, 3))
def test_volumes_grow_to_the_whole(items, values):
    items = [item[:values] for item in items]
    found = volumes([None, *items], (0,) * values)
    assert found == [0.0, *(pytest.approx(hypervolume(items[: i + 1], (0,) * values)) for i in range(len(items)))]


def test_volumes_of_four_objectives_take_no_minutes():
    rng = np.random.default_rng(0)
    assert sorted(found := volumes(list(rng.normal(size=(200, 4))), (-4,) * 4)) == found


@given(points)
def test_ranks_of_two_values(items):
    test_ranks_peel_fronts_off.hypothesis.inner_test([item[:2] for item in items])


@given(points)
def test_ranks_peel_fronts_off(items):
    rank = ranks(items)

    def beats(a, b):
        return all(x >= y for x, y in zip(a, b)) and a != b

    for i, item in enumerate(items):
        above = [rank[j] for j, other in enumerate(items) if beats(other, item)]
        assert rank[i] == (max(above) + 1 if above else 0)
    assert len(crowding(items)) == len(items)


def test_probability_of_being_on_the_front():
    costs, means = {"a": 1, "b": 2, "c": 3}, {"a": 0.5, "b": 0.5, "c": 0.9}
    sure = front_probability(costs, means, {"a": 1e-9, "b": 1e-9, "c": 1e-9})
    assert sure["a"] == 1.0
    assert sure["c"] == 1.0
    assert 0.4 < sure["b"] < 0.6
    unsure = front_probability(costs, means, {"a": 0.1, "b": 0.1, "c": 1.0})
    assert unsure["a"] == 1.0
    assert 0.4 < unsure["b"] < 0.6
    assert 0.5 < unsure["c"] < 0.8


def test_correlations_and_intervals_are_the_textbooks():
    from scipy import stats

    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30)
    found = correlation(list(x), list(y))
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low < found.value < found.high
    assert correlation([1, 2, 3], [1, 2, 3]).value is None
    assert spearman([1, 1], [1, 2]) == 0
    values = [0.9, 0.91, 0.94]
    assert interval(values) == pytest.approx(
        stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))[1] - np.mean(values)
    )
    assert interval([0.5]) is None
    assert standard_error([0.5], 100) == pytest.approx(0.05)


def pairs(n):
    return st.lists(st.tuples(st.integers(0, n), st.integers(0, n)), min_size=1, max_size=12)


@given(pairs(6))
def test_front_is_what_nothing_beats(items):
    kept = front(items, lambda p: p[0], lambda p: p[1])
    beaten = [p for p in items if any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in items)]
    assert sorted(kept) == sorted(p for p in items if p not in beaten)


def test_an_unknown_error_gives_no_probability_and_parts_add_up():
    assert front_probability({"a": 1, "b": 2}, {"a": 0.5, "b": 0.9}, {"a": 0.1, "b": None}) == {}
    assert standard_error([0.3], None) is None
    assert standard_error([0.3], None, 0.02) == pytest.approx(0.02)
    assert standard_error([0.2, 0.4], None) == pytest.approx(0.1)
    assert standard_error([0.2, 0.4], None, 0.02) == pytest.approx((0.1**2 + 0.02**2) ** 0.5)
