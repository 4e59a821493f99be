"""Tables of networks that others trained, read from .npz, .csv and .parquet.

A column is a CSV column or an array with one entry per row. An array with several entries per row stands for
as many columns, `ops.0`, `ops.1`, ….
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from scalesearch.budget import Bound
from scalesearch.errors import InputError, format_count, format_value, unknown_message
from scalesearch.yamlfile import parse_scalar

MAX_BYTES = 2 * 2**30
SUFFIXES = (".npz", ".csv", ".parquet")


REPETITION_COLUMNS = ("seed", "seeds", "random_seed", "rng_seed")  # columns that tell rows of one network apart


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name.

    Attributes:
        path: The file that was read.
        columns: The columns by name.
        repeats: If rows were merged by network, how many rows of the file each row is the mean of; else None.
        spread: By column, the pooled standard deviation between rows of one network.
    """

    path: Path
    columns: Mapping[str, np.ndarray]
    repeats: np.ndarray | None = None
    spread: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str, place: str) -> np.ndarray:
        """Returns a column of numbers as floats `(rows,)`; several entries per row are averaged.

        Raises:
            InputError: At `place`, if there is no such column or it holds no numbers.
        """
        if name not in self.columns:
            raise InputError(unknown_message("column", name, self.columns), place)
        values = self.columns[name]
        if values.dtype.kind not in "biuf":
            raise InputError(f'column "{name}" of {self.path} holds no numbers', place)
        return cast(np.ndarray, values.astype(float).reshape(len(values), -1).mean(1))

    def merge_repetitions(self, names: Sequence[str], place: str) -> Table:
        """Returns the table with one row per network, where a network is a combination of the decisions `names`.

        A number is the mean over the network's rows; of a column without numbers the first row's value is kept.

        Raises:
            InputError: At `place`, if a decision tells repetitions of one network apart (`seed`), or is no column.
        """
        repetition = next((name for name in names if name.lower() in REPETITION_COLUMNS), None)
        if repetition is not None:
            raise InputError(
                f'"{repetition}" tells repetitions of one network apart and is no decision; without it '
                "their mean is searched",
                place,
            )
        keys = list(zip(*([comparison_key(v) for v in column] for column in self.decisions(names, place).values())))
        network_numbers: dict[tuple[object, ...], int] = {}
        group = np.array([network_numbers.setdefault(key, len(network_numbers)) for key in keys])
        if len(network_numbers) == len(group):
            return self
        first = np.unique(group, return_index=True)[1]
        merged, spread = {}, {}
        for name, values in self.columns.items():
            if name in names or values.dtype.kind not in "iuf":
                merged[name] = values[first]
                continue
            merged[name], variance = _group_means(values.astype(float), group, len(network_numbers))
            if values.ndim == 1 and variance is not None:
                spread[name] = variance**0.5
        return Table(self.path, merged, np.bincount(group), spread)

    @property
    def repetition_note(self) -> str:
        """Returns a phrase saying that rows are means of several; empty if each is one row of the file."""
        if self.repeats is None:
            return ""
        fewest, highest = self.repeats.min(), self.repeats.max()
        each = f"{fewest:,}" if fewest == highest else f"{fewest:,} to {highest:,}"
        rows, networks = format_count(self.repeats.sum(), "row"), format_count(len(self), "network")
        return f"{rows} of {networks}, {each} for each; their means are searched"

    def decisions(self, names: Sequence[str], place: str) -> dict[str, list[Any]]:
        """Returns each decision's values, one per row; an array with several entries per row is several decisions.

        Raises:
            InputError: At `place`, if a decision is no column.
        """
        by_decision: dict[str, list[Any]] = {}
        for name in names:
            if name not in self.columns:
                raise InputError(unknown_message("column", name, self.columns), place)
            values = self.columns[name]
            parts = {name: values}
            if values.ndim != 1:
                parts = {f"{name}.{i}": part for i, part in enumerate(values.reshape(len(values), -1).T)}
            by_decision |= {key: python_values(part) for key, part in parts.items()}
        return by_decision


