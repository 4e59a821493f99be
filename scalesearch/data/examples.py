"""The images of one split, one after the other, each with its class: for networks that others have trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scalesearch.data.boxes import Truth
from scalesearch.data.columns import read_parquet
from scalesearch.data.images import File
from scalesearch.data.index import SPLITS, Arrays, Index, index
from scalesearch.data.scan import in_order
from scalesearch.data.sources import data_set, known_source
from scalesearch.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Examples:
    """The rows of an index that are in a split."""

    index: Index
    rows: list[int]
    class_names: tuple[str, ...]
    classes: int

    @property
    def origin(self) -> str:
        return self.index.origin

    def prepared(self, prepare: Callable[[File], T]) -> Iterator[tuple[T, int]]:
        """What `prepare` makes of every image, and the number of its class; by all cores."""
        numbers = {name: number for number, name in enumerate(self.index.classes)}
        return ((image, numbers[self.index.labels[row]]) for row, image in zip(self.rows, self.images(prepare)))

    def images(self, prepare: Callable[[File], T]) -> Iterator[T]:
        """What `prepare` makes of every image; by all cores."""
        made = in_order(self.index, self.rows, prepare, "scoring images")
        for row, image in zip(self.rows, made, strict=True):
            if isinstance(image, Exception):
                raise InputError(f"cannot be read ({image})", f"{self.origin}: {self.index.names[row]}")
            yield image

    @property
    def boxes(self) -> Truth | None:
        """The boxes in them, images counted in their order here."""
        return None if self.index.truth is None else self.index.truth.of(np.array(self.rows, np.int64))


def examples(data: str | Mapping[str, Any], split: str = "test", kept: Path | None = None) -> Examples:
    """The images of a split (train, val or test) of any data set; of one that a training has `kept` the splits of
    (`splits.parquet`), as they were then. Raises `InputError` where there are none.
    """
    if split not in SPLITS:
        raise InputError(f"takes {', '.join(SPLITS)}, got {split!r}", "split")
    if known := known_source(data):
        images, labels = known.load()[split]
        names = known.class_names or tuple(map(str, range(known.classes)))
        held = Arrays(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        told = index(
            known.name,
            [f"{split}:{i}" for i in range(len(labels))],
            [names[label] for label in labels],
            [split] * len(labels),
            known.name,
            held,
            names,
        )
        return Examples(told, list(range(len(labels))), known.class_names, known.classes)
    opened = data_set(data)
    then = {row["image"]: row["split"] for row in read_parquet(kept)} if kept else {}
    same = then.keys() == set(opened.index.names)
    splits = [then[name] for name in opened.index.names] if same else opened.splits
    rows = [row for row, there in enumerate(splits) if there == split and opened.scan.readable[row]]
    if not rows:
        raise InputError(f"has no images for {split}", opened.index.origin)
    return Examples(opened.index, rows, opened.index.classes, len(opened.index.classes))
