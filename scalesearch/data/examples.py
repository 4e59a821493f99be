"""The images of one split in order, with their classes: for scoring networks that are already trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from scalesearch.data.boxes import Truth
from scalesearch.data.columns import read_parquet
from scalesearch.data.images import File
from scalesearch.data.index import SPLITS, Arrays, Index, build_index
from scalesearch.data.scan import map_images
from scalesearch.data.sources import data_set, registered_source
from scalesearch.errors import InputError
from scalesearch.plain_data import PlainMapping

T = TypeVar("T")


@dataclass(frozen=True)
class Examples:
    """The images of one split of a data set.

    Attributes:
        index: The whole data set.
        rows: The rows of the index that are in the split.
        class_names: By class number; may be empty for a source that names none.
        classes: Number of classes.
    """

    index: Index
    rows: list[int]
    class_names: tuple[str, ...]
    classes: int

    @property
    def origin(self) -> str:
        """Returns the name that messages give the data set."""
        return self.index.origin

    def labelled_images(self, prepare: Callable[[File], T]) -> Iterator[tuple[T, int]]:
        """Yields what `prepare` returns for every image, with the number of its class.

        `prepare` runs in threads on all cores. Raises `InputError` for an image that cannot be read.
        """
        numbers = {name: number for number, name in enumerate(self.index.classes)}
        return ((image, numbers[self.index.labels[row]]) for row, image in zip(self.rows, self.images(prepare)))

    def images(self, prepare: Callable[[File], T]) -> Iterator[T]:
        """Yields what `prepare` returns for every image, in order.

        `prepare` runs in threads on all cores. Raises `InputError` for an image that cannot be read.
        """
        results = map_images(self.index, self.rows, prepare, "scoring images")
        for row, image in zip(self.rows, results, strict=True):
            if isinstance(image, Exception):
                raise InputError(f"cannot be read ({image})", f"{self.origin}: {self.index.names[row]}")
            yield image

    @property
    def boxes(self) -> Truth | None:
        """Returns the boxes of these images, numbered in their order here; None for a classification set."""
        return None if self.index.truth is None else self.index.truth.select(np.array(self.rows, np.int64))


def examples(data: str | PlainMapping, split: str = "test", splits_file: Path | None = None) -> Examples:
    """Returns the images of a split of any data set.

    Args:
        data: A name, a path or a `data` section.
        split: train, val or test.
        splits_file: The `splits.parquet` of a training run. Its splits are used if it lists the same images.

    Raises:
        InputError: If there is no such split, or it has no readable image.
    """
    if split not in SPLITS:
        raise InputError(f"takes {', '.join(SPLITS)}, got {split!r}", "split")
    if entry := registered_source(data):
        images, labels = entry.load()[split]
        names = entry.class_names or tuple(map(str, range(entry.classes)))
        arrays = Arrays(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        split_index = build_index(
            entry.name,
            [f"{split}:{i}" for i in range(len(labels))],
            [names[label] for label in labels],
            [split] * len(labels),
            entry.name,
            arrays,
            names,
        )
        return Examples(split_index, list(range(len(labels))), entry.class_names, entry.classes)
    dataset = data_set(data)
    saved_splits = {row["image"]: row["split"] for row in read_parquet(splits_file)} if splits_file else {}
    same_images = saved_splits.keys() == set(dataset.index.names)
    splits = [saved_splits[name] for name in dataset.index.names] if same_images else dataset.splits
    rows = [row for row, row_split in enumerate(splits) if row_split == split and dataset.scan.readable[row]]
    if not rows:
        raise InputError(f"has no images for {split}", dataset.index.origin)
    return Examples(dataset.index, rows, dataset.index.classes, len(dataset.index.classes))
