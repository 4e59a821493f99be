"""Tables of images and labels: CSV and parquet, with paths or whole image files in a column.

The only importer of pyarrow.
"""

from __future__ import annotations

import bisect
import codecs
import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from scalesearch.data.images import SUFFIXES, File
from scalesearch.data.index import (
    SPLITS,
    Files,
    Index,
    build_index,
    size_and_mtime,
    split_from_name,
    stamp_of,
    with_slashes,
)
from scalesearch.errors import InputError, format_value, unknown_message
from scalesearch.files import atomic_write
from scalesearch.plain_data import PlainDict
from scalesearch.typed_json import load_json

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv")
# Usual names of the columns, compared without case, spaces, hyphens and underscores.
IMAGE_COLUMNS = (
    "image",
    "img",
    "path",
    "file",
    "filename",
    "filepath",
    "imagepath",
    "imagename",
    "imagefile",
    "fname",
    "bytes",
)
BOX_COLUMNS = ("xmin", "bbox")
LABEL_COLUMNS = ("label", "labels", "class", "classname", "category", "target", "finelabel", "species")
SPLIT_COLUMN = "split"
OTHER_SPLIT_COLUMNS = ("subset", "partition", "set", "fold")  # taken where all their cells are called like splits
FLAG_COLUMNS = {"isvalid": "val", "isval": "val", "istest": "test"}  # true or false; the rest is for training
FLAGS = {"true": True, "1": True, "false": False, "0": False}
NO_CLASSES = (SPLIT_COLUMN, *OTHER_SPLIT_COLUMNS, *FLAG_COLUMNS)
JOINED = "label"  # the column made of those of zeros and ones
BATCH_ROWS = 32  # rows read at a time, at most
MAX_BATCH_BYTES = 1 << 28  # bytes read at a time, counting every row as large as its whole row group


def read_tables(files: Sequence[Path], origin: str, image: str | None = None, label: str | None = None) -> Index:
    """Reads CSV or parquet files as an index; the names of several files may tell their splits.

    A column holds paths (relative to the table's folder) or the bytes of image files, another holds the
    labels, and one called `split`, `subset` or `is_valid`, where there is one, the splits. A CSV file may have a column
    of zeros and ones for each class instead of the labels.

    Args:
        files: The tables of the data set.
        origin: How messages name the data set.
        image: Name of the column of images; one of the usual names where None.
        label: Name of the column of labels; one of the usual names where None.

    Raises:
        InputError: Placed at the file, if it is damaged or a column is missing or holds something else.
    """
    folder = Path(os.path.commonpath([path.parent for path in files]))
    parts: list[_TableFile] = []
    names: list[str] = []
    labels: list[Any] = []
    splits: list[str | None] = []
    ignored: dict[str, int] = {}
    for path in files:
        relative_name = path.relative_to(folder).as_posix()
        split = split_from_name(path.stem) or split_from_name(Path(relative_name).parent.name)
        several = len(files) > 1  # the name of a single table says nothing about its split
        try:
            part = _TableFile(
                path, relative_name if several else origin, relative_name, split if several else None, image, label
            )
        except _NoColumn:
            if not several or split != "test":
                raise
            ignored[relative_name] = 1  # a competition keeps the labels of its test to itself
            continue
        rows = part.read_rows()
        if any(label is not None for label in rows[1]):  # test splits on the Hub may have no labels
            parts.append(part)
            names += rows[0]
            labels += rows[1]
            splits += rows[2]
    declared = next((part.classes for part in parts if part.classes), ())
    used_labels = {str(label) for label in labels}
    classes, absent = (
        tuple(name for name in declared if (name in used_labels) == with_image) for with_image in (True, False)
    )
    stamp = [(part.relative_name, *size_and_mtime(part.path)) for part in parts]
    if not names:
        raise InputError("holds no rows", origin)
    if all(part.encoded for part in parts):
        return build_index(
            origin, names, labels, splits, stamp_of(stamp), ParquetImages(tuple(parts)), classes, absent=absent
        )
    if any(part.encoded for part in parts):
        raise InputError("holds paths in one file and the images themselves in another", origin)
    paths = [path for part in parts for path in _image_paths(part)]
    stamp_all = stamp_of([*stamp, *((name, *size_and_mtime(path)) for name, path in zip(names, paths))])
    return build_index(origin, names, labels, splits, stamp_all, Files(paths), classes, absent=absent, ignored=ignored)


