"""Finds duplicate images: identical files, and near duplicates by difference hash and thumbnail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from scalesearch.data.scan import Scan

BANDS = 4  # parts of the 64-bit hash; hashes that differ in fewer bits than this have a part in common
MAX_BITS = 6  # by which the hashes of near duplicates differ at most
# Bounds of the mean difference between two thumbnails' pixels, in shades of 255: the first, or a share (the second)
# of a thumbnail's own standard deviation but no less than the third, so that plain images must be nearly identical.
# All of the 96 pairs that this finds in CIFAR-10 were two photos of the same object.
MAX_DIFFERENCE, SPREAD_SHARE, MIN_DIFFERENCE = 12.0, 0.35, 1.0
WINDOW = 256  # images with a band in common that are compared at a time; windows overlap by half


class Pair(NamedTuple):
    """Two rows of an index that show the same; `exact` where their files are identical."""

    first: int
    second: int
    exact: bool


def duplicates(scan: Scan) -> list[Pair]:
    """Returns the duplicates of a scan, grouped, as pairs of a group's first image and each other one.

    A group joins images that are alike one to the next, so its ends may differ more.
    """
    rows = np.flatnonzero(scan.readable)
    groups = _Groups()
    by_digest: dict[str, int] = {}
    for row in rows.tolist():
        groups.join(by_digest.setdefault(scan.digests[row], row), row)
    firsts = np.array(sorted(by_digest.values()), dtype=np.int64)
    for one, other in _similar_pairs(scan, firsts):
        groups.join(one, other)
    return [
        Pair(first, other, scan.digests[first] == scan.digests[other])
        for first, *rest in groups.members(rows.tolist())
        for other in rest
    ]


class _Groups:
    """Disjoint sets (union–find), each represented by its smallest member."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}

    def root(self, row: int) -> int:
        while (parent := self.parent.get(row, row)) != row:
            self.parent[row] = self.parent.get(parent, parent)
            row = parent
        return row

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self.parent[high] = low

    def members(self, rows: Iterable[int]) -> list[list[int]]:
        groups: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            groups[self.root(row)].append(row)
        return list(groups.values())


def _similar_pairs(scan: Scan, rows: np.ndarray) -> Iterator[tuple[int, int]]:
    hashes = scan.dhashes[rows]
    width = 64 // BANDS
    for band in range(BANDS):
        part = (hashes >> np.uint64(band * width)) & np.uint64((1 << width) - 1)
        order = np.lexsort((hashes, part))
        edges = np.flatnonzero(np.diff(part[order])) + 1
        for bucket in np.split(order, edges):
            for start in range(0, max(0, len(bucket) - 1), WINDOW // 2):
                yield from _pairs_in_bucket(scan, rows, hashes, bucket[start : start + WINDOW])


def _pairs_in_bucket(scan: Scan, rows: np.ndarray, hashes: np.ndarray, bucket: np.ndarray) -> Iterator[tuple[int, int]]:
    differing = np.bitwise_count(hashes[bucket][:, None] ^ hashes[bucket][None])
    for i, j in np.argwhere(np.triu(differing <= MAX_BITS, 1)):
        one, other = rows[bucket[i]], rows[bucket[j]]
        difference = np.abs(scan.thumbnails[one].astype(np.int16) - scan.thumbnails[other]).mean()
        if difference <= min(MAX_DIFFERENCE, max(MIN_DIFFERENCE, SPREAD_SHARE * scan.thumbnails[one].std())):
            yield int(one), int(other)
