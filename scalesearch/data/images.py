"""Decodes an image file to pixels, the same way for training and for prediction.

With `drawing.py` the only importer of Pillow.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from scalesearch.errors import InputError

Sides = int | tuple[int, int]  # a square's, or height and width
File = Path | bytes | np.ndarray  # an image's path, the bytes of its file, or its pixels (height, width, channels)

SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".heic",
        ".heif",
        ".avif",
    )
)
HEIC_BRANDS = b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"
AVIF_BRANDS = b"avif", b"avis"
MAX_PIXELS = 150_000_000  # of an image
STRIP_PIXELS = 4_000_000  # of an image that is converted at a time
BITS_PER_SAMPLE = 258  # the tag of a TIFF
MAX_ASPECT = 200  # longer side over shorter side, above which an image of a data set is refused
THIN_ASPECT = 5  # resized side over the longest requested one, above which only the middle is resized
ORIENTATION = 0x0112  # EXIF's tag: how the camera was held
TURNED_ORIENTATIONS = range(2, 9)
SIDEWAYS_ORIENTATIONS = range(5, 9)  # rotated by 90 degrees: width and height are swapped
FORMATS_16BIT = ("PPM", "PNG")  # formats with at most 16 bits a pixel, which Pillow may decode to 32 (mode I)
THUMBNAIL = 16  # pixels; side of the thumbnails that near duplicates are compared by
HASH_SIZE = 9, 8  # width and height of the image that a difference hash (dHash) is computed from
LETTERBOX = 114  # the grey around images of another shape, which detectors are trained with
DRAFT_SCALE = 1.25  # JPEGs are decoded to at least this many times the requested size


class ImageFacts(NamedTuple):
    """The facts of an image file before any conversion; width and height are those of the upright image."""

    width: int
    height: int
    mode: str  # Pillow's: RGB, L, RGBA, P, CMYK, I;16, …
    turned: bool  # whether EXIF asks to rotate or mirror the stored pixels
    animated: bool  # then its first frame is taken
    dhash: int  # 64 bits: of 9 × 8 grey pixels, whether each is lighter than the one to its right
    high: int  # largest value of a 16-bit image; 0 for others
    thumbnail: bytes  # 16 × 16 pixels of three channels


_pillow_lock = threading.Lock()


@contextmanager
def open_image(file: File) -> Iterator[Image.Image]:
    """Opens an image before any pixel is decoded; of a pixel array its first three channels, or its first one.

    Raises `ValueError`, also from the `with` block, for a file that is no image, is damaged, or has more than
    `MAX_PIXELS` pixels. This limit takes the place of Pillow's.
    """
    try:
        with _open(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has {image.width} × {image.height} pixels; at most {MAX_PIXELS:,}")
            yield image
    except MemoryError:
        raise ValueError("it takes more memory than there is") from None
    except UnidentifiedImageError:
        raise ValueError(_unidentified(file)) from None
    except Exception as error:  # whatever a decoder raises is a fault of this one file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(reason or type(error).__name__) from None


def _open(file: File) -> Image.Image:
    if isinstance(file, np.ndarray):
        return Image.fromarray(file[:, :, :3] if file.shape[2] >= 3 else file[:, :, 0])
    if not isinstance(file, bytes):
        file = file.read_bytes()
    if not file:
        raise ValueError("it is empty")
    with _pillow_lock:  # Pillow's limit is global to the process
        pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(file))
        finally:
            Image.MAX_IMAGE_PIXELS = pillow_limit


def _unidentified(file: File) -> str:
    """Returns why Pillow reads no image from a file; HEIC is named, which phones write, and AVIF."""
    head = b"" if isinstance(file, np.ndarray) else (file if isinstance(file, bytes) else file.read_bytes())[:12]
    if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS:
        return "it is HEIC, which Pillow reads only with a plugin; convert it to JPEG"
    if head[4:8] == b"ftyp" and head[8:12] in AVIF_BRANDS and not features.check("avif"):
        return "it is AVIF, which Pillow reads from 11.3 on; update Pillow, or convert it to JPEG"
    return "cannot identify it"


def _is_16bit(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in FORMATS_16BIT)


def upright_8bit(image: Image.Image, channels: int) -> Image.Image:
    """Returns an image rotated upright by its EXIF tag, with 8 bits in one channel (grey) or three (RGB).

    16-bit grey is divided by 257, palettes and CMYK are converted, and transparency is laid on white. A large image is
    converted strip by strip, so that it takes little more memory than its pixels. Raises `ValueError` for 32-bit
    pixels, whose range is unknown.
    """
    is_16bit, mode = _is_16bit(image), "L" if channels == 1 else "RGB"
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("I", "F") and not is_16bit:
        raise ValueError("it has 32-bit pixels")
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if image.mode == mode and not has_alpha:
        return image
    image.load()
    converted, rows = Image.new(mode, image.size), max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(image.height, top + rows)))
        converted.paste(_as_8bit(strip, mode, is_16bit, has_alpha), (0, top))
    return converted


def _as_8bit(image: Image.Image, mode: str, is_16bit: bool, has_alpha: bool) -> Image.Image:
    if is_16bit:
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    elif has_alpha:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert(mode)


def pixel_count(file: File) -> int:
    """Returns the number of pixels of an image by its header; 0 for a file that is no image."""
    try:
        with open_image(file) as image:
            return image.width * image.height
    except ValueError:
        return 0


def _highest_value(image: Image.Image, file: File) -> int:
    """Returns the largest value of a 16-bit image, of colour to within 256; 0 for other images."""
    if _is_16bit(image):
        return int(np.asarray(image).max())
    if not _is_16bit_colour(image, file):
        return 0
    extrema = image.getextrema()  # Pillow reads the upper 8 bits
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return 256 * int(max(high for _, high in bands[:3])) + 255


def _is_16bit_colour(image: Image.Image, file: File) -> bool:
    """Returns whether an image stores 16 bits in each of its colours, of which Pillow reads the upper 8."""
    if image.format == "PNG":
        return isinstance(file, bytes) and file[24:25] == b"\x10"
    depths = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, ())
    return image.format == "TIFF" and len(depths) > 1 and set(depths) == {16}


def resize_and_crop(image: Image.Image, resize: Sides, crop: Sides, interpolation: str = "bilinear") -> Image.Image:
    """Returns the middle of an image, after it is resized to just cover `resize`, as torchvision does.

    Only the middle of a very thin image is resized, so that it takes no more memory than others.

    Args:
        image: A Pillow image.
        resize: Side in pixels that the image is to cover, or height and width.
        crop: Side in pixels of the crop, or its height and width.
        interpolation: Name of a Pillow filter, in lower case.
    """
    crop_size = _width_height(crop)
    cover = [max(pair) for pair in zip(_width_height(resize), crop_size)]
    scale = max(minimum / side for minimum, side in zip(cover, image.size))
    size = [max(minimum, int(side * scale)) for minimum, side in zip(cover, image.size)]
    if any(side > THIN_ASPECT * max(cover) for side in size):
        part_size = [min(side, THIN_ASPECT * max(cover)) for side in size]
        corner = [(side - part) // 2 for side, part in zip(size, part_size)]
        ratio = [original / side for original, side in zip(image.size, size)]
        box = [start * r for start, r in zip(corner, ratio)] + [
            (start + part) * r for start, part, r in zip(corner, part_size, ratio)
        ]
        image = image.resize(part_size, Image.Resampling[interpolation.upper()], (box[0], box[1], box[2], box[3]))
    elif image.size != tuple(size):
        image = image.resize(size, Image.Resampling[interpolation.upper()])
    left, top = (round((side - part) / 2) for side, part in zip(image.size, crop_size))
    return image.crop((left, top, left + crop_size[0], top + crop_size[1]))


def _width_height(sides: Sides) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else (sides[1], sides[0])


def prepare_pixels(
    file: File, resize: Sides, crop: Sides, channels: int, interpolation: str = "bilinear", squash: bool = False
) -> np.ndarray:
    """Returns an image as networks take it, uint8 `(height, width, channels)`: upright, resized, centre-cropped.

    Args:
        file: A path, the bytes of a file, or pixels.
        resize: Side in pixels that the image is to cover, or height and width.
        crop: Side in pixels of the crop, or its height and width.
        channels: 1 for grey, 3 for RGB.
        interpolation: Name of a Pillow filter, in lower case.
        squash: Whether to resize to exactly `resize`, whatever the image's shape.

    Raises:
        ValueError: If the file is no image.
    """
    with open_image(file) as image:
        upright = upright_8bit(image, channels)
        if squash:
            upright = upright.resize(_width_height(resize), Image.Resampling[interpolation.upper()])
        return _to_array(resize_and_crop(upright, resize, crop, interpolation))


def pixels_of(image: object, name: str) -> np.ndarray:
    """Returns an image in memory as uint8 `(height, width, channels)`: a Pillow image upright, an array as it is.

    Args:
        image: A Pillow image, or an array of uint8, `(height, width)` or `(height, width, channels)`.
        name: What an error calls it.

    Raises:
        InputError: For anything else.
    """
    if isinstance(image, Image.Image) and image.width and image.height:
        try:
            return _to_array(upright_8bit(image.copy(), 1 if image.mode in ("1", "L", "I;16") else 3))
        except ValueError as error:
            raise InputError(f"is no image that can be used ({error})", name) from None
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3) and image.size:
        return image[:, :, None] if image.ndim == 2 else image
    got = f"an array of {image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError(f"takes a path, a Pillow image or uint8 pixels (height, width, channels), got {got}", name)


def center_crop(file: File, size: Sides, channels: int) -> np.ndarray:
    """Returns the largest centred part of an image that has the shape of `size`, resized to `size`.

    `size` is a side in pixels, or height and width; the result is uint8 `(height, width, channels)`. A pixel
    array may have any number of channels. Large JPEGs are decoded at a reduced size.

    Raises `ValueError` for a file that is no image.
    """
    if isinstance(file, np.ndarray) and channels not in (1, 3):
        channel_crops = [center_crop(file[:, :, i : i + 1], size, 1) for i in range(channels)]
        return np.concatenate(channel_crops, axis=2)
    with open_image(file) as image:
        if image.format == "JPEG":
            width, height = (round(DRAFT_SCALE * side) for side in _width_height(size))
            image.draft(None, (width, height))
        return _to_array(resize_and_crop(upright_8bit(image, channels), size, size))


def _to_array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def examine_image(file: File) -> ImageFacts:
    """Returns the facts of an image, decoding all of it.

    Raises `ValueError`, with the reason, for a file that is no image or is over `MAX_ASPECT` times as long as
    wide.
    """
    with open_image(file) as image:
        if max(image.size) > MAX_ASPECT * min(image.size):
            raise ValueError(
                f"it has {image.width} × {image.height} pixels, one side over {MAX_ASPECT} times the other"
            )
        mode, (width, height) = "I;16" if _is_16bit(image) else image.mode, _upright_size(image)
        turned = image.getexif().get(ORIENTATION) in TURNED_ORIENTATIONS
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        if image.format == "JPEG":
            image.draft(None, (4 * THUMBNAIL, 4 * THUMBNAIL))
        high = _highest_value(image, file)
        thumbnail = upright_8bit(image, 3).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    grey = np.asarray(thumbnail.convert("L").resize(HASH_SIZE, Image.Resampling.BILINEAR))
    bits = np.packbits(grey[:, :-1] > grey[:, 1:])
    return ImageFacts(width, height, mode, turned, animated, int.from_bytes(bits.tobytes()), high, thumbnail.tobytes())


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return image.size[::-1] if image.getexif().get(ORIENTATION) in SIDEWAYS_ORIENTATIONS else image.size


def image_size(file: File) -> tuple[int, int] | None:
    """Returns width and height of an upright image without decoding it; None for a file that is no image."""
    try:
        with open_image(file) as image:
            return _upright_size(image)
    except ValueError:
        return None


def thumbnail_uri(file: File, size: int = 96) -> str:
    """Returns a data URI of a thumbnail, to be placed inside a page; an empty text for a file that is no image.

    Its longer side has `size` pixels at most.
    """
    small = thumbnail(file, size)
    return "" if small is None else webp_uri(small)


def thumbnail(file: File, size: int) -> Image.Image | None:
    """Returns an upright RGB image whose longer side has `size` pixels at most; None for a file that is no image."""
    try:
        with open_image(file) as image:
            small = upright_8bit(image, 3)
            small.thumbnail((size, size))
    except ValueError:
        return None
    return small


def webp_uri(image: Image.Image) -> str:
    """Returns an image as a data URI in WebP, to be placed inside a page."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


