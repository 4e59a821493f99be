"""Reads every image of a data set once: what is broken, turned or grey, and a thumbnail of each."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from threading import Condition
from typing import Any, TypeVar

import numpy as np

from scalesearch.data.images import THUMBNAIL, File, ImageFacts, examine_image, pixel_count
from scalesearch.data.index import Index
from scalesearch.files import atomic_write, cache_folder
from scalesearch.machine import cores
from scalesearch.progress import with_progress

FORMAT = 3  # version of the cached scans; images are scanned again where it differs
NO_FACTS = ImageFacts(0, 0, "", False, False, 0, 0, bytes(3 * THUMBNAIL * THUMBNAIL))  # of an unreadable image
CHUNK = 32  # images in memory at a time, at most
PIXELS_IN_WORK = 150_000_000  # of the images that are decoded at a time; one image may have as many
MAX_CHUNK_BYTES = 1 << 28  # bytes in memory at a time, roughly
T = TypeVar("T")


@dataclass(frozen=True)
class Scan:
    """What reading the images of an index found, in its order.

    Attributes:
        faults: Why an image cannot be read; empty for one that can.
        widths: `(n,)` in pixels, upright; 0 for an unreadable image.
        heights: `(n,)` in pixels, upright; 0 for an unreadable image.
        modes: Pillow's modes.
        turned: `(n,)` bool, whether EXIF asks to rotate or mirror the pixels.
        animated: `(n,)` bool.
        dhashes: `(n,)` uint64 difference hashes.
        highs: `(n,)` largest values of 16-bit images, 0 for others.
        thumbnails: `(n, pixels)` uint8.
        digests: Of the files' bytes; empty for a file that could not be opened.
    """

    faults: Sequence[str]
    widths: np.ndarray
    heights: np.ndarray
    modes: Sequence[str]
    turned: np.ndarray
    animated: np.ndarray
    dhashes: np.ndarray
    highs: np.ndarray
    thumbnails: np.ndarray  # images × pixels
    digests: Sequence[str]  # of the files' bytes

    @property
    def incomplete(self) -> bool:
        """Returns whether some file could not be opened at all; a file that opens has a digest, even if broken."""
        return any(not digest for digest in self.digests)

    @cached_property
    def readable(self) -> np.ndarray:
        """Returns `(n,)` bool: whether each image can be read."""
        return np.array([not fault for fault in self.faults])

    @cached_property
    def grey(self) -> np.ndarray:
        """Returns `(n,)` bool: whether each image is grey by its mode."""
        return np.array([mode in ("1", "L", "LA", "La") or mode.startswith("I;16") for mode in self.modes])

    @cached_property
    def shorter_side(self) -> int:
        """Returns the median shorter side of readable images in pixels; 0 where there are none."""
        sides = np.minimum(self.widths, self.heights)[self.readable]
        return int(np.median(sides)) if len(sides) else 0

    @cached_property
    def longer_side(self) -> int:
        """Returns the median longer side of readable images in pixels; 0 where there are none."""
        sides = np.maximum(self.widths, self.heights)[self.readable]
        return int(np.median(sides)) if len(sides) else 0

    @cached_property
    def digest(self) -> str:
        """Returns 16 hex digits that identify the contents in order, whatever the files' names."""
        parts = (digest + "!" * bool(fault) for digest, fault in zip(self.digests, self.faults))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def scan(index: Index) -> Scan:
    """Returns the scan of an index, from the cache where no file has changed since."""
    path = cache_folder("scans") / f"{index.stamp}-{FORMAT}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as saved:
                return Scan(
                    **{key: saved[key] if saved[key].dtype.kind != "U" else saved[key].tolist() for key in saved}
                )
        except (OSError, ValueError, EOFError, TypeError, KeyError, zipfile.BadZipFile):
            path.unlink()  # truncated, or not written by this package
    result = _scan_images(index)
    if result.incomplete:  # a missing file may be there the next time
        return result
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{key: np.array(value) for key, value in vars(result).items()})  # type: ignore[arg-type]
    return result


def map_images(index: Index, rows: Sequence[int], work: Callable[[File], T], what: str) -> Iterator[T | Exception]:
    """Yields what `work` returns for the images at `rows`, in order; for a failure, the error itself.

    `work` runs in threads on all cores, with few images in memory at a time. Failures are an `OSError` of
    reading and a `ValueError` of `work`.

    Args:
        index: The data set.
        rows: Of the images, ascending.
        work: Called with each image.
        what: Names the work in a progress bar.
    """

    def safe(file: File | OSError) -> T | Exception:
        if isinstance(file, OSError):
            return file
        try:
            with room.reserve(file.size if isinstance(file, np.ndarray) else pixel_count(file)):
                return work(file)
        except ValueError as error:
            return error

    room = _Room(PIXELS_IN_WORK)

    with ThreadPoolExecutor(cores()) as pool:
        for chunk in _chunks(with_progress(index.store.read(rows), what, len(rows))):
            yield from pool.map(safe, chunk)


class _Room:
    """Lets threads work on as many images at a time as their pixels leave room for, on one at least."""

    def __init__(self, pixels: int):
        self.pixels, self.taken, self.changed = pixels, 0, Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for an image of so many pixels, and takes it while the block runs."""
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + pixels <= self.pixels)
            self.taken += pixels
        try:
            yield
        finally:
            with self.changed:
                self.taken -= pixels
                self.changed.notify_all()


def _chunks(files: Iterable[File | OSError]) -> Iterator[list[File | OSError]]:
    """Yields lists of `CHUNK` files, or of fewer where they are large."""
    chunk: list[File | OSError] = []
    size = 0
    for file in files:
        chunk.append(file)
        size += len(file) if isinstance(file, bytes) else getattr(file, "nbytes", 0)
        if len(chunk) == CHUNK or size > MAX_CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _scan_images(index: Index) -> Scan:
    def work(file: File) -> tuple[Any, ...]:
        content = file.tobytes() if isinstance(file, np.ndarray) else file
        assert isinstance(content, bytes)
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        try:
            return "", digest, examine_image(file)
        except ValueError as error:
            return str(error), digest, None

    count = len(index)
    faults, digests, facts_rows = [], [], []
    thumbnails = np.zeros((count, len(NO_FACTS.thumbnail)), np.uint8)
    for row, result in enumerate(map_images(index, range(count), work, "reading images")):
        fault, digest, facts = (str(result) or "cannot be read", "", None) if isinstance(result, Exception) else result
        faults.append(fault)
        digests.append(digest)
        facts_rows.append((facts or NO_FACTS)[:-1])
        thumbnails[row] = np.frombuffer((facts or NO_FACTS).thumbnail, np.uint8)
    widths, heights, modes, turned, animated, dhashes, highs = zip(*facts_rows)
    return Scan(
        faults,
        np.array(widths),
        np.array(heights),
        modes,
        np.array(turned),
        np.array(animated),
        np.array(dhashes, np.uint64),
        np.array(highs),
        thumbnails,
        digests,
    )
