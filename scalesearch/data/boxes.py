"""The boxes of a data set as arrays: as annotated, and as training targets of a detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalesearch.data.images import Sides, fit_letterbox

TINY = 8  # pixels; a detector of usual strides can hardly find a smaller box


@dataclass(frozen=True)
class Truth:
    """Holds all boxes of a data set, one row per box, and what the reader corrected.

    `image` and `class_` are numbers `(n,)`; `box` is `(n, 4)` float64: first corner, width and height as
    shares of the image's sides; `crowd` is `(n,)` bool; `area` is `(n,)` in pixels, NaN where it is not
    annotated. The tuples are names of images or annotations.
    """

    image: np.ndarray
    class_: np.ndarray
    box: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    sides: np.ndarray  # (images, 2): annotated width and height in pixels, or 0
    outside: tuple[str, ...] = ()  # images with boxes that reach beyond them
    empty: tuple[str, ...] = ()  # with boxes of no area
    twice: tuple[str, ...] = ()  # with the same box twice
    unlabelled: tuple[str, ...] = ()  # images without annotations
    absent: tuple[str, ...] = ()  # annotations of images that do not exist

    def select(self, rows: np.ndarray) -> Truth:
        """Returns the boxes of the images in `rows`, with images renumbered from 0 in that order.

        The names of corrected images are not kept.
        """
        number = np.full(len(self.sides), -1)
        number[rows] = np.arange(len(rows))
        selected_boxes = number[self.image] >= 0
        return Truth(
            number[self.image[selected_boxes]],
            self.class_[selected_boxes],
            self.box[selected_boxes],
            self.crowd[selected_boxes],
            self.area[selected_boxes],
            self.sides[rows],
        )


@dataclass(frozen=True)
class Targets:
    """Holds the boxes of n images placed in letterboxes, padded to M, the most boxes in one image.

    Attributes:
        boxes: `(n, M, 4)` corners `x1, y1, x2, y2` as shares of the letterbox's width and height.
        classes: `(n, M)` class numbers, -1 where there is no box.
        crowd: `(n, M)` bool.
        area: `(n, M)` in pixels of the original image.
        extent: `(n, 2)` width and height of the letterbox in pixels of the original image.
        photo: `(n, 4)` corners of the image inside its letterbox, as shares of the letterbox's sides.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    extent: np.ndarray
    photo: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


def targets(truth: Truth, widths: np.ndarray, heights: np.ndarray, size: Sides) -> Targets:
    """Builds the `Targets` of images that are placed in letterboxes of `size`.

    Args:
        truth: Boxes whose image numbers index `widths` and `heights`.
        widths: `(n,)` widths of the original images in pixels.
        heights: `(n,)` heights of the original images in pixels.
        size: Side of the letterbox in pixels, or its height and width.
    """
    n = len(widths)
    counts = np.bincount(truth.image, minlength=n)
    max_boxes = max(1, int(counts.max(initial=0)))
    first_row = np.cumsum(counts) - counts
    order = np.argsort(truth.image, kind="stable")
    image = truth.image[order]
    slot = np.arange(len(order)) - first_row[image]
    height, width = (size, size) if isinstance(size, int) else size
    letterboxes = [fit_letterbox(int(w), int(h), size) for w, h in zip(widths, heights)]
    inner = np.array([(p.inner_width, p.inner_height) for p in letterboxes], float).reshape(-1, 2)
    offset = np.array([(p.left, p.top) for p in letterboxes], float).reshape(-1, 2)
    letterbox = np.array([width, height], float)
    min_corner = (truth.box[order, :2] * inner[image] + offset[image]) / letterbox
    max_corner = ((truth.box[order, :2] + truth.box[order, 2:]) * inner[image] + offset[image]) / letterbox
    image_sizes = np.stack([widths, heights], 1).reshape(-1, 2)
    pixels = (truth.box[order, 2:] * image_sizes[image]).prod(1)
    annotated_area = truth.area[order]
    boxes, classes = np.zeros((n, max_boxes, 4), np.float32), np.full((n, max_boxes), -1, np.int64)
    crowd, area = np.zeros((n, max_boxes), bool), np.zeros((n, max_boxes), np.float32)
    boxes[image, slot] = np.concatenate([min_corner, max_corner], 1)
    classes[image, slot], crowd[image, slot] = truth.class_[order], truth.crowd[order]
    area[image, slot] = np.where(np.isfinite(annotated_area), annotated_area, pixels)
    extent = image_sizes / inner.clip(1) * letterbox
    photo = np.concatenate([offset, offset + inner], 1) / np.tile(letterbox, 2)
    return Targets(boxes, classes, crowd, area, extent.astype(np.float32), photo.astype(np.float32))


def count_tiny(truth: Truth, widths: np.ndarray, heights: np.ndarray, resolution: int) -> int:
    """Counts boxes with a side under `TINY` pixels once their image's longer side is resized to `resolution`."""
    image_sizes = np.stack([widths, heights], 1).reshape(-1, 2).astype(float)
    scale = resolution / image_sizes.max(1).clip(1)
    return int(((truth.box[:, 2:] * image_sizes[truth.image] * scale[truth.image, None]).min(1) < TINY).sum())
