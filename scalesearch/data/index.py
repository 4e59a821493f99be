"""A data set as a list of images with their classes and splits, before any pixel is read."""

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
_SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}


def split_from_name(name: str) -> str | None:
    """Returns the split that the name of a folder, a file (`train-00000-of-00002`) or a cell stands for, or None."""
    stem = re.sub(r"[-_.]?\d[-\w]*$", "", name.strip().lower())
    stem = re.sub(r"[-_ ]?(set|data|images|imgs)$", "", stem)
    return next((split for split, names in _SPLIT_NAMES.items() if stem in names), None)


def path_exists(path: Path) -> bool:
    """Returns whether a file or folder exists; False for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def with_slashes(name: str, folder: Path) -> str:
    """Returns a relative path with the backslashes of Windows as `/`, unless a file in `folder` is called so."""
    return name if "\\" not in name or path_exists(folder / name) else name.replace("\\", "/")


class Store(Protocol):
    """Gives access to the images of a data set."""

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        """Yields the images at `rows`, which ascend; an `OSError` for one that cannot be read."""


@dataclass(frozen=True)
class Index:
    """The images of a data set, one row each.

    Attributes:
        origin: How messages name the data set.
        names: Of the images, unique within the data set.
        labels: The class of every image.
        splits: The data's own split of every image; None where it has none.
        classes: Class names in order of their numbers.
        stamp: Changes when a file does.
        store: Reads the images.
        loose: Names of images that belong to no class.
        ignored: Number of files of other kinds by suffix, and of images in folders beside the splits by folder.
        absent: Classes that the data declares but has no image of.
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
    truth: Truth | None = None  # for detection: the boxes; `labels` then hold the rarest class of each image

    def __len__(self) -> int:
        return len(self.names)


def build_index(
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
    """Builds an `Index` from labels as they are written.

    Classes are sorted, numbers by value, unless `classes` gives their order.

    Raises:
        InputError: If labels are numbers in one split and names in another, or of fewer than two classes.
    """
    label_names = [_as_text(unicodedata.normalize("NFC", str(label))) for label in labels]
    _check_labels(label_names, splits, origin)
    class_names = tuple(classes or sorted(set(label_names), key=_label_key))
    if len(class_names) < 2:
        only = f'one class, "{class_names[0]}"' if class_names else "no class"
        raise InputError(
            f"has images of {only}; a classifier needs two or more, each in a folder of its own or named "
            "in a column of labels",
            origin,
        )
    return Index(
        origin, [*map(_as_text, names)], label_names, splits, class_names, stamp, store, loose, ignored or {}, absent
    )


def _as_text(name: str) -> str:
    """Returns a file's name as text, with escapes where it is not valid UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _label_key(label: str) -> tuple[int, int, str]:
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)


def _check_labels(labels: Sequence[str], splits: Sequence[str | None], origin: str) -> None:
    by_split: dict[str | None, set[str]] = {}
    for split, label in zip(splits, labels):
        by_split.setdefault(split, set()).add(label)
    numbers = [s for s, values in by_split.items() if all(label.isdecimal() for label in values)]
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
    """Returns a digest of `parts`, such as files' names, sizes and times of change: 16 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()[:16]


def size_and_mtime(path: Path) -> tuple[int, int]:
    """Returns a file's size in bytes and time of change in nanoseconds; zeros where it does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Files:
    """Images in files of their own."""

    paths: Sequence[Path]

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        """Yields the bytes of the files at `rows`; an `OSError` for one that cannot be read."""
        for row in rows:
            try:
                yield self.paths[row].read_bytes()
            except OSError as error:
                yield error
            except ValueError as error:  # a name that no file can have
                yield OSError(str(error))


@dataclass(frozen=True)
class Arrays:
    """Images in memory, as pixels: uint8 `(images, height, width, channels)`."""

    pixels: np.ndarray

    def read(self, rows: Sequence[int]) -> Iterator[File | OSError]:
        """Yields the pixels of the images at `rows`, `(height, width, channels)` each."""
        for row in rows:
            yield self.pixels[row]
