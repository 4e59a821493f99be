"""A data set of image files: opened by a study's `data` section, read once, split once, decoded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np

from scalesearch.data import arrays, boxes, coco, columns, folders, voc, yolo_labels
from scalesearch.data.duplicates import Pair, duplicates
from scalesearch.data.facts import Source, Split
from scalesearch.data.health import Health, check_health, health
from scalesearch.data.index import Files, Index, split_from_name, stamp_of
from scalesearch.data.pixels import Pixels, load_store, store_path
from scalesearch.data.scan import Scan, scan
from scalesearch.data.splits import Shares, assign, describe_changes, rows_by_split, write_splits
from scalesearch.errors import InputError, format_count
from scalesearch.hub import hub_data
from scalesearch.notebook import html_table
from scalesearch.signature import Natural, Rule, Sides

HUB = "hf:"
DEFAULT_RESOLUTION = 224  # pixels; the resolution where a study gives none and images are larger


@dataclass(frozen=True)
class DataConfig:
    """The `data` section of a study.

    Attributes:
        source: A name, a path or `hf:OWNER/NAME`.
        image: The column of images in a table.
        label: The column of labels in a table.
        val: Share of training images for validation where the data has no such split.
        test: Share of training images for the test where the data has no such split.
        seed: Of the splits that are made here.
        unreadable: Share of files that may be broken.
        mirror: Whether a mirrored image still shows its class.
        size: Side in pixels that images are stored at, or their height and width; chosen by the data where None.
    """

    source: str
    image: str | None = None
    label: str | None = None
    val: Annotated[float, Rule(low=0.01, high=0.5)] = 0.15
    test: Annotated[float, Rule(low=0.01, high=0.5)] = 0.15
    seed: Natural = 0
    unreadable: Annotated[float, Rule(low=0, high=1)] = 0.02
    mirror: bool = True
    size: Sides | None = None


@dataclass(frozen=True, repr=False)
class DataSet:
    """A data set of images with classes. Scans are cached on disk and reused while no file changes."""

    config: DataConfig
    index: Index

    def __repr__(self) -> str:
        images, classes = format_count(len(self.index.names), "image"), format_count(len(self.index.classes), "class")
        return f"<DataSet {self.config.source}: {images} in {classes}>"

    def _repr_html_(self) -> str:
        rows = [{"class": name, **counts} for name, counts in self.health.classes.items()]
        return html_table(repr(self)[1:-1], rows) + "".join(f"<p>{escape(line)}</p>" for line in self.health.warnings)

    @cached_property
    def scan(self) -> Scan:
        """Returns what reading every image once has found."""
        return scan(self.index)

    @cached_property
    def pairs(self) -> list[Pair]:
        """Returns the pairs of exact and near duplicates."""
        return duplicates(self.scan)

    @cached_property
    def splits(self) -> list[str]:
        """Returns the split of every image, `LEFT_OUT` for those in none."""
        shares = Shares(self.config.val, self.config.test, self.config.seed)
        return assign(self.index, self.scan, self.pairs, shares)

    @cached_property
    def health(self) -> Health:
        """Returns counts and faults of the data set."""
        return health(self.index, self.scan, self.pairs, self.splits)

    @property
    def channels(self) -> int:
        """Returns the number of channels: an array's own; of files 1 if all are grey, else 3."""
        if isinstance(self.index.store, arrays.Arrays):
            return cast(int, self.index.store.pixels.shape[3])
        return 1 if self.scan.grey[self.scan.readable].all() else 3

    def check(self) -> None:
        """Raises `InputError` for a data set that no study should train on."""
        check_health(self.health, self.config.unreadable)

    def source(self, size: Sides) -> Source:
        """Returns the facts of the data set and a loader of its images, stored at `size` or smaller.

        Images are centre-cropped to that size, or letterboxed where they have boxes. A size in the data's own
        config takes precedence; else `size` (a side in pixels, or height and width) is reduced to the median
        image's side.
        """
        truth = self.index.truth
        box_values = [truth.image.tolist(), truth.class_.tolist(), truth.box.tolist()] if truth else []
        native = self.scan.longer_side if truth else self.scan.shorter_side
        stored_size = self.config.size or _fit_size(size, native)
        rows = rows_by_split(self.splits)
        labelled_rows = {
            name: (split_rows, self._split_labels(split_rows, stored_size)) for name, split_rows in rows.items()
        }
        return Source(
            self.config.source.rstrip("/").rpartition("/")[2],
            min(native, DEFAULT_RESOLUTION),
            self.channels,
            len(self.index.classes),
            self.config.mirror,
            {name: len(split_rows) for name, split_rows in rows.items()},
            partial(load, self.config, self.scan.digest, stored_size, self.channels, labelled_rows),
            self.index.origin,
            "detection" if truth else "classification",
            self.index.classes,
            self.scan.digest,
            stored_size,
            stamp_of([self.index.classes, list(self.index.labels), self.splits, *box_values]),
        )

    def _split_labels(self, rows: np.ndarray, size: Sides) -> np.ndarray | boxes.Targets:
        """Returns the class numbers of images, `(n,)` int64, or their boxes in letterboxes of `size`."""
        if (truth := self.index.truth) is None:
            numbers = {name: i for i, name in enumerate(self.index.classes)}
            return np.array([numbers[self.index.labels[row]] for row in rows], np.int64)
        return boxes.targets(truth.select(rows), self.scan.widths[rows], self.scan.heights[rows], size)

    def save_or_check_splits(self, folder: Path) -> None:
        """Writes `splits.parquet` in a run's folder, or checks that the images are those of the file there.

        Raises `InputError` where they have changed since the file was written.
        """
        path = folder / "splits.parquet"
        if not path.exists():
            write_splits(path, self.index, self.scan, self.splits)
        elif changes := describe_changes(path, self.index, self.scan, self.splits):
            raise InputError(
                f"has changed since the run in {folder} began: {changes}; bring it back as it was, or start "
                "anew in another folder with --out",
                self.index.origin,
            )


