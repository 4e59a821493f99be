"""An image file → pixels, the same way for training and for prediction. Pillow's importer, with `drawing.py`."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Sides = int | tuple[int, int]  # a square's, or height and width
File = Path | bytes | np.ndarray  # where an image lies, what is in its file, or its pixels (height, width, channels)

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
MOST_PIXELS = 150_000_000  # of an image
LONGEST = 200  # times the shorter side: of a data set's images, a square of it would be a line
THIN = 5  # times the shorter side, beyond which only an image's middle is resized
ORIENTATION = 0x0112  # EXIF's tag: how the camera was held
TURNED = range(2, 9)
LYING = range(5, 9)  # on its side: width and height change places
SIXTEEN = ("PPM", "PNG")  # formats whose pixels have 16 bits at most: what Pillow holds in 32 is of that range
THUMBNAIL = 16  # side of what near duplicates are compared by
HASHED = 9, 8  # width and height of what a difference hash (dHash) is taken of
LETTERBOX = 114  # the grey around images of another shape, which detectors are trained with
DRAFTED = 1.25  # JPEGs are decoded no smaller than this many times the size that is wanted


class Facts(NamedTuple):
    """What an image was before anything was done to it; width and height as it stands upright."""

    width: int
    height: int
    mode: str  # Pillow's: RGB, L, RGBA, P, CMYK, I;16, …
    turned: bool  # by EXIF, from the way its pixels lie
    animated: bool  # then its first frame is taken
    dhash: int  # 64 bits: of 9 × 8 grey pixels, whether each is lighter than the one to its right
    thumbnail: bytes  # 16 × 16 pixels of three channels


_opening = threading.Lock()


@contextmanager
def opened(file: File) -> Iterator[Image.Image]:
    """The image, before a pixel is decoded; of pixels, one of its first one or three channels.

    ValueError for what is no image, and for one with too many pixels: our limit comes before Pillow's.
    """
    try:
        with _open(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {image.width} × {image.height} pixels; at most {MOST_PIXELS:,}")
            yield image
    except MemoryError:
        raise ValueError("it takes more memory than there is") from None
    except UnidentifiedImageError:
        raise ValueError("cannot identify it") from None
    except Exception as error:  # whatever a decoder stumbles over is that file's fault and no other's
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(said or type(error).__name__) from None


def _open(file: File) -> Image.Image:
    if isinstance(file, np.ndarray):
        return Image.fromarray(file[:, :, :3] if file.shape[2] >= 3 else file[:, :, 0])
    if not isinstance(file, bytes):
        file = file.read_bytes()
    if not file:
        raise ValueError("it is empty")
    with _opening:  # Pillow's limit is one of the whole process
        theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(file))
        finally:
            Image.MAX_IMAGE_PIXELS = theirs


def _is_sixteen(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN)


def plain(image: Image.Image, channels: int) -> Image.Image:
    """Turned as EXIF says that the camera was held, and 8 bits in one channel (grey) or three (red, green, blue).

    16-bit grey is divided by 257, palettes and CMYK are looked up, what is transparent lies on white. ValueError for
    32-bit pixels, whose range nobody knows.
    """
    sixteen = _is_sixteen(image)
    image = ImageOps.exif_transpose(image)
    if sixteen:
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in ("I", "F"):
        raise ValueError("it has 32-bit pixels")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return image.convert("L" if channels == 1 else "RGB")


def cropped(image: Image.Image, resize: Sides, crop: Sides, interpolation: str = "bilinear") -> Image.Image:
    """The middle of an image, `crop` pixels (a side, or height and width), after it was brought to where it just covers
    `resize`; as torchvision does.

    Of a thin image only what lies about the middle is resized, so that it takes no more memory than others.
    """
    wanted = _width_height(crop)
    covered = [max(pair) for pair in zip(_width_height(resize), wanted)]
    scale = max(least / side for least, side in zip(covered, image.size))
    size = [max(least, int(side * scale)) for least, side in zip(covered, image.size)]
    if any(side > THIN * max(covered) for side in size):
        kept = [min(side, THIN * max(covered)) for side in size]
        first = [(side - part) // 2 for side, part in zip(size, kept)]
        ratio = [there / side for there, side in zip(image.size, size)]
        box = [start * r for start, r in zip(first, ratio)] + [
            (start + part) * r for start, part, r in zip(first, kept, ratio)
        ]
        image = image.resize(kept, Image.Resampling[interpolation.upper()], (box[0], box[1], box[2], box[3]))
    elif image.size != tuple(size):
        image = image.resize(size, Image.Resampling[interpolation.upper()])
    left, top = (round((side - part) / 2) for side, part in zip(image.size, wanted))
    return image.crop((left, top, left + wanted[0], top + wanted[1]))


def _width_height(sides: Sides) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else (sides[1], sides[0])


def prepared(
    file: File, resize: Sides, crop: Sides, channels: int, interpolation: str = "bilinear", squash: bool = False
) -> np.ndarray:
    """An image as networks take it, `(height, width, channels)` uint8: upright, 8 bits, resized (with `squash` to
    `resize` whatever its shape), its middle cut out.

    ValueError for a file that is no image.
    """
    with opened(file) as image:
        there = plain(image, channels)
        if squash:
            there = there.resize(_width_height(resize), Image.Resampling[interpolation.upper()])
        return _pixels(cropped(there, resize, crop, interpolation))


def middle(file: File, size: Sides, channels: int) -> np.ndarray:
    """The middle square of an image, or its middle of another shape, at `size`, `(height, width, channels)` uint8;
    large JPEGs are decoded small.

    ValueError for a file that is no image.
    """
    if isinstance(file, np.ndarray) and channels not in (1, 3):
        each = [middle(file[:, :, i : i + 1], size, 1) for i in range(channels)]
        return np.concatenate(each, axis=2)
    with opened(file) as image:
        if image.format == "JPEG":
            width, height = (round(DRAFTED * side) for side in _width_height(size))
            image.draft(None, (width, height))
        return _pixels(cropped(plain(image, channels), size, size))


def _pixels(image: Image.Image) -> np.ndarray:
    there = np.asarray(image)
    return there[:, :, None] if there.ndim == 2 else there


def examined(file: File) -> Facts:
    """The facts of an image, all of it decoded. ValueError for what is none, with the reason."""
    with opened(file) as image:
        if max(image.size) > LONGEST * min(image.size):
            raise ValueError(f"it has {image.width} × {image.height} pixels, one side over {LONGEST} times the other")
        mode, (width, height) = "I;16" if _is_sixteen(image) else image.mode, _upright(image)
        turned = image.getexif().get(ORIENTATION) in TURNED
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        if image.format == "JPEG":
            image.draft(None, (4 * THUMBNAIL, 4 * THUMBNAIL))
        small = plain(image, 3).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    shrunk = np.asarray(small.convert("L").resize(HASHED, Image.Resampling.BILINEAR))
    lighter = np.packbits(shrunk[:, :-1] > shrunk[:, 1:])
    return Facts(width, height, mode, turned, animated, int.from_bytes(lighter.tobytes()), small.tobytes())


def _upright(image: Image.Image) -> tuple[int, int]:
    return image.size[::-1] if image.getexif().get(ORIENTATION) in LYING else image.size


def sides_of(file: File) -> tuple[int, int] | None:
    """Width and height of an image as it stands upright, no pixel decoded; None of what is none."""
    try:
        with opened(file) as image:
            return _upright(image)
    except ValueError:
        return None


def data_uri(file: File, size: int = 96) -> str:
    """A thumbnail that stands inside a page, or nothing where the file is no image."""
    try:
        with opened(file) as image:
            small = plain(image, 3)
            small.thumbnail((size, size))
    except ValueError:
        return ""
    return uri(small)


def uri(image: Image.Image) -> str:
    """It stands inside a page."""
    held = io.BytesIO()
    image.save(held, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(held.getvalue()).decode()


class Placed(NamedTuple):
    """Where an image lies in a letterbox: from column `left` and row `top` on; its own sides, and those there."""

    left: int
    top: int
    width: int
    height: int
    inner_width: int
    inner_height: int

    @property
    def pixels(self) -> tuple[float, float]:
        """How many of the image's are one of the letterbox's, across and down."""
        return self.width / self.inner_width, self.height / self.inner_height


def placed(width: int, height: int, size: Sides) -> Placed:
    """An image of these sides in the middle of a letterbox of `size`, as large as fits."""
    wide, high = _width_height(size)
    scale = min(wide / max(1, width), high / max(1, height))
    inner = min(wide, max(1, round(width * scale))), min(high, max(1, round(height * scale)))
    return Placed((wide - inner[0]) // 2, (high - inner[1]) // 2, width, height, *inner)


def letterboxed(file: File, size: Sides, channels: int) -> tuple[np.ndarray, Placed]:
    """The whole image, upright, as large as fits into `size` pixels, in the middle of grey: `(height, width, channels)`
    uint8, and where it lies.

    ValueError for a file that is no image.
    """
    with opened(file) as image:
        lies = placed(*_upright(image), size)
        inner = lies.inner_width, lies.inner_height
        there = plain(image, channels)
    box = Image.new(there.mode, _width_height(size), (LETTERBOX,) * len(there.getbands()))
    inside = there.resize(inner, Image.Resampling.BILINEAR) if inner != there.size else there
    box.paste(inside, (lies.left, lies.top))
    return _pixels(box), lies