class Letterbox(NamedTuple):
    """The position of an image in its letterbox, in pixels.

    Attributes:
        left: Column of the letterbox where the image begins.
        top: Row of the letterbox where the image begins.
        width: Of the original image.
        height: Of the original image.
        inner_width: Of the image in the letterbox.
        inner_height: Of the image in the letterbox.
    """

    left: int
    top: int
    width: int
    height: int
    inner_width: int
    inner_height: int

    @property
    def pixels(self) -> tuple[float, float]:
        """Returns how many pixels of the original image one of the letterbox covers, across and down."""
        return self.width / self.inner_width, self.height / self.inner_height


def fit_letterbox(width: int, height: int, size: Sides) -> Letterbox:
    """Returns the position of an image of `width` × `height` in the middle of a letterbox, as large as fits."""
    box_width, box_height = _width_height(size)
    scale = min(box_width / max(1, width), box_height / max(1, height))
    inner = min(box_width, max(1, round(width * scale))), min(box_height, max(1, round(height * scale)))
    return Letterbox((box_width - inner[0]) // 2, (box_height - inner[1]) // 2, width, height, *inner)


def letterbox_image(file: File, size: Sides, channels: int) -> tuple[np.ndarray, Letterbox]:
    """Returns a whole image, upright, resized to fit into `size` and centred on grey, and its position.

    The pixels are uint8 `(height, width, channels)`. Raises `ValueError` for a file that is no image.
    """
    with open_image(file) as image:
        letterbox = fit_letterbox(*_upright_size(image), size)
        inner = letterbox.inner_width, letterbox.inner_height
        upright = upright_8bit(image, channels)
    canvas = Image.new(upright.mode, _width_height(size), (LETTERBOX,) * len(upright.getbands()))
    resized = upright.resize(inner, Image.Resampling.BILINEAR) if inner != upright.size else upright
    canvas.paste(resized, (letterbox.left, letterbox.top))
    return _to_array(canvas), letterbox
