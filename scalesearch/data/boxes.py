"""Boxes of a data set as arrays: all of them, and as a detector is trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalesearch.data.images import Sides, placed

TINY = 8  # pixels, under which a detector of usual strides hardly sees a box


@dataclass(frozen=True)
class Truth:
    """All boxes, a row each: of which `image` and `class_` (numbers), `box` the first corner, width and height as
    shares of the image's sides. What was put right is named."""

    image: np.ndarray
    class_: np.ndarray
    box: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    sides: np.ndarray  # (images, 2): told width and height, or 0
    outside: tuple[str, ...] = ()  # images with boxes that reach beyond them
    empty: tuple[str, ...] = ()  # with boxes of no area
    twice: tuple[str, ...] = ()  # with the same box twice
    unlabelled: tuple[str, ...] = ()  # of which nothing is said
    absent: tuple[str, ...] = ()  # what is said of images that are not there

    def of(self, rows: np.ndarray) -> Truth:
        """Of some images, which are counted from 0 again."""
        number = np.full(len(self.sides), -1)
        number[rows] = np.arange(len(rows))
        kept = number[self.image] >= 0
        return Truth(
            number[self.image[kept]],
            self.class_[kept],
            self.box[kept],
            self.crowd[kept],
            self.area[kept],
            self.sides[rows],
        )


@dataclass(frozen=True)
class Targets:
    """The boxes of a split's images in their letterboxes, M at most in one: corners `(n, M, 4)` as shares of the
    letterbox's width and height, classes `(n, M)` that are -1 where there is no box, crowds `(n, M)`, areas `(n, M)` in
    pixels of the photo, how many of these the letterbox is wide and high `(n, 2)`, and where in it the photo lies, as
    corners `(n, 4)`."""

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    extent: np.ndarray
    photo: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


def targets(truth: Truth, widths: np.ndarray, heights: np.ndarray, size: Sides) -> Targets:
    """Of images whose own sides these are, kept at `size`."""
    n = len(widths)
    counts = np.bincount(truth.image, minlength=n)
    most = max(1, int(counts.max(initial=0)))
    first = np.cumsum(counts) - counts
    order = np.argsort(truth.image, kind="stable")
    image = truth.image[order]
    place = np.arange(len(order)) - first[image]
    high, wide = (size, size) if isinstance(size, int) else size
    laid = [placed(int(w), int(h), size) for w, h in zip(widths, heights)]
    inner = np.array([(p.inner_width, p.inner_height) for p in laid], float).reshape(-1, 2)
    start = np.array([(p.left, p.top) for p in laid], float).reshape(-1, 2)
    letterbox = np.array([wide, high], float)
    low = (truth.box[order, :2] * inner[image] + start[image]) / letterbox
    top = ((truth.box[order, :2] + truth.box[order, 2:]) * inner[image] + start[image]) / letterbox
    own = np.stack([widths, heights], 1).reshape(-1, 2)
    pixels = (truth.box[order, 2:] * own[image]).prod(1)
    told = truth.area[order]
    boxes, classes = np.zeros((n, most, 4), np.float32), np.full((n, most), -1, np.int64)
    crowd, area = np.zeros((n, most), bool), np.zeros((n, most), np.float32)
    boxes[image, place] = np.concatenate([low, top], 1)
    classes[image, place], crowd[image, place] = truth.class_[order], truth.crowd[order]
    area[image, place] = np.where(np.isfinite(told), told, pixels)
    extent = own / inner.clip(1) * letterbox
    photo = np.concatenate([start, start + inner], 1) / np.tile(letterbox, 2)
    return Targets(boxes, classes, crowd, area, extent.astype(np.float32), photo.astype(np.float32))


def tiny(truth: Truth, widths: np.ndarray, heights: np.ndarray, resolution: int) -> int:
    """How many boxes have a side under `TINY` pixels where the longer side of their image has `resolution`."""
    own = np.stack([widths, heights], 1).reshape(-1, 2).astype(float)
    scale = resolution / own.max(1).clip(1)
    return int(((truth.box[:, 2:] * own[truth.image] * scale[truth.image, None]).min(1) < TINY).sum())