def _fit_size(size: Sides, native: int) -> Sides:
    """Returns `size`, scaled down in its shape where images have a side of only `native` pixels."""
    if isinstance(size, int):
        return min(size, native)
    scale = min(1.0, native / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def load(
    config: DataConfig, digest: str, size: Sides, channels: int, rows: Mapping[str, tuple[np.ndarray, Any]]
) -> dict[str, Split]:
    """Returns images and labels by split, from this machine's cache; decodes them first where it has none.

    Args:
        config: The data set, opened again if images must be decoded.
        digest: Of the contents that the rows refer to.
        size: Side in pixels that images are stored at, or their height and width.
        channels: 1 or 3, or an array's own number.
        rows: By split, the rows of its images and their labels.

    Raises:
        InputError: If the images have changed since the splits were made.
    """
    letterbox = any(isinstance(labels, boxes.Targets) for _, labels in rows.values())
    path = store_path(digest, size, channels, letterbox)
    if path.exists():
        pixels = np.load(path, mmap_mode="r")
    else:
        data = open_data(config)
        if data.scan.digest != digest:
            raise InputError(
                "has changed since its splits were made; bring it back as it was, or start anew", config.source
            )
        pixels = load_store(data.index, data.scan, size, channels, letterbox)
    return {split: (Pixels(pixels, split_rows), labels) for split, (split_rows, labels) in rows.items()}


def open_data(config: DataConfig) -> DataSet:
    """Opens the data set at a path or a name of the Hub; no image is read yet.

    Raises `InputError`, placed at the path, where there is none.
    """
    index = _read_index(config)
    key = config, index.stamp
    if key not in _data_sets:
        while len(_data_sets) > 3:
            _data_sets.pop(next(iter(_data_sets)))
        _data_sets[key] = DataSet(config, index)
    return _data_sets[key]


_data_sets: dict[tuple[DataConfig, str], DataSet] = {}  # the latest few; a changed file changes the stamp


def _read_index(config: DataConfig) -> Index:
    origin = config.source
    path = hub_data(origin.removeprefix(HUB), origin) if origin.startswith(HUB) else Path(origin).expanduser()
    if path.is_file() and path.suffix.lower() == ".npz":
        return arrays.read_npz(path, origin)
    if arrays.is_cifar(path):
        return arrays.read_cifar(path, origin)
    if path.is_file() and path.suffix.lower() in columns.TABLE_SUFFIXES:
        return columns.read_tables([path], origin, config.image, config.label)
    if path.is_dir():
        return _read_box_folder(path, origin) or _read_folder(path, config)
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        return yolo_labels.read_data_yaml(path, origin)
    if path.suffix.lower() == ".json" and path.is_file():
        return coco.read_coco([path], origin, path.parent)
    if path.exists():
        raise InputError(
            f"is no data set; takes a folder, {', '.join(columns.TABLE_SUFFIXES)}, .npz or CIFAR's archives, and "
            "with boxes a data YAML or COCO's .json",
            origin,
        )
    raise InputError("is no file and no folder", origin)


def _read_box_folder(path: Path, origin: str) -> Index | None:
    """Returns the index of a folder with boxes in the format of VOC, COCO or YOLO, or None.

    Raises `InputError` where a folder is described in more than one way.
    """
    voc_folder, coco_files = voc.find_voc(path), coco.find_coco(path)
    data_yaml, has_labels = yolo_labels.find_yaml(path, origin), yolo_labels.has_labels(path)
    classes = _competing_classes(path, data_yaml) if data_yaml or has_labels else []
    descriptions = {
        f"VOC's .xml files in {voc_folder}": voc_folder,
        f"COCO's {coco_files[0] if coco_files else ''}": coco_files,
        f"YOLO's {data_yaml or 'label files (.txt)'}": data_yaml or has_labels,
        f"classes by folders ({', '.join(classes[:3])})": classes,
    }
    found = [description for description, value in descriptions.items() if value]
    if len(found) > 1:
        ways = " and ".join(found)
        raise InputError(f"is described in {len(found)} ways: {ways}; name a file, or take the other away", origin)
    if voc_folder:
        return voc.read_voc(voc_folder, origin)
    if coco_files:
        return coco.read_coco(coco_files, origin, path)
    if data_yaml:
        return yolo_labels.read_data_yaml(data_yaml, origin)
    return yolo_labels.read_labelled(path, origin) if has_labels else None


def _competing_classes(path: Path, data_yaml: Path | None) -> list[str]:
    """Returns the class folders of a data set with YOLO's labels that may be meant as its classes instead."""
    names = folders.class_names(path) if folders.has_classes(path) else []
    if data_yaml:
        return [name for name in names if name in yolo_labels.class_names(data_yaml)]
    return [] if yolo_labels.has_label_folders(path) or yolo_labels.has_names(path) else names


def _read_folder(path: Path, config: DataConfig) -> Index:
    """Reads class folders, if there are two or more and the config names no columns; else the folder's tables.

    Of tables those are read whose names are names of splits, or all where there are no such. Tables and images that
    are not read are told in the health of the data set.

    Raises `InputError` for tables of several formats.
    """
    tables = sorted(p for p in path.rglob("*") if p.suffix.lower() in columns.TABLE_SUFFIXES and p.is_file())
    if not tables or (folders.has_classes(path) and not (config.image or config.label)):
        return folders.read_folder(path, config.source)
    suffixes = sorted({p.suffix.lower() for p in tables})
    if len(suffixes) > 1:
        a, b = (next(p for p in tables if p.suffix.lower() == suffix).relative_to(path) for suffix in suffixes[:2])
        raise InputError(f"holds tables of several formats ({a}, {b}); name the one that is meant", config.source)
    split_tables = [p for p in tables if split_from_name(p.stem) or split_from_name(p.parent.name)]
    chosen = split_tables or tables
    index = columns.read_tables(chosen, config.source, config.image, config.label)
    unread = {p.relative_to(path).as_posix(): 1 for p in tables if p not in chosen}
    if not isinstance(index.store, Files):
        return replace(index, ignored=unread | dict(index.ignored))
    listed = set(index.store.paths)
    loose = sorted(p.relative_to(path).as_posix() for p in folders.image_files_below(path) if p not in listed)
    return replace(index, loose=tuple(loose), ignored=unread | dict(index.ignored))
