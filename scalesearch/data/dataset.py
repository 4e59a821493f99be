"""A data set of image files: opened by what a study says of it, read once, split once, decoded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from scalesearch.data import arrays, boxes, coco, columns, folders, voc, yolo_labels
from scalesearch.data.duplicates import Pair, duplicates
from scalesearch.data.facts import Source, Split
from scalesearch.data.health import Health, check_health, health
from scalesearch.data.index import Index, split_called, stamp_of
from scalesearch.data.pixels import Pixels, store_path, stored
from scalesearch.data.scan import Scan, scan
from scalesearch.data.splits import Shares, assign, difference, rows_of, write_splits
from scalesearch.errors import InputError
from scalesearch.hub import hub_data
from scalesearch.signature import Natural, Rule, Sides

HUB = "hf:"
USUAL = 224  # side that studies train at where images are larger and they don't say


@dataclass(frozen=True)
class Told:
    """What a study says of its data. `source` is a name, a path or `hf:OWNER/NAME`; `image` and `label` name columns.

    `val` and `test` are the shares cut off where the data has no such splits, `unreadable` the share of files that may
    be broken. `mirror` says whether a mirrored image still shows its class; `size` is the side that images are kept
    at, or their height and width.
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


@dataclass(frozen=True)
class DataSet:
    """Images by class. Opening it reads every file, or takes what an earlier reading found where no file changed."""

    told: Told
    index: Index

    @cached_property
    def scan(self) -> Scan:
        return scan(self.index)

    @cached_property
    def pairs(self) -> list[Pair]:
        return duplicates(self.scan)

    @cached_property
    def splits(self) -> list[str]:
        shares = Shares(self.told.val, self.told.test, self.told.seed)
        return assign(self.index, self.scan, self.pairs, shares)

    @cached_property
    def health(self) -> Health:
        return health(self.index, self.scan, self.pairs, self.splits)

    @property
    def channels(self) -> int:
        """As many as pixels have; of files, one where all are grey, else three."""
        if isinstance(self.index.store, arrays.Arrays):
            return self.index.store.pixels.shape[3]
        return 1 if self.scan.grey[self.scan.readable].all() else 3

    def check(self) -> None:
        """Raises `InputError` for what no study should train on."""
        check_health(self.health, self.told.unreadable)

    def source(self, size: Sides) -> Source:
        """Its facts, and its images kept at `size` or, where most are smaller, at theirs: their middles, and where they
        have boxes all of them in letterboxes."""
        truth = self.index.truth
        native = self.scan.longer_side if truth else self.scan.shorter_side
        kept = self.told.size or _within(size, native)
        rows = rows_of(self.splits)
        split = {name: (there, self._labels(there, kept)) for name, there in rows.items()}
        return Source(
            self.told.source.rstrip("/").rpartition("/")[2],
            min(native, USUAL),
            self.channels,
            len(self.index.classes),
            self.told.mirror,
            {name: len(there) for name, there in rows.items()},
            partial(load, self.told, self.scan.digest, kept, self.channels, split),
            self.index.origin,
            "detection" if truth else "classification",
            self.index.classes,
            self.scan.digest,
            kept,
            stamp_of(
                [
                    self.index.classes,
                    list(self.index.labels),
                    self.splits,
                    *([truth.image.tolist(), truth.class_.tolist(), truth.box.tolist()] if truth else []),
                ]
            ),
        )

    def _labels(self, rows: np.ndarray, size: Sides) -> np.ndarray | boxes.Targets:
        """Of some images: the numbers of their classes, or their boxes where they are kept at `size`."""
        if (truth := self.index.truth) is None:
            numbers = {name: i for i, name in enumerate(self.index.classes)}
            return np.array([numbers[self.index.labels[row]] for row in rows], np.int64)
        return boxes.targets(truth.of(rows), self.scan.widths[rows], self.scan.heights[rows], size)

    def keep_splits(self, folder: Path) -> None:
        """Write `splits.parquet` in a run's folder, or hold the images against the one there.

        Raises `InputError` where these have changed since.
        """
        path = folder / "splits.parquet"
        if not path.exists():
            write_splits(path, self.index, self.scan, self.splits)
        elif said := difference(path, self.index, self.scan, self.splits):
            raise InputError(
                f"has changed since the run in {folder} began: {said}; bring it back as it was, or start "
                "anew in another folder with --out",
                self.index.origin,
            )


