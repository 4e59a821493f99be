"""A published table as the objective of a search: networks that others trained, each a row keyed by its decisions.

Tables are read from .npz, .csv and .parquet. A column is a CSV column or an array with one entry per row; an array with several
entries per row is so many columns, `ops.0`, `ops.1`, ….
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from scalesearch import yamlfile
from scalesearch.budget import Bound
from scalesearch.space import Decision, Decisions
from scalesearch.space import Choice
from scalesearch.errors import InputError, shown, unknown

MOST_BYTES = 2 * 2**30
KINDS = (".npz", ".csv", ".parquet")
MOST_OPTIONS = 1_000  # values of a decision


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name."""

    path: Path
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str, place: str) -> np.ndarray:
        """A column of numbers; one of several entries per row is their mean. Raises `InputError` where there is none."""
        if name not in self.columns:
            raise InputError(unknown("column", name, self.columns), place)
        values = self.columns[name]
        if values.dtype.kind not in "biuf":
            raise InputError(f'column "{name}" of {self.path} holds no numbers', place)
        return values.astype(float).reshape(len(values), -1).mean(1)

    def decisions(self, names: Sequence[str], place: str) -> dict[str, list]:
        """Per decision its value in every row; an array with several entries per row is several decisions."""
        found: dict[str, list] = {}
        for name in names:
            if name not in self.columns:
                raise InputError(unknown("column", name, self.columns), place)
            values = self.columns[name]
            parts = {name: values} if values.ndim == 1 else {f"{name}.{i}": part for i, part in enumerate(
                values.reshape(len(values), -1).T)}
            found |= {key: _plain(part) for key, part in parts.items()}
        return found


def read_table(path: str | Path, folder: str | Path | None = None) -> Table:
    """The table in a file. Raises `InputError` for files that are missing, of another kind, or hold columns of unequal length."""
    file = Path(folder or ".") / str(path)
    if file.suffix not in KINDS:
        raise InputError(f"takes a file ending in {', '.join(KINDS)}, got {shown(str(path))}", "table")
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"is larger than {MOST_BYTES:,} bytes").in_file(str(file))
        columns = _npz(file) if file.suffix == ".npz" else _frame(file)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}").in_file(str(file)) from None
    except Exception as error:  # whatever a damaged file does to its reader
        raise InputError(f"is no {file.suffix[1:]} table: {str(error).splitlines()[0][:200]}").in_file(str(file)) from None
    lengths = {name: len(values) for name, values in columns.items() if values.ndim}
    columns = {name: values for name, values in columns.items() if values.ndim}
    if not lengths or len(set(lengths.values())) > 1 or not max(lengths.values()):
        raise InputError(f"columns are of unequal length or empty: {shown(lengths)}").in_file(str(file))
    return Table(file, columns)


