"""Rows of a table as searchers see them: by decisions that are columns, or as the networks of a space."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Protocol

import numpy as np

from scalesearch.budget import Bound, Budget
from scalesearch.errors import InputError, nearest, shown, unknown
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers.problem import Problem
from scalesearch.searchers.space_problem import SpaceProblem
from scalesearch.searchers.tables import Table, comparable, plain
from scalesearch.space import Choice, Decision, Decisions, Space

SPARSE = 0.5  # of all ways to decide; with fewer rows, neighbours are the nearest rows
NEAREST = 24
MOST_OPTIONS = 1_000  # values of a decision


class RowsProblem(Protocol):
    """A problem whose scores stand in a table."""

    score: str  # the column

    def measured(self, decisions: Decisions) -> float | None: ...


@dataclass
class TableProblem(Problem):
    """A table as searchers see it: its decisions, and the rows that are inside the bounds.

    `score` names the column to be large, `objectives` those to be small beside it. `numbers` are columns that are known
    of a network before any training, such as params and MACs. Rows of equal decisions are taken together, as their mean
    (`table.repetitions` says so); of those that differ, rows of equal `same` are one network; those that lack it
    stand for themselves. Rows without a finite cost or number are outside. Raises `InputError`, placed at the argument
    that is wrong.
    """

    table: Table
    keys: Sequence[str]
    score: str
    objectives: tuple[str, ...] = ()
    numbers: Sequence[str] = ()
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    same: str | None = None
    memory: PlainDict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        table = self.table = self.table.by_network(self.keys, "decisions")
        self.objectives = tuple(self.objectives)
        self._values = table.decisions(self.keys, "decisions")
        self._check_finite()
        self.decisions = {}
        for name, column in self._values.items():
            options = tuple(sorted(dict.fromkeys(column), key=lambda v: (str(type(v)), v)))
            if len(options) > MOST_OPTIONS:
                raise InputError(
                    f'column "{name}" has {len(options):,} values; a decision has at most {MOST_OPTIONS:,}', "decisions"
                )
            self.decisions[name] = Decision(name, Choice(options), ((name, ()),))
        self._scores = table.column(self.score, "score")
        self._costs = np.stack([table.column(n, "objective") for n in self.objectives], 1) if self.objectives else None
        self._features, inside = self._known()
        if self._costs is not None:
            inside &= np.isfinite(self._costs).all(1)
        for name, bound in self.bounds.items():
            counted = table.column(name, f"budget.{name}")
            inside &= (counted >= bound.low) & (counted <= bound.high)
        self.row_of: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(zip(*self._values.values())):
            self.row_of.setdefault(key, row)
        self._inside = inside
        self.rows = [row for row in self.row_of.values() if inside[row]]
        if not self.rows:
            raise self._nothing()
        self._named = self._names()

    def _check_finite(self) -> None:
        for name, column in self._values.items():
            if any(isinstance(v, float) and not math.isfinite(v) for v in column):
                raise InputError(f'column "{name}" of {self.table.path} has rows without a value', "decisions")

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Logs of positive columns of numbers, others as they are; and the rows that have them all."""
        known, found = np.ones(len(self.table), dtype=bool), np.zeros((len(self.table), len(self.numbers)))
        for i, name in enumerate(self.numbers):
            column = self.table.column(name, "numbers")
            finite = np.isfinite(column)
            found[finite, i] = np.log(column[finite]) if (column[finite] > 0).all() else column[finite]
            known &= finite
        return found, known

    def _names(self) -> list[str]:
        """Of the network in every row."""
        if self.same is None:
            return [str(row) for row in range(len(self.table))]
        if self.same not in self.table.columns:
            raise InputError(unknown("column", self.same, self.table.columns), "same")
        cells = plain(self.table.columns[self.same])
        return [f"row {row}" if cell is None or cell != cell else str(cell) for row, cell in enumerate(cells)]

    @cached_property
    def digest(self) -> str:
        """Of everything that a search of it hangs on."""
        asked = self.score, *self.objectives, *self.numbers, self.same, sorted(self.bounds.items())
        said = hashlib.sha256(repr(asked).encode())
        for part in (
            repr(self._values).encode(),
            self._scores,
            self._features,
            self._inside,
            repr(self._named).encode(),
        ):
            said.update(np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else part)
        if self._costs is not None:
            said.update(np.ascontiguousarray(self._costs).tobytes())
        return said.hexdigest()[:16]

    def _nothing(self) -> InputError:
        for name, bound in self.bounds.items():
            column = self.table.column(name, f"budget.{name}")
            if not ((column >= bound.low) & (column <= bound.high)).any():
                nearest = min(column, key=bound.excess)
                return InputError(
                    f"no row of {self.table.path} is inside; the nearest has {name}: {nearest:,.6g}", f"budget.{name}"
                )
        finite = ", ".join((*self.objectives, *self.numbers))
        lacking = f" and has a finite number in {finite}" if finite else ""
        place = "budget" if self.bounds else "objective"
        return InputError(f"no row of {self.table.path} is inside all of the budget{lacking}", place)

    @cached_property
    def _decisions_of_row(self) -> dict[int, Decisions]:
        return {}

    def at_row(self, row: int) -> Decisions:
        if row not in self._decisions_of_row:
            self._decisions_of_row[row] = {name: column[row] for name, column in self._values.items()}
        return self._decisions_of_row[row]

    def row(self, decisions: Decisions) -> int | None:
        """The row of decisions; None where the table has none."""
        return self.row_of.get(tuple(decisions.get(name) for name in self._values))

    # As searchers see it.

    def check(self, decisions: Decisions) -> None:
        super().check(decisions)
        if self.row(decisions) is None:
            raise InputError(f"no row of {self.table.path} has {shown(decisions)}")

    @property
    def listed(self) -> Iterator[Decisions]:
        return map(self.at_row, self.rows)

    def draw(self, rng: Random) -> Decisions:
        return self.at_row(self.rows[int(rng.random() * len(self.rows))])

    @cached_property
    def sparse(self) -> bool:
        """Whether most ways to decide are no rows, so that a decision changed leads nowhere."""
        return len(self.rows) < SPARSE * math.prod(len(d.domain.options) for d in self.decisions.values())

    @cached_property
    def _codes(self) -> np.ndarray:
        """The rows inside as numbers of options."""
        numbers = [{value: i for i, value in enumerate(d.domain.options)} for d in self.decisions.values()]
        columns = [[number[column[row]] for row in self.rows] for number, column in zip(numbers, self._values.values())]
        return np.array(columns, dtype=np.int16).T

    def _by_distance(self, decisions: Decisions) -> np.ndarray:
        """Places among the rows inside, those that differ in the fewest decisions first, but for the row itself."""
        here = np.array([d.domain.options.index(decisions[name]) for name, d in self.decisions.items()])
        apart = (self._codes != here).sum(1)
        return np.argsort(apart, kind="stable")[int(apart.min() == 0) :]

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        if self.sparse and len(self.rows) > 1:  # near ones mostly, and now and then one far off: near ones run out
            places = self._by_distance(decisions)
            return self.at_row(self.rows[places[min(int(4 * rng.paretovariate(1)) - 4, len(places) - 1)]])
        name = rng.choice([n for n, d in self.decisions.items() if len(d.domain.options) > 1])
        others = [v for v in self.decisions[name].domain.options if v != decisions[name]]
        return {**decisions, name: rng.choice(others)}

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        if self.sparse:
            yield from (self.at_row(self.rows[i]) for i in self._by_distance(decisions)[:NEAREST])
            return
        for name, decision in self.decisions.items():
            yield from ({**decisions, name: v} for v in decision.domain.options if v != decisions[name])

    def identity(self, decisions: Decisions) -> str | None:
        row = self.row(decisions)
        if row is None or not self._inside[row]:
            return None
        return self._named[row]

    def inside(self, decisions: Decisions) -> bool:
        row = self.row(decisions)
        return row is not None and bool(self._inside[row])

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        row = self.row(decisions)
        if self._costs is None:
            return ()
        return (math.inf,) * len(self.objectives) if row is None else tuple(self._costs[row].tolist())

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        row = self.row(decisions)
        return tuple(self._features[row].tolist()) if row is not None else (0.0,) * self._features.shape[1]

    def measured(self, decisions: Decisions) -> float | None:
        """The score of decisions; None where the table has no such row or no finite score in it."""
        row = self.row(decisions)
        score = self._scores[row] if row is not None else math.nan
        return float(score) if math.isfinite(score) else None


