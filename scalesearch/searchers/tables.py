"""Tables of networks that others trained, read from .npz, .csv and .parquet. A column is a CSV column or an array with
one entry per row; an array with several entries per row is so many columns, `ops.0`, `ops.1`, ….
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from scalesearch.budget import Bound
from scalesearch.errors import InputError, numbered, shown, unknown
from scalesearch.yamlfile import scalar

MOST_BYTES = 2 * 2**30
KINDS = (".npz", ".csv", ".parquet")


REPETITIONS = ("seed", "seeds", "random_seed", "rng_seed")  # columns that tell rows of one network apart


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name. Where several rows of the file are of one network, `repeats` says how many each
    row here is the mean of, and `spread` how far they are apart: by column the standard deviation between rows of one
    network, pooled."""

    path: Path
    columns: Mapping[str, np.ndarray]
    repeats: np.ndarray | None = None
    spread: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str, place: str) -> np.ndarray:
        """A column of numbers; one of several entries per row is their mean. Raises `InputError` for none."""
        if name not in self.columns:
            raise InputError(unknown("column", name, self.columns), place)
        values = self.columns[name]
        if values.dtype.kind not in "biuf":
            raise InputError(f'column "{name}" of {self.path} holds no numbers', place)
        return cast(np.ndarray, values.astype(float).reshape(len(values), -1).mean(1))

    def by_network(self, names: Sequence[str], place: str) -> Table:
        """The table with one row for each network that these decisions make: the mean of its rows, of a column that is
        no number the first one's. Raises `InputError` where a decision is which repetition a row is."""
        repetition = next((name for name in names if name.lower() in REPETITIONS), None)
        if repetition is not None:
            raise InputError(
                f'"{repetition}" tells repetitions of one network apart and is no decision; without it '
                "their mean is searched",
                place,
            )
        keys = list(zip(*([comparable(v) for v in column] for column in self.decisions(names, place).values())))
        number: dict[tuple[object, ...], int] = {}
        group = np.array([number.setdefault(key, len(number)) for key in keys])
        if len(number) == len(group):
            return self
        first = np.unique(group, return_index=True)[1]
        merged, spread = {}, {}
        for name, values in self.columns.items():
            if name in names or values.dtype.kind not in "iuf":
                merged[name] = values[first]
                continue
            merged[name], variance = _means(values.astype(float), group, len(number))
            if values.ndim == 1 and variance is not None:
                spread[name] = variance**0.5
        return Table(self.path, merged, np.bincount(group), spread)

    @property
    def repetitions(self) -> str:
        """In words that rows are means of several; nothing if each is one."""
        if self.repeats is None:
            return ""
        least, most = self.repeats.min(), self.repeats.max()
        each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        rows, networks = numbered(self.repeats.sum(), "row"), numbered(len(self), "network")
        return f"{rows} of {networks}, {each} for each; their means are searched"

    def decisions(self, names: Sequence[str], place: str) -> dict[str, list[Any]]:
        """Per decision its value in every row; an array with several entries per row is several decisions."""
        found: dict[str, list[Any]] = {}
        for name in names:
            if name not in self.columns:
                raise InputError(unknown("column", name, self.columns), place)
            values = self.columns[name]
            parts = (
                {name: values}
                if values.ndim == 1
                else {f"{name}.{i}": part for i, part in enumerate(values.reshape(len(values), -1).T)}
            )
            found |= {key: plain(part) for key, part in parts.items()}
        return found


def read_table(path: str | Path, folder: str | Path | None = None) -> Table:
    """The table in a file. Raises `InputError` for files that are missing, of another kind, or hold columns of unequal
    length."""
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
        said = str(error).splitlines()[0][:200]
        raise InputError(f"is no {file.suffix[1:]} table: {said}").in_file(str(file)) from None
    lengths = {name: len(values) for name, values in columns.items() if values.ndim}
    columns = {name: values for name, values in columns.items() if values.ndim}
    if not lengths or len(set(lengths.values())) > 1 or not max(lengths.values()):
        raise InputError(f"columns are of unequal length or empty: {shown(lengths)}").in_file(str(file))
    return Table(file, columns)


def _means(values: np.ndarray, group: np.ndarray, networks: int) -> tuple[np.ndarray, float | None]:
    """The mean of every network's finite values, and the pooled variance between the rows of one."""
    flat = values.reshape(len(values), -1)
    there = np.isfinite(flat)
    count, total = np.zeros((networks, flat.shape[1])), np.zeros((networks, flat.shape[1]))
    np.add.at(count, group, there)
    np.add.at(total, group, np.where(there, flat, 0.0))
    with np.errstate(invalid="ignore"):
        mean = total / count
    off = np.where(there, flat - mean[group], 0.0)
    free = (count - 1).clip(0).sum()
    return mean.reshape(networks, *values.shape[1:]), float((off**2).sum() / free) if free else None


def comparable(value: Any) -> Any:
    """Numbers compare as numbers; what does not exist is an empty cell."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


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


def plain(values: np.ndarray) -> list[Any]:
    """Numbers and texts as Python has them."""
    return [v.decode() if isinstance(v, bytes) else v.item() if isinstance(v, np.generic) else v for v in values]


def bound_of(text: str) -> tuple[str, Bound]:
    """`flops<=60M` as a column and its bound."""
    match = re.fullmatch(r"\s*([\w.]+)\s*(<=|≤|>=|≥)\s*([^\s]+)\s*", text)
    value = scalar(match[3]) if match else None
    if match is None or not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"takes COLUMN<=AMOUNT or COLUMN>=AMOUNT, as flops<=60M; got {shown(text)}", "--budget")
    return match[1], Bound(high=value) if match[2] in ("<=", "≤") else Bound(low=value)
