"""Reads and writes videos, frame by frame.

The only importer of PyAV, which comes with the extra `video`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from scalesearch.data.images import MAX_PIXELS
from scalesearch.errors import InputError
from scalesearch.files import atomic_write

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp", ".ogv")
)
# Containers that hold their frames themselves. A playlist could refer to other files or addresses.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg"
DEFAULT_RATE = Fraction(25)  # frames per second, for a video that doesn't state its rate


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        number: Counted from 0.
        seconds: When it is shown.
        pixels: uint8 `(height, width, 3)`, upright.
    """

    number: int
    seconds: float
    pixels: np.ndarray


def frame_count(path: Path, every: int = 1) -> int | None:
    """Returns how many frames `frames` will yield, by the video's own account; None where it gives none.

    Raises as `frames` does.
    """
    with _open_stream(path) as (stream, _):
        seconds = float(stream.duration * stream.time_base) if stream.duration else 0.0
        count = stream.frames or round(seconds * float(stream.average_rate or 0))
        return -(-count // every) or None


def frame_rate(path: Path) -> Fraction:
    """Returns frames per second, 25 where the video doesn't state it. Raises as `frames` does."""
    with _open_stream(path) as (stream, _):
        return Fraction(stream.average_rate or DEFAULT_RATE)


def frames(path: Path, every: int = 1) -> Iterator[Frame]:
    """Yields one frame in every `every`, starting with the first; damaged parts are skipped.

    Raises:
        InputError: If PyAV is not installed, or the file is no video.
    """
    with _open_stream(path) as (stream, av):
        rate, number = float(stream.average_rate or DEFAULT_RATE), 0
        for frame in _decode(stream, av):
            if number % every == 0:
                seconds = number / rate if frame.time is None else float(frame.time)
                yield Frame(number, seconds, _upright_pixels(frame))
            number += 1
    if not number:
        raise InputError("is no video that can be read (no frame of it can be decoded)", str(path))


def _decode(stream: Any, av: ModuleType) -> Iterator[Any]:
    packets = stream.container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return  # the end of the video, or where it is truncated
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _upright_pixels(frame: Any) -> np.ndarray:
    """Returns the pixels of a frame, rotated counterclockwise by its `rotation` in degrees."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


@contextmanager
def _open_stream(path: Path) -> Iterator[tuple[Any, ModuleType]]:
    av = _import_av()
    try:
        with path.open("rb") as file, av.open(file, options={"format_whitelist": CONTAINERS}) as container:
            if not container.streams.video:
                raise InputError("has no video stream", str(path))
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            codec = stream.codec_context
            if codec.width * codec.height > MAX_PIXELS:
                raise InputError(f"has {codec.width} × {codec.height} pixels; at most {MAX_PIXELS:,}", str(path))
            yield stream, av
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"is no video that can be read ({reason})", str(path)) from None


def _import_av() -> ModuleType:
    try:
        import av
    except ImportError:
        raise InputError("a video needs PyAV: pip install 'scalesearch[video]'", "detect") from None
    return av


@contextmanager
def video_writer(path: Path, rate: Fraction) -> Iterator[Callable[[np.ndarray], None]]:
    """Opens a video for writing, and yields the function that adds a frame to it.

    Frames are uint8 `(height, width, 3)`, all of one size; an odd last row or column is dropped. The video is
    MP4: H.264 where PyAV has an encoder, else MPEG-4.
    """
    av = _import_av()
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = container.add_stream(codec, rate=rate.limit_denominator(1 << 15))
        stream.pix_fmt = "yuv420p"

        def add(pixels: np.ndarray) -> None:
            height, width = (side // 2 * 2 for side in pixels.shape[:2])
            if not stream.codec_context.is_open:
                stream.width, stream.height = width, height
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode(None))
