"""Tables of networks that others trained, read from .npz, .csv and .parquet. A column is a CSV column or an array with
one entry per row; an array with several entries per row is so many columns, `ops.0`, `ops.1`, ….
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scalesearch.budget import Bound
from scalesearch.errors import InputError, shown, unknown
from scalesearch.yamlfile import scalar

MOST_BYTES = 2 * 2**30
KINDS = (".npz", ".csv", ".parquet")


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name."""

    path: Path
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str, place: str) -> np.ndarray:
        """A column of numbers; one of several entries per row is their mean. Raises `InputError` for none."""
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
