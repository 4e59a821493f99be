"""Images with boxes as they are told, put right where they can be: what every reader of boxes hands on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scalesearch.data.boxes import Truth
from scalesearch.data.index import Files, Index, stamp_of, told_of
from scalesearch.errors import InputError, numbered

SLACK = 1.5  # pixels by which a box may reach beyond its image without a word: whole numbers, counted from 1, do that
SHARE_SLACK = 2e-3  # the same, of shares


class Box(NamedTuple):
    """A box as it is told: the first corner, width and height as shares of its image's sides.

    `crowd` ones stand for many, or are too hard to be asked for: nothing is trained on them, and none is missed that
    isn't found. `area` in pixels says whether it is small or large, where that is not width times height.
    """

    class_: int
    x: float
    y: float
    width: float
    height: float
    crowd: bool = False
    area: float = float("nan")


class Labelled(NamedTuple):
    """An image with its boxes; None: nothing is said of it, so it counts as one without any. `sides` are the width and
    height that are told of it."""

    path: Path
    name: str
    split: str | None
    boxes: Sequence[Box] | None
    sides: tuple[int, int] | None = None


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder; not where there can't be one of such a name."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def boxed_index(
    origin: str,
    images: Sequence[Labelled],
    classes: Sequence[str],
    *,
    absent: Iterable[str] = (),
    ignored: Mapping[str, int] | None = None,
    files: Iterable[Path] = (),
) -> Index:
    """An `Index` of images with boxes, cut and cleared of what is no box. An image's label is its rarest class, so that
    splits share out rare ones; the stamp hangs on the `files` that tell of them too.

    Raises `InputError` where there is no image, or no box in any.
    """
    if not images:
        raise InputError("has no images in it", origin)
    truth = _cleared(images, tuple(absent))
    if not len(truth.image):
        raise InputError(f"has no box in any of its {numbered(len(images), 'image')}", origin)
    counted = Counter(truth.class_.tolist())
    rarest: dict[int, int] = {}
    for image, class_ in zip(truth.image.tolist(), truth.class_.tolist()):
        rarest[image] = min(rarest.get(image, class_), class_, key=lambda c: (counted[c], c))
    labels = [classes[rarest[i]] if i in rarest else "" for i in range(len(images))]
    paths = [image.path for image in images]
    stamp = stamp_of(
        [
            "boxes",
            *((image.name, *told_of(image.path)) for image in images),
            *((path.name, *told_of(path)) for path in files),
        ]
    )
    return Index(
        origin,
        [image.name for image in images],
        labels,
        [image.split for image in images],
        tuple(classes),
        stamp,
        Files(paths),
        (),
        dict(ignored or {}),
        (),
        truth,
    )


def _cleared(images: Sequence[Labelled], absent: tuple[str, ...]) -> Truth:
    """Boxes cut at their images' edges; those without area, and second ones, left out."""
    rows: list[tuple[int, Box]] = []
    outside, empty, twice = [], [], []
    for i, image in enumerate(images):
        slack = [SLACK / side for side in image.sides] if image.sides and min(image.sides) > 0 else [SHARE_SLACK] * 2
        kept: dict[Box, None] = {}
        for box in image.boxes or ():
            left, top = max(0.0, box.x), max(0.0, box.y)
            right, bottom = min(1.0, box.x + box.width), min(1.0, box.y + box.height)
            beyond = (
                left - box.x > slack[0],
                top - box.y > slack[1],
                box.x + box.width - right > slack[0],
                box.y + box.height - bottom > slack[1],
            )
            if right <= left or bottom <= top:
                empty.append(image.name)
                continue
            outside += [image.name] if any(beyond) else []
            cut = Box(box.class_, left, top, right - left, bottom - top, box.crowd, box.area)
            key = cut._replace(area=0.0)
            twice += [image.name] if key in kept else []
            if key not in kept:
                kept[key] = None
                rows.append((i, cut))
    boxes = np.array([(b.x, b.y, b.width, b.height) for _, b in rows], np.float64).reshape(-1, 4)

    def unique(names):
        return tuple(dict.fromkeys(names))

    return Truth(
        np.array([i for i, _ in rows], np.int64),
        np.array([b.class_ for _, b in rows], np.int64),
        boxes,
        np.array([b.crowd for _, b in rows], bool),
        np.array([b.area for _, b in rows], np.float64),
        np.array([image.sides or (0, 0) for image in images], np.int64).reshape(-1, 2),
        unique(outside),
        unique(empty),
        unique(twice),
        tuple(image.name for image in images if image.boxes is None),
        absent,
    )
