"""Tables as problems for searchers: their rows by decisions that are columns, or as networks of a space."""

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
from scalesearch.errors import InputError, format_value, suggestion, unknown_message
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers.problem import Problem
from scalesearch.searchers.space_problem import SpaceProblem
from scalesearch.searchers.tables import Table, comparison_key, python_values
from scalesearch.space import Choice, Decision, Decisions, Space

SPARSE_SHARE = 0.5  # of all combinations of options; with fewer rows inside, neighbours are the nearest rows
NEAREST_ROWS = 24
# columns that count a network's size, of which more is mostly better
SIZE_COLUMNS = ("params", "parameters", "flops", "macs", "multadds", "mult_adds", "acts", "activations")
MAX_OPTIONS = 1_000  # values that a decision may have


class TabulatedProblem(Protocol):
    """A problem whose scores stand in a table.

    Attributes:
        score: The name of the column of scores.
    """

    score: str  # the column

    def measured_score(self, decisions: Decisions) -> float | None:
        """Returns the score of the row with these decisions; None if there is none."""


@dataclass
class TableProblem(Problem):
    """The rows of a table that are inside the bounds, by decisions that are columns.

    Rows of equal decisions are merged into their mean (`table.repetition_note` says so). Rows without a finite
    cost or number are outside.

    Attributes:
        table: The table.
        keys: The columns that are decisions.
        score: The column to be large.
        objectives: The columns to be small beside the score.
        numbers: Columns known of a network before any training, such as params and MACs.
        bounds: Bounds by column.
        same: A column whose equal values mean that rows are the same network; rows without a value are networks
            of their own.
        memory: A cache for searchers.

    Raises:
        InputError: Located at the argument that is wrong.
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
        table = self.table = self.table.merge_repetitions(self.keys, "decisions")
        self.objectives = tuple(self.objectives)
        self._decisions_of_row: dict[int, Decisions] = {}
        self._values = table.decisions(self.keys, "decisions")
        self._check_finite()
        self.decisions = {}
        for name, column in self._values.items():
            options = tuple(sorted(dict.fromkeys(column), key=lambda v: (str(type(v)), v)))
            if len(options) > MAX_OPTIONS:
                raise InputError(
                    f'column "{name}" has {len(options):,} values; a decision has at most {MAX_OPTIONS:,}', "decisions"
                )
            self.decisions[name] = Decision(name, Choice(options), ((name, ()),))
        self._scores = table.column(self.score, "score")
        self._costs = np.stack([table.column(n, "objective") for n in self.objectives], 1) if self.objectives else None
        self._features, inside_mask = self._read_features()
        if self._costs is not None:
            inside_mask &= np.isfinite(self._costs).all(1)
        for name, bound in self.bounds.items():
            quantity = table.column(name, f"budget.{name}")
            inside_mask &= (quantity >= bound.low) & (quantity <= bound.high)
        self.row_of: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(zip(*self._values.values())):
            self.row_of.setdefault(key, row)
        self._inside_mask = inside_mask
        self.rows = [row for row in self.row_of.values() if inside_mask[row]]
        if not self.rows:
            raise self._nothing_inside()
        self._network_names = self._row_names()

    def _check_finite(self) -> None:
        for name, column in self._values.items():
            if any(isinstance(v, float) and not math.isfinite(v) for v in column):
                raise InputError(f'column "{name}" of {self.table.path} has rows without a value', "decisions")

    def _read_features(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the features `(rows, numbers)`, and which rows have all of them.

        A column whose values are all positive is replaced by its logs.
        """
        complete, features = np.ones(len(self.table), dtype=bool), np.zeros((len(self.table), len(self.numbers)))
        for i, name in enumerate(self.numbers):
            column = self.table.column(name, "numbers")
            finite = np.isfinite(column)
            features[finite, i] = np.log(column[finite]) if (column[finite] > 0).all() else column[finite]
            complete &= finite
        return features, complete

    def _row_names(self) -> list[str]:
        """Returns the name of the network in every row."""
        if self.same is None:
            return [str(row) for row in range(len(self.table))]
        if self.same not in self.table.columns:
            raise InputError(unknown_message("column", self.same, self.table.columns), "same")
        cells = python_values(self.table.columns[self.same])
        return [f"row {row}" if cell is None or cell != cell else str(cell) for row, cell in enumerate(cells)]

    @cached_property
    def digest(self) -> str:
        """Returns 16 hex digits of all that a search depends on: the arguments and the columns used."""
        arguments = self.score, *self.objectives, *self.numbers, self.same, sorted(self.bounds.items())
        arrays = (array.tobytes() for array in (self._scores, self._features, self._inside_mask))
        parts = [repr(arguments).encode(), repr(self._values).encode(), *arrays, repr(self._network_names).encode()]
        costs = b"" if self._costs is None else self._costs.tobytes()
        return hashlib.sha256(b"".join([*parts, costs])).hexdigest()[:16]

    def _nothing_inside(self) -> InputError:
        for name, bound in self.bounds.items():
            column = self.table.column(name, f"budget.{name}")
            if not ((column >= bound.low) & (column <= bound.high)).any():
                closest = min(column, key=bound.excess)
                return InputError(
                    f"no row of {self.table.path} is inside; the nearest has {name}: {closest:,.6g}", f"budget.{name}"
                )
        finite_columns = ", ".join((*self.objectives, *self.numbers))
        finite_note = f" and has a finite number in {finite_columns}" if finite_columns else ""
        place = "budget" if self.bounds else "objective"
        return InputError(f"no row of {self.table.path} is inside all of the budget{finite_note}", place)

    def at_row(self, row: int) -> Decisions:
        """Returns the decisions of a row; the same object at every call."""
        if row not in self._decisions_of_row:
            self._decisions_of_row[row] = {name: column[row] for name, column in self._values.items()}
        return self._decisions_of_row[row]

    def row(self, decisions: Decisions) -> int | None:
        """Returns the row with these decisions; None if the table has none."""
        return self.row_of.get(tuple(decisions.get(name) for name in self._values))

    def check(self, decisions: Decisions) -> None:
        """Raises `InputError` for decisions that no row has."""
        super().check(decisions)
        if self.row(decisions) is None:
            raise InputError(f"no row of {self.table.path} has {format_value(decisions)}")

    @property
    def all_decisions(self) -> Iterator[Decisions]:
        """Returns an iterator over the decisions of all rows inside the bounds."""
        return map(self.at_row, self.rows)

    def draw(self, rng: Random) -> Decisions:
        return self.at_row(self.rows[int(rng.random() * len(self.rows))])

    @cached_property
    def sparse(self) -> bool:
        """Returns whether most combinations of options have no row, so that changing a decision leads nowhere."""
        return len(self.rows) < SPARSE_SHARE * math.prod(len(d.domain.options) for d in self.decisions.values())

    @cached_property
    def _codes(self) -> np.ndarray:
        """Returns the indices of the options `(rows inside, decisions)` of the rows inside the bounds."""
        codes = []
        for name, decision in self.decisions.items():
            index_of = {value: i for i, value in enumerate(decision.domain.options)}
            codes.append([index_of[self._values[name][row]] for row in self.rows])
        return np.array(codes, dtype=np.int16).T

    def _by_distance(self, decisions: Decisions) -> np.ndarray:
        """Returns indices into `rows`, those that differ in the fewest decisions first, without the row itself."""
        own_codes = np.array([d.domain.options.index(decisions[name]) for name, d in self.decisions.items()])
        distances = (self._codes != own_codes).sum(1)
        return np.argsort(distances, kind="stable")[int(distances.min() == 0) :]

    def mutate(self, decisions: Decisions, rng: Random) -> Decisions:
        if self.sparse and len(self.rows) > 1:  # mostly near rows, now and then a distant one, since near ones run out
            places = self._by_distance(decisions)
            return self.at_row(self.rows[places[min(int(4 * rng.paretovariate(1)) - 4, len(places) - 1)]])
        name = rng.choice([n for n, d in self.decisions.items() if len(d.domain.options) > 1])
        other_options = [v for v in self.decisions[name].domain.options if v != decisions[name]]
        return {**decisions, name: rng.choice(other_options)}

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
        if self.sparse:
            yield from (self.at_row(self.rows[i]) for i in self._by_distance(decisions)[:NEAREST_ROWS])
            return
        for name, decision in self.decisions.items():
            yield from ({**decisions, name: v} for v in decision.domain.options if v != decisions[name])

    def identity(self, decisions: Decisions) -> str | None:
        row = self.row(decisions)
        return self._network_names[row] if row is not None and self._inside_mask[row] else None

    def costs(self, decisions: Decisions) -> tuple[float, ...]:
        """Returns the row's costs, each to be small; infinite if the table has no such row."""
        row = self.row(decisions)
        if self._costs is None:
            return ()
        return (math.inf,) * len(self.objectives) if row is None else tuple(self._costs[row].tolist())

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        row = self.row(decisions)
        return tuple(self._features[row].tolist()) if row is not None else (0.0,) * self._features.shape[1]

    def sizes(self, decisions: Decisions) -> tuple[float, ...]:
        """Returns those of the row's `numbers` whose column is called like a count of a network's size."""
        features = self.features(decisions)
        return tuple(features[i] for i, name in enumerate(self.numbers) if name.casefold() in SIZE_COLUMNS)

    def measured_score(self, decisions: Decisions) -> float | None:
        """Returns the score of the row with these decisions; None if there is no such row or no finite score."""
        row = self.row(decisions)
        score = self._scores[row] if row is not None else math.nan
        return float(score) if math.isfinite(score) else None