class _NoColumn(InputError):
    """Says that a table has no column of images or of labels."""


class _TableFile:
    """Holds one table of a data set: its columns, and the paths of its image files."""

    def __init__(
        self, path: Path, place: str, relative_name: str, split: str | None, image: str | None, label: str | None
    ):
        self.path, self.place, self.relative_name, self.split = path, place, relative_name, split
        self.table: pa.Table | None = None
        self.file: pq.ParquetFile | None = None
        try:
            if path.suffix.lower() == ".parquet":
                self.file = pq.ParquetFile(path)
            else:
                self.table = _read_csv(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"is damaged or no {path.suffix[1:]} file: {str(error).splitlines()[0]}", place) from None
        self.schema: pa.Schema = self.file.schema_arrow if self.file else self.table.schema  # type: ignore[union-attr]
        self.image = self._find_column(image, IMAGE_COLUMNS, "image")
        try:
            self.label = self._find_column(label, LABEL_COLUMNS, "label")
        except _NoColumn:
            if label is not None or not self._join_columns_of_classes():
                raise
            self.label = JOINED
        if corner := next((name for name in self.schema.names if _normalise_name(name) in BOX_COLUMNS), None):
            raise InputError(
                "holds boxes, which are read from VOC's .xml, YOLO's .txt and COCO's .json alone; export one of these",
                f"{place}: {corner}",
            )
        image_type = self.schema.field(self.image).type
        self.encoded = (
            pa.types.is_struct(image_type) or pa.types.is_binary(image_type) or pa.types.is_large_binary(image_type)
        )
        self.nested = pa.types.is_struct(image_type)
        if self.nested and image_type.get_field_index("bytes") < 0:
            raise InputError(f"holds {image_type}, in which no field is called bytes", f"{place}: {self.image}")
        if not (self.encoded or pa.types.is_string(image_type) or pa.types.is_large_string(image_type)):
            raise InputError(
                f"takes paths or the bytes of image files, and the column holds {image_type}", f"{place}: {self.image}"
            )
        label_type = self.schema.field(self.label).type
        if pa.types.is_nested(label_type):
            raise InputError(
                f"takes one class for each image, and the column holds {label_type}", f"{place}: {self.label}"
            )
        self.classes = _class_names(self.schema, self.label)
        self.paths: list[str] = []

    def _find_column(self, requested: str | None, usual_names: tuple[str, ...], what: str) -> str:
        """Returns the name of the requested column, or of the one that has a usual name."""
        by_name = {_normalise_name(name): name for name in reversed(self.schema.names)}
        if requested is not None and requested not in self.schema.names and _normalise_name(requested) not in by_name:
            raise InputError(unknown_message("column", requested, self.schema.names), f"{self.place}: {what}")
        sought = map(_normalise_name, [requested] if requested else usual_names)
        column: str | None = next((by_name[name] for name in sought if name in by_name), None)
        if requested in self.schema.names:
            column = requested
        if column is None:
            raise _NoColumn(
                f"no column says the {what}; it has {', '.join(self.schema.names)}; name one (`{what}:` "
                f"in a study, --{what} on the command line)",
                self.place,
            )
        if self.schema.names.count(column) > 1:
            raise InputError(f"has two columns called {column}", f"{self.place}: {what}")
        return column

    def _join_columns_of_classes(self) -> bool:
        """Adds a column of labels made from columns of zeros and ones, one for each class; returns False where there
        are none.

        Raises:
            InputError: Placed at the row, for an image of several classes or of none.
        """
        if self.table is None:
            return False
        cells = {
            name: [FLAGS.get(str(cell).strip().casefold()) for cell in self.table[name].to_pylist()]
            for name in self.schema.names
            if name != self.image and self.schema.names.count(name) == 1 and _normalise_name(name) not in NO_CLASSES
        }
        columns = {name: flags for name, flags in cells.items() if None not in flags}
        if len(columns) < 2 or not self.table.num_rows:
            return False
        labels = []
        for row, flags in enumerate(zip(*columns.values()), 1):
            classes = [name.strip() for name, flag in zip(columns, flags) if flag]
            if len(classes) != 1:
                raise InputError(
                    f"row {row} is of {' and '.join(classes) or 'no class'}, by the columns of zeros and ones; a "
                    "classifier takes one class for each image",
                    self.place,
                )
            labels += classes
        self.table = self.table.append_column(JOINED, pa.array(labels))
        self.schema = self.table.schema
        return True

    def _splits(self, read: Callable[[list[str]], Any]) -> list[str | None] | None:
        """Returns the split of every row by the table's own column; None where it has none."""
        columns = {_normalise_name(name): name for name in reversed(self.schema.names) if name != self.label}
        if column := columns.get(SPLIT_COLUMN):
            cells = read([column])[column].to_pylist()
            splits = [split_from_name(str(cell)) if cell else None for cell in cells]
            for cell, split in zip(cells, splits):
                if cell and not split:
                    raise InputError(unknown_message("split", cell, SPLITS), f"{self.place}: {column}")
            return splits
        for name in OTHER_SPLIT_COLUMNS:
            if name in columns:
                splits = [split_from_name(str(cell)) for cell in read([columns[name]])[columns[name]].to_pylist()]
                if all(splits):
                    return splits
        marked: list[str | None] | None = None
        for name, split in FLAG_COLUMNS.items():
            if name in columns:
                cells = read([columns[name]])[columns[name]].to_pylist()
                flags = [FLAGS.get(str(cell).strip().casefold()) for cell in cells]
                if None in flags:
                    fault = f"takes true or false, got {format_value(cells[flags.index(None)])}"
                    raise InputError(fault, f"{self.place}: {columns[name]}")
                marked = [split if flag else before for flag, before in zip(flags, marked or ["train"] * len(flags))]
        return marked

    def read_rows(self) -> tuple[list[str], list[Any], list[str | None]]:
        """Returns the name, the label and the split of every image."""
        with _damage_located(self.place, self.path):
            return self._read_rows()

    def _read_rows(self) -> tuple[list[str], list[Any], list[str | None]]:
        has_path = self.nested and self.schema.field(self.image).type.get_field_index("path") >= 0
        name_column = f"{self.image}.path" if has_path else None if self.encoded else self.image

        def read(names: list[str]) -> Any:
            return self.file.read(columns=names) if self.file else self.table.select(names)  # type: ignore[union-attr]

        table = read([self.label, name_column] if name_column else [self.label])
        labels = _clean_labels(table[self.label].to_pylist())
        if self.classes:
            labels = [self._label_name(label) for label in labels]
        if None in labels and any(label is not None for label in labels):
            raise InputError(f"row {labels.index(None) + 1} has no label", self.place)
        splits = self._splits(read) or [self.split] * len(labels)
        image_names: list[Any] = [None] * len(labels)
        if has_path:
            image_names = table[self.image].combine_chunks().field("path").to_pylist()
        elif name_column:
            cells = map(str, table[self.image].to_pylist())
            image_names = self.paths = [with_slashes(cell, self.path.parent) for cell in cells]
        prefix = f"{self.relative_name}:" if self.encoded else ""
        if None in image_names or len({*image_names}) < len(image_names):  # names of rows must be unique
            image_names = [f"{cell} (row {row + 1})" if cell else row for row, cell in enumerate(image_names)]
        return [f"{prefix}{cell}" for cell in image_names], labels, splits

    def _label_name(self, label: object) -> Any:
        assert self.classes is not None
        if isinstance(label, int) and 0 <= label < len(self.classes):
            return self.classes[label]
        return None if label == -1 else label  # the Hub writes -1 for a missing label