def _npz(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def _frame(file: Path) -> dict[str, np.ndarray]:
    import pandas

    frame = pandas.read_csv(file) if file.suffix == ".csv" else pandas.read_parquet(file)
    return {str(name): _column(frame[name].to_numpy()) for name in frame.columns}


def _column(values: np.ndarray) -> np.ndarray:
    """Lists in the cells of a parquet file are several entries per row."""
    several = len(values) and isinstance(values[0], (np.ndarray, list, tuple))
    return np.array([list(v) for v in values]) if several else values


def _plain(values: np.ndarray) -> list:
    """Numbers and texts as Python has them."""
    return [v.decode() if isinstance(v, bytes) else v.item() if isinstance(v, np.generic) else v for v in values]


@dataclass
class TableProblem:
    """A table as searchers see it: its decisions, and the rows that are inside the bounds.

    `score` names the column to be large, `objectives` those to be small beside it. `numbers` are columns that are known of a
    network before any training, such as params and MACs. Rows of equal `same` are one network; those that lack it stand for
    themselves. Rows without a finite cost or number are outside. Raises `InputError`, placed at the argument that is wrong.
    """

    table: Table
    keys: Sequence[str]
    score: str
    objectives: Sequence[str] = ()
    numbers: Sequence[str] = ()
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    same: str | None = None
    memory: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        table = self.table
        self._values = table.decisions(self.keys, "decisions")
        self._check_finite()
        self.decisions = {}
        for name, column in self._values.items():
            options = tuple(sorted(dict.fromkeys(column), key=lambda v: (str(type(v)), v)))
            if len(options) > MOST_OPTIONS:
                raise InputError(f'column "{name}" has {len(options):,} values; a decision has at most {MOST_OPTIONS:,}', "decisions")
            self.decisions[name] = Decision(name, Choice(options), ((name, ()),))
        self._scores = table.column(self.score, "score")
        self._costs = np.stack([table.column(n, "objective") for n in self.objectives], 1) if self.objectives else None
        self._features, inside = self._known()
        if self._costs is not None:
            inside &= np.isfinite(self._costs).all(1)
        for name, bound in self.bounds.items():
            column = table.column(name, f"budget.{name}")
            inside &= (column >= bound.low) & (column <= bound.high)
        self.row_of: dict[tuple, int] = {}
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
        cells = _plain(self.table.columns[self.same])
        return [f"row {row}" if cell is None or cell != cell else str(cell) for row, cell in enumerate(cells)]

    @cached_property
    def digest(self) -> str:
        """Of everything that a search of it hangs on."""
        said = hashlib.sha256(repr((self.score, *self.objectives, *self.numbers, self.same, sorted(self.bounds.items()))).encode())
        for part in (repr(self._values).encode(), self._scores, self._features, self._inside, repr(self._named).encode()):
            said.update(np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else part)
        if self._costs is not None:
            said.update(np.ascontiguousarray(self._costs).tobytes())
        return said.hexdigest()[:16]

    def _nothing(self) -> InputError:
        for name, bound in self.bounds.items():
            column = self.table.column(name, f"budget.{name}")
            if not ((column >= bound.low) & (column <= bound.high)).any():
                nearest = min(column, key=bound.excess)
                return InputError(f"no row of {self.table.path} is inside; the nearest has {name}: {nearest:,.6g}", f"budget.{name}")
        lacking = " and has a finite number in " + ", ".join((*self.objectives, *self.numbers)) if self.objectives or self.numbers else ""
        return InputError(f"no row of {self.table.path} is inside all of the budget{lacking}", "budget" if self.bounds else "objective")

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

    @property
    def listed(self) -> Iterator[Decisions]:
        return map(self.at_row, self.rows)

    def draw(self, rng: Random) -> Decisions:
        return self.at_row(self.rows[int(rng.random() * len(self.rows))])

    def mutated(self, decisions: Decisions, rng: Random) -> Decisions:
        name = rng.choice([n for n, d in self.decisions.items() if len(d.domain.options) > 1])
        others = [v for v in self.decisions[name].domain.options if v != decisions[name]]
        return {**decisions, name: rng.choice(others)}

    def neighbours(self, decisions: Decisions) -> Iterator[Decisions]:
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
        return () if self._costs is None else tuple(self._costs[row].tolist()) if row is not None else (math.inf,) * len(self.objectives)

    def features(self, decisions: Decisions) -> tuple[float, ...]:
        row = self.row(decisions)
        return tuple(self._features[row].tolist()) if row is not None else (0.0,) * self._features.shape[1]

    def measured(self, decisions: Decisions) -> float | None:
        """The score of decisions; None where the table has no such row or no finite score in it."""
        row = self.row(decisions)
        score = self._scores[row] if row is not None else math.nan
        return float(score) if math.isfinite(score) else None


def bound_of(text: str) -> tuple[str, Bound]:
    """`flops<=60M` as a column and its bound."""
    match = re.fullmatch(r"\s*([\w.]+)\s*(<=|≤|>=|≥)\s*([^\s]+)\s*", text)
    value = yamlfile.scalar(match[3]) if match else None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"takes COLUMN<=AMOUNT or COLUMN>=AMOUNT, as flops<=60M; got {shown(text)}", "--budget")
    return match[1], Bound(high=value) if match[2] in ("<=", "≤") else Bound(low=value)
