"""Assigns images to training, validation and test, once, by the images' contents."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalesearch.data.duplicates import Pair
from scalesearch.data.index import SPLITS, Index
from scalesearch.data.scan import Scan
from scalesearch.plain_data import PlainDict

LEFT_OUT = ""  # unreadable, or a copy of an image that is tested


@dataclass(frozen=True)
class Shares:
    """Shares, in [0, 1], of training images cut off for validation and test where the data lacks these splits."""

    val: float
    test: float
    seed: int


def assign(index: Index, scan: Scan, pairs: Sequence[Pair], shares: Shares) -> list[str]:
    """Returns the split of every image: the data's own where it has a test, the rest cut class by class.

    The validation split of data without a test becomes its test. Exact copies of a test image are left out of
    training and validation, those of a validation image out of training. Duplicates are cut together. The cut
    depends on the images' contents and the seed, not on names.

    Args:
        index: The data set.
        scan: Of its images.
        pairs: Its duplicates.
        shares: What to cut off, and the seed.
    """
    own_splits = [split if ok else LEFT_OUT for split, ok in zip(index.splits, scan.readable)]
    split_names = set(own_splits)
    if "test" not in split_names and "val" in split_names:
        own_splits = ["test" if split == "val" else split for split in own_splits]
    row_splits: list[str] = [split or ("train" if ok else LEFT_OUT) for split, ok in zip(own_splits, scan.readable)]
    for heldout in ("test", "val"):
        digests = {scan.digests[row] for row, split in enumerate(row_splits) if split == heldout}
        row_splits = [
            LEFT_OUT if split in SPLITS[: SPLITS.index(heldout)] and scan.digests[row] in digests else split
            for row, split in enumerate(row_splits)
        ]
    cut = {split: share for split, share in (("test", shares.test), ("val", shares.val)) if split not in row_splits}
    _cut_splits(row_splits, index, scan, pairs, cut, shares.seed)
    return row_splits


def _cut_splits(
    row_splits: list[str], index: Index, scan: Scan, pairs: Sequence[Pair], shares: dict[str, float], seed: int
) -> None:
    """Moves shares of each class from training to other splits; at least one group of duplicates stays."""
    first = {pair.second: pair.first for pair in pairs}
    groups: dict[int, list[int]] = defaultdict(list)
    for row, split in enumerate(row_splits):
        if split == "train":
            groups[first.get(row, row)].append(row)
    classes: dict[str, list[list[int]]] = defaultdict(list)
    for rows in groups.values():
        classes[index.labels[rows[0]]].append(rows)
    for members in classes.values():
        members.sort(key=lambda rows: hashlib.sha256(f"{seed}:{scan.digests[rows[0]]}".encode()).digest())
        total, position = sum(map(len, members)), 0
        for split, share in shares.items():
            target, count = max(1, round(share * total)), 0
            while position < len(members) - 1 and count < target:
                for row in members[position]:
                    row_splits[row] = split
                count, position = count + len(members[position]), position + 1


def write_splits(path: Path, index: Index, scan: Scan, row_splits: Sequence[str]) -> None:
    """Writes `splits.parquet`: the class, split, digest and fault of every image."""
    from scalesearch.data.columns import write_parquet

    write_parquet(
        path,
        {
            "image": list(index.names),
            "class": list(index.labels),
            "split": list(row_splits),
            "digest": list(scan.digests),
            "fault": list(scan.faults),
        },
    )


def describe_changes(path: Path, index: Index, scan: Scan, row_splits: Sequence[str]) -> str:
    """Returns in words how the images differ from those listed in a `splits.parquet`; an empty text if they don't."""
    from scalesearch.data.columns import read_parquet

    rows: list[PlainDict] = read_parquet(path)
    before = {row["image"]: (row["class"], row["digest"]) for row in rows}
    now = dict(zip(index.names, zip(index.labels, scan.digests)))
    gone, new = before.keys() - now.keys(), now.keys() - before.keys()
    changed = [name for name in before.keys() & now.keys() if before[name] != now[name]]
    changes = [
        f"{len(names)} {what} (as {min(names)})"
        for names, what in ((gone, "gone"), (new, "new"), (changed, "changed"))
        if names
    ]
    old_splits, new_splits = {row["image"]: row["split"] for row in rows}, dict(zip(index.names, row_splits))
    if not changes and (names := [name for name in new_splits if old_splits[name] != new_splits[name]]):
        return f"{len(names)} in another split (as {min(names)})"
    return ", ".join(changes)


def count_by_class(index: Index, row_splits: Sequence[str]) -> dict[str, dict[str, int]]:
    """Counts images, or boxes where there are any, by class and by split; left-out images are not counted."""
    split_names = [split for split in SPLITS if split in row_splits]
    by_class = {name: dict.fromkeys(split_names, 0) for name in index.classes}
    pairs = zip(index.labels, row_splits)
    if (truth := index.truth) is not None:
        pairs = zip([index.classes[c] for c in truth.class_], [row_splits[i] for i in truth.image])
    for label, split in pairs:
        if split:
            by_class[label][split] += 1
    return by_class


def rows_by_split(row_splits: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the rows of the images in each split."""
    names = np.array(row_splits)
    return {split: np.flatnonzero(names == split) for split in SPLITS}
