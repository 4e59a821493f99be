"""Draws boxes into images: for files, for frames of a video, and inside a page.

With `images.py` the only importer of Pillow.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scalesearch.data.images import File, open_image, thumbnail, upright_8bit, webp_uri
from scalesearch.files import atomic_write

HUE_STEP = 0.618034  # step in hue, as a share of the full circle, from one class to the next


class Mark(NamedTuple):
    """A box to draw.

    Attributes:
        box: First corner, width and height in pixels.
        text: Written above the box; none where empty.
        colour: A number that picks the hue, such as that of a class.
    """

    box: tuple[float, float, float, float]
    text: str
    colour: int


def draw_marks(file: File, marks: Sequence[Mark]) -> np.ndarray:
    """Returns an image, upright, with boxes drawn into it: uint8 `(height, width, 3)`.

    Raises `ValueError` for a file that is no image.
    """
    return np.asarray(_load_and_draw(file, marks))


def save_drawing(file: File, marks: Sequence[Mark], path: Path) -> None:
    """Writes an image, upright, with boxes drawn into it to `path`, in the format of its suffix or as JPEG.

    Raises `ValueError` for a file that is no image.
    """
    canvas = _load_and_draw(file, marks)
    with atomic_write(path) as temporary:
        canvas.save(temporary, Image.registered_extensions().get(path.suffix.lower(), "JPEG"), quality=92)


def drawing_uri(pixels: np.ndarray, marks: Sequence[Mark], side: int = 240) -> str:
    """Returns a data URI of an image with boxes drawn into it, to be placed inside a page.

    Args:
        pixels: uint8 `(height, width, channels)`.
        marks: Boxes in pixels of that array.
        side: Longer side of the drawing in pixels.
    """
    with open_image(pixels) as image:
        canvas = upright_8bit(image, 3)
    scale = side / max(canvas.size)
    canvas = canvas.resize((max(1, round(canvas.width * scale)), max(1, round(canvas.height * scale))))
    _draw(canvas, [Mark((x * scale, y * scale, w * scale, h * scale), text, c) for (x, y, w, h), text, c in marks])
    return webp_uri(canvas)


def boxed_thumbnail_uri(file: File, boxes: np.ndarray, classes: Sequence[int], size: int = 240) -> str:
    """Returns a data URI of a thumbnail with boxes drawn into it; an empty text for a file that is no image.

    Args:
        file: The image.
        boxes: `(n, 4)` first corner, width and height as shares of the upright image's sides.
        classes: `(n,)` class numbers, which pick the colours.
        size: Longer side of the thumbnail in pixels, at most.
    """
    if (small := thumbnail(file, size)) is None:
        return ""
    pixels = boxes * np.tile(small.size, 2)
    _draw(small, [Mark(tuple(box), "", int(class_)) for box, class_ in zip(pixels.tolist(), classes)])
    return webp_uri(small)


def _load_and_draw(file: File, marks: Sequence[Mark]) -> Image.Image:
    with open_image(file) as image:
        canvas = upright_8bit(image, 3)
    _draw(canvas, marks)
    return canvas


def _draw(canvas: Image.Image, marks: Sequence[Mark]) -> None:
    pen, line_width = ImageDraw.Draw(canvas), max(1, round(max(canvas.size) / 300))
    font = ImageFont.load_default(max(10, round(max(canvas.size) / 50)))
    for (x, y, width, height), text, colour in marks:
        rgb = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(colour * HUE_STEP % 1, 0.75, 0.9))
        pen.rectangle((x, y, max(x, x + width), max(y, y + height)), outline=rgb, width=line_width)
        if not text:
            continue
        left, top, right, bottom = pen.textbbox((x, y), text, font)
        label_height = min(bottom - top + 4, top)
        pen.rectangle((left, top - label_height, right + 4, bottom - label_height + 2), fill=rgb)
        pen.text((x + 2, y - label_height), text, "white", font)
