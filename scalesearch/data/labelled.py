"""Images with boxes as annotated, cleaned where possible: the common output of all readers of boxes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scalesearch.data.boxes import Truth
from scalesearch.data.images import SUFFIXES
from scalesearch.data.index import Files, Index, size_and_mtime, split_from_name, stamp_of
from scalesearch.errors import InputError, format_count

SLACK = 1.5  # pixels that a box may reach beyond its image without a warning, as rounded, 1-based corners do
SHARE_SLACK = 2e-3  # the same as a share of the side, where the image's size is not annotated


class Box(NamedTuple):
    """An annotated box: first corner, width and height as shares of its image's sides.

    Attributes:
        class_: Class number.
        x: Left edge.
        y: Upper edge.
        width: As a share of the image's width.
        height: As a share of the image's height.
        crowd: Whether it marks many objects or one too hard to find. Such a box is neither trained on nor missed.
        area: Of the object in pixels where that is not width times height, else NaN.
    """

    class_: int
    x: float
    y: float
    width: float
    height: float
    crowd: bool = False
    area: float = float("nan")


class LabelledImage(NamedTuple):
    """An annotated image.

    Attributes:
        path: Of the image file.
        name: Of the image within its data set.
        split: The data's own split, or None.
        boxes: None where the image has no annotation; it then counts as one without boxes.
        sides: Annotated width and height in pixels, or None.
    """

    path: Path
    name: str
    split: str | None
    boxes: Sequence[Box] | None
    sides: tuple[int, int] | None = None


def lie_beside_images(folder: Path, suffix: str, is_annotation: Callable[[str], bool]) -> bool:
    """Returns whether files of annotations lie beside the images that they are of: `0.txt` beside `0.png`.

    In each folder the first such file that is not empty decides.

    Args:
        folder: Looked through with all folders below it.
        suffix: Of the annotation files.
        is_annotation: Takes the beginning of a file, and returns whether it is one.
    """
    for root, _, names in os.walk(folder):
        stems = {Path(name).stem for name in names if Path(name).suffix.lower() in SUFFIXES}
        for name in sorted(name for name in names if name.endswith(suffix) and name[: -len(suffix)] in stems):
            if beginning := _read_beginning(Path(root, name)):
                if is_annotation(beginning):
                    return True
                break
    return False


def _read_beginning(path: Path) -> str:
    with suppress(OSError), path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(4096).strip()
    return ""


def split_of_folders(path: Path, folder: Path) -> str | None:
    """Returns the split that a folder above an image, inside `folder`, is called like; None if there is none."""
    parts = path.relative_to(folder).parts[:-1]
    return next((split for part in reversed(parts) if (split := split_from_name(part))), None)


def build_box_index(
    origin: str,
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    *,
    absent: Iterable[str] = (),
    ignored: Mapping[str, int] | None = None,
    files: Iterable[Path] = (),
) -> Index:
    """Builds an `Index` of images with boxes, clipped to their images and cleared of invalid and repeated ones.

    An image's label is the rarest of its classes, so that splits by class share out rare ones.

    Args:
        origin: How messages name the data set.
        images: The images with their boxes.
        classes: Class names by number.
        absent: Names of annotations whose images do not exist.
        ignored: Number of files that are not read, by kind.
        files: The annotation files; the index's stamp depends on them and on the images.

    Raises:
        InputError: If there is no image, or no box in any.
    """
    if not images:
        raise InputError("has no images in it", origin)
    truth = _clean_boxes(images, tuple(absent))
    if not len(truth.image):
        raise InputError(f"has no box in any of its {format_count(len(images), 'image')}", origin)
    class_counts = Counter(truth.class_.tolist())
    rarest: dict[int, int] = {}
    for image, class_ in zip(truth.image.tolist(), truth.class_.tolist()):
        rarest[image] = min(rarest.get(image, class_), class_, key=lambda c: (class_counts[c], c))
    labels = [classes[rarest[i]] if i in rarest else "" for i in range(len(images))]
    named_paths = [*((image.name, image.path) for image in images), *((path.name, path) for path in files)]
    stamp = stamp_of(["boxes", *((name, *size_and_mtime(path)) for name, path in named_paths)])
    return Index(
        origin,
        [image.name for image in images],
        labels,
        [image.split for image in images],
        tuple(classes),
        stamp,
        Files([image.path for image in images]),
        ignored=dict(ignored or {}),
        truth=truth,
    )


def _clean_boxes(images: Sequence[LabelledImage], absent: tuple[str, ...]) -> Truth:
    """Returns the boxes clipped to their images, without empty and repeated ones, which are recorded."""
    rows: list[tuple[int, Box]] = []
    outside, empty, twice = [], [], []
    for i, image in enumerate(images):
        slack = [SLACK / side for side in image.sides] if image.sides and min(image.sides) > 0 else [SHARE_SLACK] * 2
        seen: dict[Box, None] = {}
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
            clipped = Box(box.class_, left, top, right - left, bottom - top, box.crowd, box.area)
            key = clipped._replace(area=0.0)
            twice += [image.name] if key in seen else []
            if key not in seen:
                seen[key] = None
                rows.append((i, clipped))
    boxes = np.array([(b.x, b.y, b.width, b.height) for _, b in rows], np.float64).reshape(-1, 4)

    def unique(names: Iterable[str]) -> tuple[str, ...]:
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
