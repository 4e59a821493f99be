"""Boxes drawn into images: as files, as frames of a video, inside a page. Pillow's importer, with `images.py`."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scalesearch.data.images import File, opened, plain, uri
from scalesearch.files import whole

GOLDEN = 0.618034  # of the circle of colours, between one class and the next


class Mark(NamedTuple):
    """A box to draw: first corner, width and height in pixels, what is written above, and a number for its colour."""

    box: tuple[float, float, float, float]
    text: str
    colour: int


def marked(file: File, marks: Sequence[Mark]) -> np.ndarray:
    """The image, upright, with boxes drawn in it, `(height, width, 3)`. ValueError for what is no image."""
    return np.asarray(_marked(file, marks))


def save_marked(file: File, marks: Sequence[Mark], path: Path) -> None:
    """The same as a file."""
    there = _marked(file, marks)
    with whole(path) as temporary:
        there.save(temporary, Image.registered_extensions().get(path.suffix.lower(), "JPEG"), quality=92)


def marked_uri(pixels: np.ndarray, marks: Sequence[Mark], side: int = 240) -> str:
    """Pixels `(height, width, channels)` with boxes drawn in them, `side` pixels on the longer side, to stand inside a
    page; the boxes are in pixels of those."""
    with opened(pixels) as image:
        there = plain(image, 3)
    by = side / max(there.size)
    there = there.resize((max(1, round(there.width * by)), max(1, round(there.height * by))))
    _mark(there, [Mark((x * by, y * by, w * by, h * by), text, c) for (x, y, w, h), text, c in marks])
    return uri(there)


def _marked(file: File, marks: Sequence[Mark]) -> Image.Image:
    with opened(file) as image:
        there = plain(image, 3)
    _mark(there, marks)
    return there


def _mark(there: Image.Image, marks: Sequence[Mark]) -> None:
    pen, line = ImageDraw.Draw(there), max(1, round(max(there.size) / 300))
    font = ImageFont.load_default(max(10, round(max(there.size) / 50)))
    for (x, y, width, height), text, colour in marks:
        shade = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(colour * GOLDEN % 1, 0.75, 0.9))
        pen.rectangle((x, y, max(x, x + width), max(y, y + height)), outline=shade, width=line)
        if not text:
            continue
        left, top, right, bottom = pen.textbbox((x, y), text, font)
        up = min(bottom - top + 4, top)
        pen.rectangle((left, top - up, right + 4, bottom - up + 2), fill=shade)
        pen.text((x + 2, y - up), text, "white", font)