class SpaceTableProblem(SpaceProblem):
    """Networks of a space whose scores stand in a table with a column for each decision."""

    def __init__(self, space: Space, table: Table, score: str, budget: Budget, objectives: Sequence[str] = ()):
        super().__init__(space, budget, objectives)
        missing = next((name for name in space.decisions if name not in table.columns), None)
        if missing:
            there = f"has {', '.join(table.columns)}.{nearest(missing, table.columns)}"
            raise InputError(f'lacks a column for the decision "{missing}"; {there}', "table.file")
        table = table.by_network(list(space.decisions), "table.file")
        columns = table.decisions(list(space.decisions), "table.file")
        self.table, self.score = table, score
        self._rows: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(zip(*columns.values(), strict=True)):
            self._rows.setdefault(tuple(map(comparable, key)), row)
        self._scores = table.column(score, "table.score")

    @property
    def digest(self) -> str:
        table = repr(list(self._rows)).encode() + self._scores.tobytes()
        return hashlib.sha256(super().digest.encode() + table).hexdigest()[:16]

    def row(self, decisions: PlainMapping) -> int:
        """Raises `KeyError` where the table lacks the network."""
        key = tuple(comparable(decisions.get(name)) for name in self.decisions)
        if key not in self._rows:
            raise KeyError(f"no row of {self.table.path} has {shown(dict(decisions))}")
        return self._rows[key]

    def measured(self, decisions: Decisions) -> float:
        return float(self._scores[self.row(decisions)])
