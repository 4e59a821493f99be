"""Which image is for training, which for validation, which for the final test: once, by what is in the images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scalesearch.data.duplicates import Pair
from scalesearch.data.index import SPLITS, Index
from scalesearch.data.scan import Scan

LEFT_OUT = ""  # unreadable, or a copy of an image that is tested


@dataclass(frozen=True)
class Shares:
    """How much is cut off for validation and, where the data has no test split of its own, for the test."""

    val: float
    test: float
    seed: int


def assign(index: Index, scan: Scan, pairs: Sequence[Pair], shares: Shares) -> list[str]:
    """The split of every image: the data's own where it has a test, the rest cut by class, copies on one side.

    A data set with training and validation alone is tested on the latter. Exact copies of tested images are left out of
    training. What an image is assigned hangs on its contents and the seed, not on its name or its neighbours.
    """
    given = [split if ok else LEFT_OUT for split, ok in zip(index.splits, scan.readable)]
    there = set(given)
    if "test" not in there and "val" in there:
        given = ["test" if split == "val" else split for split in given]
    told: list[str] = [split or ("train" if ok else LEFT_OUT) for split, ok in zip(given, scan.readable)]
    for held in ("test", "val"):
        kept = {scan.digests[row] for row, split in enumerate(told) if split == held}
        told = [
            LEFT_OUT if split in SPLITS[: SPLITS.index(held)] and scan.digests[row] in kept else split
            for row, split in enumerate(told)
        ]
    cut = {split: share for split, share in (("test", shares.test), ("val", shares.val)) if split not in told}
    _cut(told, index, scan, pairs, cut, shares.seed)
    return told


def _cut(told: list[str], index: Index, scan: Scan, pairs: Sequence[Pair], cut: dict[str, float], seed: int) -> None:
    """Take the splits of `cut` out of training, class by class; of a class's images one at least stays."""
    first = {pair.second: pair.first for pair in pairs}
    groups: dict[int, list[int]] = defaultdict(list)
    for row, split in enumerate(told):
        if split == "train":
            groups[first.get(row, row)].append(row)
    classes: dict[str, list[list[int]]] = defaultdict(list)
    for rows in groups.values():
        classes[index.labels[rows[0]]].append(rows)
    for members in classes.values():
        members.sort(key=lambda rows: hashlib.sha256(f"{seed}:{scan.digests[rows[0]]}".encode()).digest())
        total, at = sum(map(len, members)), 0
        for split, share in cut.items():
            wanted, taken = max(1, round(share * total)), 0
            while at < len(members) - 1 and taken < wanted:
                for row in members[at]:
                    told[row] = split
                taken, at = taken + len(members[at]), at + 1


def write_splits(path: Path, index: Index, scan: Scan, told: Sequence[str]) -> None:
    """`splits.parquet`: a row for every image, with its class, split and the digest of its file."""
    from scalesearch.data.columns import write_parquet

    write_parquet(
        path,
        {
            "image": list(index.names),
            "class": list(index.labels),
            "split": list(told),
            "digest": list(scan.digests),
            "fault": list(scan.faults),
        },
    )


def difference(path: Path, index: Index, scan: Scan, told: Sequence[str]) -> str:
    """How the images differ from those that `splits.parquet` was written of, in words; nothing where they don't."""
    from scalesearch.data.columns import read_parquet

    rows: list[dict[str, Any]] = read_parquet(path)
    before = {row["image"]: (row["class"], row["digest"]) for row in rows}
    now = dict(zip(index.names, zip(index.labels, scan.digests)))
    gone, new = before.keys() - now.keys(), now.keys() - before.keys()
    changed = [name for name in before.keys() & now.keys() if before[name] != now[name]]
    said = [
        f"{len(names)} {what} (as {min(names)})"
        for names, what in ((gone, "gone"), (new, "new"), (changed, "changed"))
        if names
    ]
    was, moved = {row["image"]: row["split"] for row in rows}, dict(zip(index.names, told))
    if not said and (names := [name for name in moved if was[name] != moved[name]]):
        return f"{len(names)} in another split (as {min(names)})"
    return ", ".join(said)


def counts(index: Index, told: Sequence[str]) -> dict[str, dict[str, int]]:
    """Class → images by split, or boxes where they have such; every class and every split that there is."""
    there = [split for split in SPLITS if split in told]
    found = {name: dict.fromkeys(there, 0) for name in index.classes}
    pairs = zip(index.labels, told)
    if (truth := index.truth) is not None:
        pairs = zip([index.classes[c] for c in truth.class_], [told[i] for i in truth.image])
    for label, split in pairs:
        if split:
            found[label][split] += 1
    return found


def rows_of(told: Sequence[str]) -> dict[str, np.ndarray]:
    """The rows of every split."""
    names = np.array(told)
    return {split: np.flatnonzero(names == split) for split in SPLITS}