def read_table(path: str | Path, folder: str | Path | None = None) -> Table:
    """Reads a table from a file.

    Args:
        path: The file, ending in .npz, .csv or .parquet.
        folder: The folder that a relative path starts from; by default the current one.

    Raises:
        InputError: If the file is missing, too large, of another kind or damaged, or if its columns are of
            unequal length.
    """
    file = Path(folder or ".") / str(path)
    if file.suffix not in SUFFIXES:
        raise InputError(f"takes a file ending in {', '.join(SUFFIXES)}, got {format_value(str(path))}", "table")
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"is larger than {MAX_BYTES:,} bytes").in_file(str(file))
        columns = _read_npz(file) if file.suffix == ".npz" else _read_frame(file)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}").in_file(str(file)) from None
    except Exception as error:  # a damaged file can make its reader raise anything
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"is no {file.suffix[1:]} table: {reason}").in_file(str(file)) from None
    lengths = {name: len(values) for name, values in columns.items() if values.ndim}
    columns = {name: values for name, values in columns.items() if values.ndim}
    if not lengths or len(set(lengths.values())) > 1 or not max(lengths.values()):
        raise InputError(f"columns are of unequal length or empty: {format_value(lengths)}").in_file(str(file))
    return Table(file, columns)


def _group_means(values: np.ndarray, group: np.ndarray, networks: int) -> tuple[np.ndarray, float | None]:
    """Returns the mean of every network's finite values, and the pooled variance between rows of one network."""
    flat = values.reshape(len(values), -1)
    is_finite = np.isfinite(flat)
    count, total = np.zeros((networks, flat.shape[1])), np.zeros((networks, flat.shape[1]))
    np.add.at(count, group, is_finite)
    np.add.at(total, group, np.where(is_finite, flat, 0.0))
    with np.errstate(invalid="ignore"):
        mean = total / count
    deviation = np.where(is_finite, flat - mean[group], 0.0)
    degrees_of_freedom = (count - 1).clip(0).sum()
    variance = float((deviation**2).sum() / degrees_of_freedom) if degrees_of_freedom else None
    return mean.reshape(networks, *values.shape[1:]), variance


def comparison_key(value: object) -> Any:
    """Returns a key by which cells compare: numbers as floats, missing values (None, NaN) as None."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _read_npz(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def _read_frame(file: Path) -> dict[str, np.ndarray]:
    import pandas

    frame = pandas.read_csv(file) if file.suffix == ".csv" else pandas.read_parquet(file)
    return {str(name): _stack_lists(frame[name].to_numpy()) for name in frame.columns}


def _stack_lists(values: np.ndarray) -> np.ndarray:
    """Returns a column as an array; lists in the cells of a parquet file become several entries per row."""
    several = len(values) and isinstance(values[0], (np.ndarray, list, tuple))
    return np.array([list(v) for v in values]) if several else values


def python_values(values: np.ndarray) -> list[Any]:
    """Returns the values as Python's own numbers and strings."""
    return [v.decode() if isinstance(v, bytes) else v.item() if isinstance(v, np.generic) else v for v in values]


def parse_bound(text: str) -> tuple[str, Bound]:
    """Returns the column and the bound of a text such as `flops<=60M`.

    Raises:
        InputError: If the text is not COLUMN<=AMOUNT or COLUMN>=AMOUNT.
    """
    match = re.fullmatch(r"\s*([\w.]+)\s*(<=|≤|>=|≥)\s*([^\s]+)\s*", text)
    value = parse_scalar(match[3]) if match else None
    if match is None or not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"takes COLUMN<=AMOUNT or COLUMN>=AMOUNT, as flops<=60M; got {format_value(text)}", "--budget")
    return match[1], Bound(high=value) if match[2] in ("<=", "≤") else Bound(low=value)