def _within(size: Sides, native: int) -> Sides:
    """`size` where images have so many pixels on their shorter side, else as much of it, in its shape."""
    if isinstance(size, int):
        return min(size, native)
    share = min(1.0, native / min(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def load(
    told: Told, digest: str, size: Sides, channels: int, rows: Mapping[str, tuple[np.ndarray, Any]]
) -> dict[str, Split]:
    """The images of every split, from the cache of this machine, decoded first where it has none."""
    whole = any(isinstance(labels, boxes.Targets) for _, labels in rows.values())
    path = store_path(digest, size, channels, whole)
    if path.exists():
        pixels = np.load(path, mmap_mode="r")
    else:
        opened = open_data(told)
        if opened.scan.digest != digest:
            raise InputError(
                "has changed since its splits were made; bring it back as it was, or start anew", told.source
            )
        pixels = stored(opened.index, opened.scan, size, channels, whole)
    return {split: (Pixels(pixels, which), labels) for split, (which, labels) in rows.items()}


def open_data(told: Told) -> DataSet:
    """The data set that a path or a name of the Hub leads to; nothing is read of its images yet.

    Raises `InputError`, placed at the path, where there is none.
    """
    index = _index(told)
    key = told, index.stamp
    if key not in _opened:
        while len(_opened) > 3:
            _opened.pop(next(iter(_opened)))
        _opened[key] = DataSet(told, index)
    return _opened[key]


_opened: dict[tuple[Told, str], DataSet] = {}  # as long as no file changes


def _index(told: Told) -> Index:
    origin = told.source
    path = hub_data(origin.removeprefix(HUB), origin) if origin.startswith(HUB) else Path(origin).expanduser()
    if path.is_file() and path.suffix.lower() == ".npz":
        return arrays.read_npz(path, origin)
    if arrays.is_cifar(path):
        return arrays.read_cifar(path, origin)
    if path.is_file() and path.suffix.lower() in columns.TABLES:
        return columns.read_tables([path], origin, told.image, told.label)
    if path.is_dir():
        return _with_boxes(path, origin) or _folder(path, told)
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        return yolo_labels.read_data_yaml(path, origin)
    if path.suffix.lower() == ".json" and path.is_file():
        return coco.read_coco([path], origin, path.parent)
    if path.exists():
        raise InputError(
            f"is no data set; takes a folder, {', '.join(columns.TABLES)}, .npz or CIFAR's archives, and "
            "with boxes a data YAML or COCO's .json",
            origin,
        )
    raise InputError("is no file and no folder", origin)


def _with_boxes(path: Path, origin: str) -> Index | None:
    """Of a folder with boxes in one of the three usual ways."""
    if there := voc.find_voc(path):
        return voc.read_voc(there, origin)
    if files := coco.find_coco(path):
        return coco.read_coco(files, origin, path)
    if (told := yolo_labels.find_yaml(path)) or yolo_labels.has_labels(path):
        return yolo_labels.read_data_yaml(told, origin) if told else yolo_labels.read_labelled(path, origin)
    return None


def _folder(path: Path, told: Told) -> Index:
    """Class folders, where there are two and no columns are named; else tables, at best those called as splits."""
    tables = sorted(p for p in path.rglob("*") if p.suffix.lower() in columns.TABLES and p.is_file())
    if not tables or (folders.has_classes(path) and not (told.image or told.label)):
        return folders.read_folder(path, told.source)
    kinds = {p.suffix.lower() for p in tables}
    kind = ".parquet" if ".parquet" in kinds else tables[0].suffix.lower()
    alike = [p for p in tables if p.suffix.lower() == kind]
    named = [p for p in alike if split_called(p.stem) or split_called(p.parent.name)]
    return columns.read_tables(named or alike, told.source, told.image, told.label)
