"""Decoded images in one memory-mapped file, shared by all processes on a machine that train on them."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from scalesearch.data.images import Sides, center_crop, letterbox_image
from scalesearch.data.index import Index
from scalesearch.data.scan import Scan, map_images
from scalesearch.errors import WorkFailed
from scalesearch.files import atomic_write, cache_folder, file_lock


@dataclass(frozen=True)
class Pixels:
    """The images of a split, as rows of a larger array.

    Attributes:
        store: uint8 `(images, height, width, channels)`.
        rows: `(n,)` indices into `store`.
    """

    store: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns `(images, channels, height, width)`, the order that networks take."""
        _, height, width, channels = self.store.shape
        return len(self), channels, height, width

    def select(self, rows: Sequence[int] | np.ndarray) -> Pixels:
        """Returns the images at `rows` of these."""
        return Pixels(self.store, self.rows[np.asarray(rows)])

    def numpy(self) -> np.ndarray:
        """Returns all images in memory, uint8 `(images, channels, height, width)`."""
        return cast(np.ndarray, self.store[self.rows].transpose(0, 3, 1, 2))


def store_path(digest: str, size: Sides, channels: int, letterbox: bool = False) -> Path:
    """Returns the cache file of images with this digest, size, channels and way of resizing."""
    size_text = size if isinstance(size, int) else "x".join(map(str, size))
    return cache_folder("pixels") / f"{digest}-{size_text}-{channels}{'-whole' if letterbox else ''}.npy"


def load_store(index: Index, scan: Scan, size: Sides, channels: int, letterbox: bool = False) -> np.ndarray:
    """Returns all images of an index at `size` as a memory map, decoding them first where no process has yet.

    Args:
        index: The data set.
        scan: Of the same images. Those that cannot be read stay black; they are in no split.
        size: Side in pixels, or height and width.
        channels: 1 or 3, or an array's own number.
        letterbox: Whether to keep whole images in letterboxes instead of cropping their middles.

    Returns:
        uint8 `(images, height, width, channels)`, read-only.

    Raises:
        WorkFailed: If the disk has no room, or an image can no longer be read.
    """
    path = store_path(scan.digest, size, channels, letterbox)
    shape = (len(index), *((size, size) if isinstance(size, int) else size), channels)
    with file_lock(path.with_suffix(".lock")):
        if not path.exists():
            _write_store(index, scan, path, shape, letterbox)
    return cast(np.ndarray, np.load(path, mmap_mode="r"))


def _write_store(index: Index, scan: Scan, path: Path, shape: tuple[int, int, int, int], letterbox: bool) -> None:
    count, height, width, channels = shape
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    no_room = (
        f"the {count:,} images of {index.origin} take {needed / 1e6:,.0f} MB at {height} × {width} pixels, and "
        f"{path.parent} has {free / 1e6:,.0f} MB free; make room, or name another folder by SCALESEARCH_CACHE"
    )
    if needed > free:
        raise WorkFailed(no_room)
    rows = np.flatnonzero(scan.readable).tolist()
    with atomic_write(path) as temporary:
        try:
            pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            if hasattr(os, "posix_fallocate"):  # writing to an unallocated page of a full disk would kill the process
                with open(temporary, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        except OSError:
            raise WorkFailed(no_room) from None
        description = f"decoding to {height}×{width} ({needed / 1e6:,.0f} MB in {path.parent})"
        size = height, width

        def work(file: Path | bytes | np.ndarray) -> np.ndarray:
            return letterbox_image(file, size, channels)[0] if letterbox else center_crop(file, size, channels)

        for row, image in zip(rows, map_images(index, rows, work, description), strict=True):
            if isinstance(image, Exception):
                raise WorkFailed(f"{index.names[row]} of {index.origin} could be read a moment ago: {image}")
            pixels[row] = image
        pixels.flush()
