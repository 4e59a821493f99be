"""Successive halving: who is sent on, once, whoever ends first."""

from __future__ import annotations

from hypothesis import given, strategies as st

from scalesearch.searchers.halving import Scheduler, modelled_rung, next_promotion


@given(st.lists(st.floats(0, 1), min_size=3, max_size=40), st.integers(2, 4), st.integers(2, 4))
def test_halving_sends_on_the_best_share_once(scores, rungs, eta):
    entries = [(i, 0) for i in range(len(scores))]
    results = {entry: (value,) for entry, value in zip(entries, scores)}
    while (entry := next_promotion(entries, results, rungs, eta)) is not None:
        assert entry not in entries
        entries.append(entry)
        results[entry] = (scores[entry[0]],)
    for rung in range(1, rungs):
        there = [c for c, r in entries if r == rung]
        below = sorted((scores[c] for c, r in entries if r == rung - 1), reverse=True)
        assert len(there) == len(below) // eta
        assert all(scores[c] >= below[len(there) - 1] for c in there)


def test_failed_and_unknown_results_are_not_sent_on():
    entries = [(i, 0) for i in range(6)]
    results = {(0, 0): None, (1, 0): (0.9,), (2, 0): (0.1,), (3, 0): (0.2,)}
    assert next_promotion(entries, results, 2, 3) == (1, 0 + 1)
    assert next_promotion([*entries, (1, 1)], results, 2, 3) is None


def test_with_several_objectives_the_front_is_sent_on():
    entries = [(i, 0) for i in range(6)]
    points = [(0.9, -5.0), (0.5, -1.0), (0.4, -4.0), (0.3, -3.0), (0.2, -6.0), (0.1, -7.0)]
    results = dict(zip(entries, points))
    first = next_promotion(entries, results, 2, 3)
    assert {first[0], next_promotion([*entries, first], results, 2, 3)[0]} == {0, 1}


def test_searchers_learn_from_one_rung():
    results = {(i, 0): (0.1,) for i in range(12)} | {(i, 1): (0.5,) for i in range(4)}
    assert modelled_rung(results, 2, 10) == 0
    assert modelled_rung(results, 2, 4) == 1


def test_rungs_and_brackets():
    assert Scheduler("asha", 3, 1).rungs(9) == (1, 3, 9)
    assert Scheduler("asha", 3, 2).rungs(10) == (2, 6, 10)
    assert Scheduler().rungs(7) == (7,)
    firsts = [Scheduler("hyperband", 3).first_rung(i, 3) for i in range(17)]
    # Li et al. 2018, n = ⌈(s_max+1)/(s+1)·η^s⌉
    assert firsts.count(0) == 9
    assert firsts.count(1) == 5
    assert firsts.count(2) == 3
