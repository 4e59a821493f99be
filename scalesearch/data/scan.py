"""Everything in a data set read once: what is broken, turned, grey, and what each image looks like in small."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from scalesearch.data.images import THUMBNAIL, Facts, File, examined
from scalesearch.data.index import Index
from scalesearch.files import cache_folder, whole
from scalesearch.machine import cores
from scalesearch.watched import watched

FORMAT = 2  # of what is kept of a scan; another one is made anew
NOTHING = Facts(0, 0, "", False, False, 0, bytes(3 * THUMBNAIL * THUMBNAIL))  # of what cannot be read
CHUNK = 32  # images that are in memory at a time
MOST_BYTES = 1 << 28  # that they may have together
T = TypeVar("T")


@dataclass(frozen=True)
class Scan:
    """What was found of every image of an index, in its order; `faults` says why one cannot be read, or nothing."""

    faults: Sequence[str]
    widths: np.ndarray
    heights: np.ndarray
    modes: Sequence[str]
    turned: np.ndarray
    animated: np.ndarray
    dhashes: np.ndarray
    thumbnails: np.ndarray  # images × pixels
    digests: Sequence[str]  # of the files' bytes

    @property
    def passing(self) -> bool:
        """Whether some file could not be had at all: what cannot be read of one has a digest."""
        return any(not digest for digest in self.digests)

    @cached_property
    def readable(self) -> np.ndarray:
        return np.array([not fault for fault in self.faults])

    @cached_property
    def grey(self) -> np.ndarray:
        return np.array([mode in ("1", "L", "LA", "La") or mode.startswith("I;16") for mode in self.modes])

    @cached_property
    def shorter_side(self) -> int:
        """The median over readable images, in pixels; 0 where there are none."""
        sides = np.minimum(self.widths, self.heights)[self.readable]
        return int(np.median(sides)) if len(sides) else 0

    @cached_property
    def longer_side(self) -> int:
        sides = np.maximum(self.widths, self.heights)[self.readable]
        return int(np.median(sides)) if len(sides) else 0

    @cached_property
    def digest(self) -> str:
        """16 hex digits that name the contents, whatever the files are called."""
        told = (digest + "!" * bool(fault) for digest, fault in zip(self.digests, self.faults))
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def scan(index: Index) -> Scan:
    """The scan of an index, taken from the cache where no file has changed since."""
    path = cache_folder("scans") / f"{index.stamp}-{FORMAT}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as held:
                return Scan(**{key: held[key] if held[key].dtype.kind != "U" else held[key].tolist() for key in held})
        except (OSError, ValueError, EOFError, TypeError, KeyError, zipfile.BadZipFile):
            path.unlink()  # cut off, or not ours
    made = _made(index)
    if made.passing:  # a file that could not be had may be there the next time
        return made
    with whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{key: np.array(value) for key, value in vars(made).items()})  # type: ignore[arg-type]
    return made


def in_order(index: Index, rows: Sequence[int], work: Callable[[File], T], what: str) -> Iterator[T | Exception]:
    """`work` done on those images by all cores, few of them in memory at a time; what fails comes back as its error."""

    def safe(file: File | OSError) -> T | Exception:
        if isinstance(file, OSError):
            return file
        try:
            return work(file)
        except ValueError as error:
            return error

    with ThreadPoolExecutor(cores()) as pool:
        for chunk in _chunks(watched(index.store.read(rows), what, len(rows))):
            yield from pool.map(safe, chunk)


def _chunks(files: Iterable[File | OSError]) -> Iterator[list[File | OSError]]:
    """`CHUNK` files at a time, or fewer large ones."""
    chunk: list[File | OSError] = []
    size = 0
    for file in files:
        chunk.append(file)
        size += len(file) if isinstance(file, bytes) else getattr(file, "nbytes", 0)
        if len(chunk) == CHUNK or size > MOST_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk


def _made(index: Index) -> Scan:
    def work(file: File) -> tuple:
        held = file.tobytes() if isinstance(file, np.ndarray) else file
        assert isinstance(held, bytes)
        digest = hashlib.blake2b(held, digest_size=16).hexdigest()
        try:
            return "", digest, examined(file)
        except ValueError as error:
            return str(error), digest, None

    count = len(index)
    faults, digests, told = [], [], []
    thumbnails = np.zeros((count, len(NOTHING.thumbnail)), np.uint8)
    for row, found in enumerate(in_order(index, range(count), work, "reading images")):
        fault, digest, facts = (str(found) or "cannot be read", "", None) if isinstance(found, Exception) else found
        faults.append(fault)
        digests.append(digest)
        told.append((facts or NOTHING)[:-1])
        thumbnails[row] = np.frombuffer((facts or NOTHING).thumbnail, np.uint8)
    widths, heights, modes, turned, animated, dhashes = zip(*told)
    return Scan(
        faults,
        np.array(widths),
        np.array(heights),
        modes,
        np.array(turned),
        np.array(animated),
        np.array(dhashes, np.uint64),
        thumbnails,
        digests,
    )