class SpaceTableProblem(SpaceProblem):
    """The networks of a space whose scores stand in a table with a column for each decision.

    Args:
        space: The space of networks.
        table: A table with a column for every decision of the space.
        score: The column of scores.
        budget: The bounds on counted quantities.
        objectives: Counted quantities to be small beside the score.

    Raises:
        InputError: If the table lacks a column.
    """

    def __init__(self, space: Space, table: Table, score: str, budget: Budget, objectives: Sequence[str] = ()):
        super().__init__(space, budget, objectives)
        missing = next((name for name in space.decisions if name not in table.columns), None)
        if missing:
            existing = f"has {', '.join(table.columns)}.{suggestion(missing, table.columns)}"
            raise InputError(f'lacks a column for the decision "{missing}"; {existing}', "table.file")
        table = table.merge_repetitions(list(space.decisions), "table.file")
        columns = table.decisions(list(space.decisions), "table.file")
        self.table, self.score = table, score
        self._rows: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(zip(*columns.values(), strict=True)):
            self._rows.setdefault(tuple(map(comparison_key, key)), row)
        self._scores = table.column(score, "table.score")

    @property
    def digest(self) -> str:
        """Returns 16 hex digits of the space's problem, the table's decisions and its scores."""
        table = repr(list(self._rows)).encode() + self._scores.tobytes()
        return hashlib.sha256(super().digest.encode() + table).hexdigest()[:16]

    def row(self, decisions: PlainMapping) -> int:
        """Returns the row of the network. Raises `KeyError` if the table lacks it."""
        key = tuple(comparison_key(decisions.get(name)) for name in self.decisions)
        if key not in self._rows:
            raise KeyError(f"no row of {self.table.path} has {format_value(dict(decisions))}")
        return self._rows[key]

    def measured_score(self, decisions: Decisions) -> float:
        """Returns the score of the network. Raises `KeyError` if the table lacks it."""
        return float(self._scores[self.row(decisions)])