@contextmanager
def _damage_located(place: str, path: Path) -> Iterator[None]:
    """Raises an `InputError` at `place` for what pyarrow raises of a damaged table in the block."""
    try:
        yield
    except InputError:
        raise
    except UnicodeDecodeError as error:
        text = error.object[:40].decode("utf-8", "backslashreplace")
        raise InputError(f"holds text that is not UTF-8 ({text}); write the table anew in UTF-8", place) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"is damaged or no {path.suffix[1:]} file: {str(error).splitlines()[0]}", place) from None


def _normalise_name(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.casefold())


def _clean_labels(values: Sequence[Any]) -> list[Any]:
    """Returns labels with empty cells as None and integral floats as integers."""
    labels = [cell.strip() or None if isinstance(cell, str) else cell for cell in values]
    if all(label is None or (isinstance(label, float) and label.is_integer()) for label in labels):
        return [None if label is None else int(label) for label in labels]
    if all(label is None or (isinstance(label, str) and re.fullmatch(r"\d+\.0+", label)) for label in labels):
        return [None if label is None else label.partition(".")[0] for label in labels]
    return labels


def _read_csv(path: Path) -> pa.Table:
    """Reads a CSV file with all cells as text.

    The separator is whichever of comma, semicolon and tab the first line has most of. The encoding is UTF-8,
    UTF-16 with a byte-order mark, or else Windows-1252.
    """
    text = _decode(path.read_bytes())
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    names = next(csv.reader(text.splitlines()[:1], delimiter=delimiter), [])
    return pyarrow.csv.read_csv(
        pa.BufferReader(text.encode()),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _decode(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _image_paths(part: _TableFile) -> list[Path]:
    """Returns the paths of the image files that a table names, relative to its folder.

    A missing file is searched by name below the folder, with or without suffix, and taken where only one
    matches.
    """
    folder = part.path.parent
    paths = [folder / cell for cell in part.paths]
    if all(map(_is_file, paths)):
        return paths
    root = folder / part.path.stem if (folder / part.path.stem).is_dir() else folder
    candidates = [path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    name_counts = Counter(name for path in candidates for name in (path.name, path.stem))
    unique = {name: path for path in candidates for name in (path.name, path.stem) if name_counts[name] == 1}
    return [path if _is_file(path) else unique.get(cell, path) for cell, path in zip(part.paths, paths)]


def _is_file(path: Path) -> bool:
    """Returns whether a path is that of a file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Returns the class names that a Hub parquet file's metadata gives for a column of numbers, or None."""
    try:
        features = load_json((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) and len({*names}) == len(names) else None


@dataclass(frozen=True)
class ParquetImages:
    """Image files inside parquet files, read one group of rows at a time."""

    parts: tuple[_TableFile, ...]

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        """Yields the bytes of the image files at `rows`, which ascend; an `OSError` for an empty cell."""
        start, position = 0, 0
        for part in self.parts:
            file = pq.ParquetFile(part.path)
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                stop = bisect.bisect_left(rows, end, lo=position)
                batch_start = start
                batch_size = max(
                    1, min(BATCH_ROWS, MAX_BATCH_BYTES // max(1, file.metadata.row_group(group).total_byte_size))
                )
                for batch in _batches(part, file, batch_size, group) if stop > position else ():
                    column = batch.column(0).field("bytes") if part.nested else batch.column(0)
                    while position < stop and rows[position] < batch_start + len(column):
                        yield column[rows[position] - batch_start].as_py() or OSError("no image there")
                        position += 1
                    batch_start += len(column)
                start, position = end, stop


def _batches(part: _TableFile, file: pq.ParquetFile, size: int, group: int) -> Iterator[pa.RecordBatch]:
    """Yields the images of a group of rows. Raises `InputError` at the table where the file is damaged."""
    batches = file.iter_batches(size, [group], [part.image])
    while True:
        with _damage_located(part.place, part.path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    """Writes columns of equal length to a parquet file, whole or not at all."""
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_parquet(path: Path) -> list[PlainDict]:
    """Returns the rows of a parquet file. Raises `InputError` for a damaged one."""
    try:
        return cast(list[PlainDict], pq.read_table(path).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"is damaged or no parquet file: {str(error).splitlines()[0]}", str(path)) from None
