"""A small table with interactions, as a file and as a problem."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import read_table


def score(row: tuple) -> float:
    """A landscape with interactions, its optimum at (3, 3, 3, 0)."""
    a, b, c, d = row
    return a + b + c - abs(a - b) - 0.5 * abs(b - c) - d * 0.3 + (a == b == c == 3)


def write_table(path: Path) -> Path:
    rows = np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
    np.savez(
        path, ops=rows, acc=[score(tuple(r)) for r in rows], flops=10 + rows.sum(1), noise=np.full(len(rows), np.nan)
    )
    return path


def problem(table, **options):
    return TableProblem(read_table(table), ["ops"], "acc", **{"numbers": ["flops"], **options})
