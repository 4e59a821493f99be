"""Tables of images: CSV and parquet, of paths or of the files themselves, and labels. The only importer of pyarrow."""

from __future__ import annotations

import bisect
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from scalesearch.data.images import File
from scalesearch.data.index import SPLITS, Files, Index, index, split_called, stamp_of, told_of
from scalesearch.errors import InputError, unknown
from scalesearch.files import whole

TABLES = (".parquet", ".csv", ".tsv")
IMAGES = ("image", "img", "path", "file", "filename", "file_name", "filepath", "image_path", "bytes")
LABELS = ("label", "labels", "class", "category", "target", "fine_label", "species")
SPLIT = "split"
BATCH = 32  # rows that are read at a time


def read_tables(files: Sequence[Path], origin: str, image: str | None = None, label: str | None = None) -> Index:
    """The images in CSV or parquet files, whose names may say which split they are.

    A column holds paths (as from the file's folder) or the bytes of image files; another the labels; one called `split`
    says where each belongs. Raises `InputError`, placed in the file, for columns that there are not.
    """
    folder = Path(os.path.commonpath([path.parent for path in files]))
    parts: list[_Part] = []
    names: list[str] = []
    labels: list[Any] = []
    splits: list[str | None] = []
    for path in files:
        called = path.relative_to(folder).as_posix()
        split = split_called(path.stem) or split_called(Path(called).parent.name)
        several = len(files) > 1  # a table alone may be called as it likes
        part = _Part(path, called if several else origin, called, split if several else None, image, label)
        told = part.cells()
        if any(label is not None for label in told[1]):  # the Hub has tests without their answers
            parts.append(part)
            names += told[0]
            labels += told[1]
            splits += told[2]
    classes = next((part.classes for part in parts if part.classes), None)
    stamp = [(part.called, *told_of(part.path)) for part in parts]
    if not names:
        raise InputError("holds no rows", origin)
    if all(part.encoded for part in parts):
        return index(origin, names, labels, splits, stamp_of(stamp), Encoded(tuple(parts)), classes)
    if any(part.encoded for part in parts):
        raise InputError("holds paths in one file and the images themselves in another", origin)
    paths = [part.path.parent / cell for part in parts for cell in part.paths]
    stamp_all = stamp_of([*stamp, *((name, *told_of(path)) for name, path in zip(names, paths))])
    return index(origin, names, labels, splits, stamp_all, Files(paths), classes)


class _Part:
    """One file of a data set: its columns, and where its image files are."""

    def __init__(self, path: Path, place: str, called: str, split: str | None, image: str | None, label: str | None):
        self.path, self.place, self.called, self.split = path, place, called, split
        self.table: pa.Table | None = None
        self.file: pq.ParquetFile | None = None
        try:
            if path.suffix == ".parquet":
                self.file = pq.ParquetFile(path)
            else:
                self.table = _csv(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"is damaged or no {path.suffix[1:]} file: {str(error).splitlines()[0]}", place) from None
        self.schema: pa.Schema = self.file.schema_arrow if self.file else self.table.schema  # type: ignore[union-attr]
        self.image = self._column(image, IMAGES, "image")
        self.label = self._column(label, LABELS, "label")
        kind = self.schema.field(self.image).type
        self.encoded = pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        self.nested = pa.types.is_struct(kind)
        if self.nested and kind.get_field_index("bytes") < 0:
            raise InputError(f"holds {kind}, in which no field is called bytes", f"{place}: {self.image}")
        if not (self.encoded or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(f"takes paths or the bytes of image files, and the column holds {kind}",
                             f"{place}: {self.image}")
        self.classes = _class_names(self.schema, self.label)
        self.paths: list[str] = []

    def _column(self, wanted: str | None, usual: tuple[str, ...], what: str) -> str:
        there = self.schema.names
        if wanted is not None and wanted not in there:
            raise InputError(unknown("column", wanted, there), f"{self.place}: {what}")
        found = wanted or next((name for name in usual if name in there), None)
        if found is None:
            raise InputError(f"no column says the {what}; it has {', '.join(there)}; name one (`{what}:` in a study, "
                             f"--{what} on the command line)",
                             self.place)
        return found

    def cells(self) -> tuple[list[str], list[Any], list[str | None]]:
        """What every image is called, its label and its split."""
        columns = [self.label, *([SPLIT] if SPLIT in self.schema.names else [])]
        has_path = self.nested and self.schema.field(self.image).type.get_field_index("path") >= 0
        named = f"{self.image}.path" if has_path else None if self.encoded else self.image
        read = lambda names: self.file.read(columns=names) if self.file else self.table.select(names)  # type: ignore[union-attr]
        table = read([*columns, named] if named else columns)
        labels = [_plain_label(label) for label in table[self.label].to_pylist()]
        if self.classes:
            labels = [self._named(label) for label in labels]
        if None in labels and any(label is not None for label in labels):
            raise InputError(f"row {labels.index(None) + 1} has no label", self.place)
        splits = [split_called(str(s)) for s in table[SPLIT].to_pylist()] if SPLIT in columns else [
            self.split] * len(labels)
        for cell in table[SPLIT].to_pylist() if SPLIT in columns else ():
            if cell and not split_called(str(cell)):
                raise InputError(unknown("split", cell, SPLITS), f"{self.place}: {SPLIT}")
        cells: list[Any] = [None] * len(labels)
        if has_path:
            cells = table[self.image].combine_chunks().field("path").to_pylist()
        elif named:
            cells = self.paths = [str(cell) for cell in table[self.image].to_pylist()]
        prefix = f"{self.called}:" if self.encoded else ""
        if None in cells or len({*cells}) < len(cells):  # a row is no more called like another one
            cells = [f"{cell} (row {row + 1})" if cell else row for row, cell in enumerate(cells)]
        return [f"{prefix}{cell}" for cell in cells], labels, splits

    def _named(self, label: Any) -> Any:
        assert self.classes is not None
        if isinstance(label, int) and 0 <= label < len(self.classes):
            return self.classes[label]
        return None if label == -1 else label  # the Hub's way to say that there is none


def _plain_label(label: Any) -> Any:
    """An empty cell is none; numbers that a column of fractions holds are whole."""
    if label == "":
        return None
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _csv(path: Path) -> pa.Table:
    """Separated by what its first line has most of: commas, semicolons or tabs."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        head = file.readline()
    delimiter = max(",;\t", key=head.count)
    return pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter))


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """What the Hub's parquet files say that the numbers of a column are called."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) and len({*names}) == len(names) else None


@dataclass(frozen=True)
class Encoded:
    """Image files inside parquet files, read a group of rows at a time."""

    parts: tuple[_Part, ...]

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        start, at = 0, 0
        for part in self.parts:
            file = pq.ParquetFile(part.path)
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                upto = bisect.bisect_left(rows, end, lo=at)
                first = start
                for batch in file.iter_batches(BATCH, [group], [part.image]) if upto > at else ():
                    column = batch.column(0).field("bytes") if part.nested else batch.column(0)
                    while at < upto and rows[at] < first + len(column):
                        yield column[rows[at] - first].as_py() or OSError("no image there")
                        at += 1
                    first += len(column)
                start, at = end, upto


def write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    """Columns of equal length, whole or not at all."""
    with whole(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """The rows. Raises `InputError` for a damaged file."""
    try:
        return pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"is damaged or no parquet file: {str(error).splitlines()[0]}", str(path)) from None
