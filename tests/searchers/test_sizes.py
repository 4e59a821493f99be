"""The belief that larger networks are better: it helps where it is so, and is given up where it isn't."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random
from statistics import mean

import numpy as np
import pytest

from scalesearch.budget import Budget
from scalesearch.searchers.problem import Past
from scalesearch.searchers.proposal import ask
from scalesearch.searchers.space_problem import SpaceProblem
from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import Table
from scalesearch.searchers.view import View
from scalesearch.space.schema import space_from_dict

SEEDS = 16
ROWS = np.array(list(product(range(4), repeat=5)))
# what each option of each decision costs, and a part of the score that the size doesn't tell
MACS = 1e6 * (1 + ROWS @ [1, 2, 1, 3, 1] + (ROWS == 3).sum(1))
TWISTS = np.random.default_rng(0).normal(0, 1, (5, 4))
OTHER = sum(TWISTS[i, ROWS[:, i]] for i in range(5))


def problem(sign: float, column: str) -> TableProblem:
    """A table in which the score rises (or falls) with the MACs; its column of them may be called otherwise."""
    size = np.log(MACS)
    score = sign * 1.5 * (size - size.mean()) / size.std() + 0.4 * OTHER
    columns = {f"d{i}": ROWS[:, i] for i in range(5)} | {"score": score, column: MACS}
    return TableProblem(Table(Path("t"), columns), [f"d{i}" for i in range(5)], "score", numbers=[column])


def found(sign: float, column: str, queries: list[int]) -> list[float]:
    """The best score after so many queries, a mean over seeds."""
    table, best = problem(sign, column), []
    for seed in range(SEEDS):
        table.memory.clear()
        results, seen = [], set()
        for number in range(max(queries)):
            asked = ask(table, "predictor", Past(results), Random(f"{seed}-{number}"), seen)
            seen.add(asked.identity)
            results.append((asked.decisions, table.measured_score(asked.decisions)))
        best.append([max(score for _, score in results[:count]) for count in queries])
    return [mean(column) for column in zip(*best)]


def test_where_larger_networks_are_better_the_first_dozen_queries_find_more():
    for with_belief, without in zip(found(1, "macs", [6, 12]), found(1, "unknown", [6, 12])):
        assert with_belief > without + 0.3


def test_where_smaller_networks_are_better_it_costs_two_queries_at_most():
    misled, without = found(-1, "macs", [14, 18, 26]), found(-1, "unknown", [12, 16, 24])
    assert all(a >= b - 0.05 for a, b in zip(misled, without)), (misled, without)


@pytest.mark.parametrize("name", ["params", "FLOPs", "MACs"])
def test_a_tables_sizes_are_known_by_their_names(name):
    table = problem(1, name)
    assert len(table.sizes(table.at_row(0))) == 1
    assert problem(1, "latency").sizes(table.at_row(0)) == ()


def test_sizes_of_a_space_are_counted_and_those_of_networks_outside_the_pool_have_a_place_too():
    space = space_from_dict(
        {
            "name": "s",
            "resolution": 16,
            "classes": 4,
            "stem": {"conv": {"width": 8}},
            "stages": [{"depth": {"range": [1, 8]}, "conv": {"width": {"range": [8, 256]}}}],
            "head": {"classifier": {}},
        }
    )
    view = View(SpaceProblem(space, Budget()))
    assert view.has_sizes
    sizes = view.encoded_pool.sizes
    assert abs(sizes.mean()) < 0.1
    assert sizes.max() == pytest.approx(1.28)
    depth, width = (f"stages.0.{name}" for name in ("depth", "conv.width"))
    small, large = view.encode_list([{depth: 1, width: 8}, {depth: 8, width: 256}]).sizes
    assert small < -2
    assert large == pytest.approx(1.28)
