"""Images that are there twice: the same to the byte, or alike by difference hash and thumbnail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from scalesearch.data.scan import Scan

BANDS = 4  # of the hash's 64 bits: two hashes that differ in fewer bits than this share one of them
BITS = 6  # in which hashes of near duplicates differ at most
# By how much the pixels of their thumbnails differ on average at most: shades of 255, and a share of their own spread,
# so that plain images need to be the same. Of 96 pairs that it finds in CIFAR-10, all were two photos of one thing.
SHADES, SPREAD, NOISE = 12.0, 0.35, 1.0
COMPARED = 256  # of many images with a band in common, each is compared with so many


class Pair(NamedTuple):
    first: int
    second: int
    exact: bool


def duplicates(scan: Scan) -> list[Pair]:
    """Pairs of a group's first image and each other one, groups being what is alike from one image to the next."""
    rows = np.flatnonzero(scan.readable)
    groups = _Groups()
    by_digest: dict[str, int] = {}
    for row in rows.tolist():
        groups.join(by_digest.setdefault(scan.digests[row], row), row)
    firsts = np.array(sorted(by_digest.values()), dtype=np.int64)
    for one, other in _alike(scan, firsts):
        groups.join(one, other)
    return [
        Pair(first, other, scan.digests[first] == scan.digests[other])
        for first, *others in groups.members(rows.tolist())
        for other in others
    ]


class _Groups:
    """Sets that are joined (union–find); the smallest member stands for each."""

    def __init__(self) -> None:
        self.above: dict[int, int] = {}

    def top(self, row: int) -> int:
        while (above := self.above.get(row, row)) != row:
            self.above[row] = self.above.get(above, above)
            row = above
        return row

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.top(one), self.top(other)))
        self.above[high] = low

    def members(self, rows: Iterable[int]) -> list[list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            found[self.top(row)].append(row)
        return list(found.values())


def _alike(scan: Scan, rows: np.ndarray) -> Iterator[tuple[int, int]]:
    hashes = scan.dhashes[rows]
    width = 64 // BANDS
    for band in range(BANDS):
        part = (hashes >> np.uint64(band * width)) & np.uint64((1 << width) - 1)
        order = np.lexsort((hashes, part))
        edges = np.flatnonzero(np.diff(part[order])) + 1
        for bucket in np.split(order, edges):
            for start in range(0, max(0, len(bucket) - 1), COMPARED // 2):
                yield from _pairs(scan, rows, hashes, bucket[start : start + COMPARED])


def _pairs(scan: Scan, rows: np.ndarray, hashes: np.ndarray, bucket: np.ndarray) -> Iterator[tuple[int, int]]:
    differing = np.bitwise_count(hashes[bucket][:, None] ^ hashes[bucket][None])
    for i, j in np.argwhere(np.triu(differing <= BITS, 1)):
        one, other = rows[bucket[i]], rows[bucket[j]]
        apart = np.abs(scan.thumbnails[one].astype(np.int16) - scan.thumbnails[other]).mean()
        if apart <= min(SHADES, max(NOISE, SPREAD * scan.thumbnails[one].std())):
            yield int(one), int(other)
