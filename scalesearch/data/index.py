"""A data set as a list of images with their classes and splits, before a pixel is read."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scalesearch.data.images import File
from scalesearch.errors import InputError

if TYPE_CHECKING:
    from scalesearch.data.boxes import Truth

SPLITS = ("train", "val", "test")
_CALLED = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def split_called(name: str) -> str | None:
    """The split that a folder, a file (`train-00000-of-00002`) or a cell is called, or none."""
    plain = re.sub(r"[-_.]?\d[-\w]*$", "", name.strip().lower())
    return _CALLED.get(re.sub(r"[-_ ]?(set|data)$", "", plain))


class Store(Protocol):
    """What holds the images."""

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        """Those images, in ascending order of rows; an error where one is not to be had."""


@dataclass(frozen=True)
class Index:
    """The images of a data set: what they are called (within `origin`), their classes and, where they have any,
    splits. `stamp` changes when a file does. `loose` lie in no class; `ignored` counts files of other kinds by suffix;
    `absent` are classes that are spoken of and have no image.
    """

    origin: str
    names: Sequence[str]
    labels: Sequence[str]
    splits: Sequence[str | None]
    classes: tuple[str, ...]
    stamp: str
    store: Store
    loose: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    truth: Truth | None = None  # the boxes in the images, where they are for detection; labels are rarest classes then

    def __len__(self) -> int:
        return len(self.names)


def index(
    origin: str,
    names: Sequence[str],
    labels: Sequence[object],
    splits: Sequence[str | None],
    stamp: str,
    store: Store,
    classes: Sequence[str] | None = None,
    loose: tuple[str, ...] = (),
    ignored: Mapping[str, int] | None = None,
    absent: tuple[str, ...] = (),
) -> Index:
    """An `Index` of labels as they are written. Raises `InputError` where these are numbers in one split and names in
    another, where there are none, and where all are one class."""
    told = [_shown(unicodedata.normalize("NFC", str(label))) for label in labels]
    _check_alike(told, splits, origin)
    ordered = tuple(classes or sorted(set(told), key=_in_order))
    if len(ordered) < 2:
        only = f'one class, "{ordered[0]}"' if ordered else "no class"
        raise InputError(
            f"has images of {only}; a classifier needs two or more, each in a folder of its own or named "
            "in a column of labels",
            origin,
        )
    return Index(origin, [*map(_shown, names)], told, splits, ordered, stamp, store, loose, ignored or {}, absent)


def _shown(name: str) -> str:
    """A file's name as text, also where it is none in UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _in_order(label: str) -> tuple[int, int, str]:
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)


def _check_alike(labels: Sequence[str], splits: Sequence[str | None], origin: str) -> None:
    by_split: dict[str | None, set[str]] = {}
    for split, label in zip(splits, labels):
        by_split.setdefault(split, set()).add(label)
    numbers = [s for s, there in by_split.items() if all(label.isdecimal() for label in there)]
    names = [s for s in by_split if s not in numbers]
    if numbers and names:
        a, b = numbers[0], names[0]
        if by_split[a] & by_split[b]:
            return  # some names are numbers
        raise InputError(
            f"labels are numbers in {a} (as {min(by_split[a])}) and names in {b} (as "
            f"{min(by_split[b])}); write them alike",
            origin,
        )


def stamp_of(parts: Iterable[object]) -> str:
    """16 hex digits that name what a data set's files are, told by their names, sizes and times of change."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()[:16]


def told_of(path: Path) -> tuple[int, int]:
    """Size and time of change; nothing of a file that isn't there."""
    try:
        there = os.stat(path)
    except OSError:
        return 0, 0
    return there.st_size, there.st_mtime_ns


@dataclass(frozen=True)
class Files:
    """Images in files of their own."""

    paths: Sequence[Path]

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        for row in rows:
            try:
                yield self.paths[row].read_bytes()
            except OSError as error:
                yield error


@dataclass(frozen=True)
class Arrays:
    """Pixels in memory, `(images, height, width, channels)` uint8."""

    pixels: np.ndarray

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        for row in rows:
            yield self.pixels[row]
