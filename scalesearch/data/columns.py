"""Tables of images: CSV and parquet, of paths or of the files themselves, and labels. The only importer of pyarrow."""

from __future__ import annotations

import bisect
import codecs
import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from scalesearch.data.images import SUFFIXES, File
from scalesearch.data.index import SPLITS, Files, Index, index, split_called, stamp_of, told_of
from scalesearch.errors import InputError, unknown
from scalesearch.files import whole
from scalesearch.typed_json import plain

TABLES = (".parquet", ".csv", ".tsv")
# What columns are usually called, but for case, spaces, hyphens and underscores.
IMAGES = ("image", "img", "path", "file", "filename", "filepath", "imagepath", "imagename", "imagefile", "bytes")
LABELS = ("label", "labels", "class", "classname", "category", "target", "finelabel", "species")
SPLIT = "split"
BATCH = 32  # rows that are read at a time
MOST_BYTES = 1 << 28  # that they may have, every cell being as large as its group at most


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
    spoken_of = next((part.classes for part in parts if part.classes), ())
    there = {str(label) for label in labels}
    classes, absent = (tuple(name for name in spoken_of if (name in there) == wanted) for wanted in (True, False))
    stamp = [(part.called, *told_of(part.path)) for part in parts]
    if not names:
        raise InputError("holds no rows", origin)
    if all(part.encoded for part in parts):
        return index(origin, names, labels, splits, stamp_of(stamp), Encoded(tuple(parts)), classes, absent=absent)
    if any(part.encoded for part in parts):
        raise InputError("holds paths in one file and the images themselves in another", origin)
    paths = [path for part in parts for path in _files(part)]
    stamp_all = stamp_of([*stamp, *((name, *told_of(path)) for name, path in zip(names, paths))])
    return index(origin, names, labels, splits, stamp_all, Files(paths), classes, absent=absent)


class _Part:
    """One file of a data set: its columns, and where its image files are."""

    def __init__(self, path: Path, place: str, called: str, split: str | None, image: str | None, label: str | None):
        self.path, self.place, self.called, self.split = path, place, called, split
        self.table: pa.Table | None = None
        self.file: pq.ParquetFile | None = None
        try:
            if path.suffix.lower() == ".parquet":
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
            raise InputError(
                f"takes paths or the bytes of image files, and the column holds {kind}", f"{place}: {self.image}"
            )
        labelled = self.schema.field(self.label).type
        if pa.types.is_nested(labelled):
            raise InputError(
                f"takes one class for each image, and the column holds {labelled}", f"{place}: {self.label}"
            )
        self.classes = _class_names(self.schema, self.label)
        self.paths: list[str] = []

    def _column(self, wanted: str | None, usual: tuple[str, ...], what: str) -> str:
        """The column that is wanted, or called as usual."""
        there = {_plain(name): name for name in reversed(self.schema.names)}
        if wanted is not None and wanted not in self.schema.names and _plain(wanted) not in there:
            raise InputError(unknown("column", wanted, self.schema.names), f"{self.place}: {what}")
        if wanted in self.schema.names:
            found: str | None = wanted
        else:
            found = next((there[name] for name in map(_plain, [wanted] if wanted else usual) if name in there), None)
        if found is None:
            raise InputError(
                f"no column says the {what}; it has {', '.join(self.schema.names)}; name one (`{what}:` "
                f"in a study, --{what} on the command line)",
                self.place,
            )
        if self.schema.names.count(found) > 1:
            raise InputError(f"has two columns called {found}", f"{self.place}: {what}")
        return found

    def cells(self) -> tuple[list[str], list[Any], list[str | None]]:
        """What every image is called, its label and its split."""
        split = next((name for name in self.schema.names if _plain(name) == SPLIT), None)
        columns = [self.label, *([split] if split else [])]
        has_path = self.nested and self.schema.field(self.image).type.get_field_index("path") >= 0
        named = f"{self.image}.path" if has_path else None if self.encoded else self.image

        def read(names):
            return self.file.read(columns=names) if self.file else self.table.select(names)  # type: ignore[union-attr]

        table = read([*columns, named] if named else columns)
        labels = _labels(table[self.label].to_pylist())
        if self.classes:
            labels = [self._named(label) for label in labels]
        if None in labels and any(label is not None for label in labels):
            raise InputError(f"row {labels.index(None) + 1} has no label", self.place)
        splits: list[str | None] = [self.split] * len(labels)
        if split:
            told = table[split].to_pylist()
            splits = [split_called(str(cell)) if cell else None for cell in told]
            for cell, known in zip(told, splits):
                if cell and not known:
                    raise InputError(unknown("split", cell, SPLITS), f"{self.place}: {split}")
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


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.casefold())


def _labels(cells: Sequence[Any]) -> list[Any]:
    """An empty cell is none; numbers that a column of fractions holds are whole."""
    told = [cell.strip() or None if isinstance(cell, str) else cell for cell in cells]
    if all(label is None or (isinstance(label, float) and label.is_integer()) for label in told):
        return [None if label is None else int(label) for label in told]
    if all(label is None or (isinstance(label, str) and re.fullmatch(r"\d+\.0+", label)) for label in told):
        return [None if label is None else label.partition(".")[0] for label in told]
    return told


def _csv(path: Path) -> pa.Table:
    """Every cell as it is written, separated by what the first line has most of: commas, semicolons or tabs.

    UTF-8, with a byte-order mark UTF-16, else what Western spreadsheets write.
    """
    text = _text(path.read_bytes())
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    names = next(csv.reader(text.splitlines()[:1], delimiter=delimiter), [])
    return pyarrow.csv.read_csv(
        pa.BufferReader(text.encode()),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _text(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _files(part: _Part) -> list[Path]:
    """Where the files that a table names lie: as seen from its folder; of cells that are mere names, also further down
    where there is one such file, and without its suffix."""
    folder = part.path.parent
    there = [folder / cell for cell in part.paths]
    if all(path.is_file() for path in there):
        return there
    below = folder / part.path.stem if (folder / part.path.stem).is_dir() else folder
    lying = [path for path in below.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    called = Counter(name for path in lying for name in (path.name, path.stem))
    of = {name: path for path in lying for name in (path.name, path.stem) if called[name] == 1}
    return [path if path.is_file() else of.get(cell, path) for cell, path in zip(part.paths, there)]


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """What the Hub's parquet files say that the numbers of a column are called."""
    try:
        features = plain((schema.metadata or {})[b"huggingface"])["info"]["features"]
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
                many = max(1, min(BATCH, MOST_BYTES // max(1, file.metadata.row_group(group).total_byte_size)))
                for batch in file.iter_batches(many, [group], [part.image]) if upto > at else ():
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
