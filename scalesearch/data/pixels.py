"""Decoded images in one memory-mapped file, shared by everything on a machine that trains on them."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalesearch.data.images import Sides, letterboxed, middle
from scalesearch.data.index import Index
from scalesearch.data.scan import Scan, in_order
from scalesearch.errors import WorkFailed
from scalesearch.files import cache_folder, file_lock, whole


@dataclass(frozen=True)
class Pixels:
    """The images of a split: rows of `store`, which is uint8, `(images, height, width, channels)`."""

    store: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(images, channels, height, width)`, as networks take them."""
        _, height, width, channels = self.store.shape
        return len(self), channels, height, width

    def of(self, rows: Sequence[int] | np.ndarray) -> Pixels:
        """Some of them."""
        return Pixels(self.store, self.rows[np.asarray(rows)])

    def numpy(self) -> np.ndarray:
        """All of them in memory, `(images, channels, height, width)`."""
        return self.store[self.rows].transpose(0, 3, 1, 2)


def store_path(digest: str, size: Sides, channels: int, whole: bool = False) -> Path:
    called = size if isinstance(size, int) else "x".join(map(str, size))
    return cache_folder("pixels") / f"{digest}-{called}-{channels}{'-whole' if whole else ''}.npy"


def stored(index: Index, scan: Scan, size: Sides, channels: int, whole: bool = False) -> np.ndarray:
    """The middles of all images at `size`, or the `whole` of them in letterboxes, decoded once: made by whichever
    process comes first.

    Images that cannot be read are black, and in no split. Raises `WorkFailed` where the disk has no room.
    """
    path = store_path(scan.digest, size, channels, whole)
    shape = (len(index), *((size, size) if isinstance(size, int) else size), channels)
    with file_lock(path.with_suffix(".lock")):
        if not path.exists():
            _make(index, scan, path, shape, whole)
    return np.load(path, mmap_mode="r")


def _make(index: Index, scan: Scan, path: Path, shape: tuple[int, int, int, int], letterbox: bool) -> None:
    count, height, width, channels = shape
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    room = (
        f"the {count:,} images of {index.origin} take {needed / 1e6:,.0f} MB at {height} × {width} pixels, and "
        f"{path.parent} has {free / 1e6:,.0f} MB free; make room, or name another folder by SCALESEARCH_CACHE"
    )
    if needed > free:
        raise WorkFailed(room)
    rows = np.flatnonzero(scan.readable).tolist()
    with whole(path) as temporary:
        try:
            there = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            if hasattr(os, "posix_fallocate"):  # writing into a hole of a full disk would end the process
                with open(temporary, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        except OSError:
            raise WorkFailed(room) from None
        told = f"decoding to {height}×{width} ({needed / 1e6:,.0f} MB in {path.parent})"
        size = height, width

        def work(file):
            return letterboxed(file, size, channels)[0] if letterbox else middle(file, size, channels)

        for row, image in zip(rows, in_order(index, rows, work, told), strict=True):
            if isinstance(image, Exception):
                raise WorkFailed(f"{index.names[row]} of {index.origin} could be read a moment ago: {image}")
            there[row] = image
        there.flush()
