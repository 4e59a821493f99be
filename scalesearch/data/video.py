"""Videos, frame by frame. The only importer of PyAV, which comes with the extra `video`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from scalesearch.data.images import MOST_PIXELS
from scalesearch.errors import InputError
from scalesearch.files import whole

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp", ".ogv")
)
# What a file may be: one that holds its frames itself. A playlist would name others, here or anywhere.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg"
USUAL_RATE = Fraction(25)  # frames a second, of a video that doesn't say


class Frame(NamedTuple):
    """A frame of a video: its number from 0, when it is shown, and its pixels `(height, width, 3)`, upright."""

    number: int
    seconds: float
    pixels: np.ndarray


def frame_count(path: Path, every: int = 1) -> int | None:
    """How many frames `frames` will give, as the video says; None of one that doesn't. Raises as `frames`."""
    with _opened(path) as (stream, _):
        seconds = float(stream.duration * stream.time_base) if stream.duration else 0.0
        count = stream.frames or round(seconds * float(stream.average_rate or 0))
        return -(-count // every) or None


def frame_rate(path: Path) -> Fraction:
    """Frames a second. Raises as `frames`."""
    with _opened(path) as (stream, _):
        return Fraction(stream.average_rate or USUAL_RATE)


def frames(path: Path, every: int = 1) -> Iterator[Frame]:
    """Every so manieth frame, from the first on; what is damaged in between is passed over.

    Raises `InputError` where PyAV isn't installed, and for a file that is no video.
    """
    with _opened(path) as (stream, av):
        rate, number = float(stream.average_rate or USUAL_RATE), 0
        for frame in _decoded(stream, av):
            if number % every == 0:
                seconds = number / rate if frame.time is None else float(frame.time)
                yield Frame(number, seconds, _upright(frame))
            number += 1
    if not number:
        raise InputError("is no video that can be read (no frame of it can be decoded)", str(path))


def _decoded(stream: Any, av: ModuleType) -> Iterator[Any]:
    packets = stream.container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return  # its end, or where it is cut off
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _upright(frame: Any) -> np.ndarray:
    """`rotation` is by how many degrees, against the clock, a frame is to be turned to stand upright."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, ModuleType]]:
    av = _library()
    try:
        with path.open("rb") as file, av.open(file, options={"format_whitelist": CONTAINERS}) as container:
            if not container.streams.video:
                raise InputError("has no pictures in it", str(path))
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            codec = stream.codec_context
            if codec.width * codec.height > MOST_PIXELS:
                raise InputError(f"has {codec.width} × {codec.height} pixels; at most {MOST_PIXELS:,}", str(path))
            yield stream, av
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        said = getattr(error, "strerror", None) or error
        raise InputError(f"is no video that can be read ({said})", str(path)) from None


def _library() -> ModuleType:
    try:
        import av
    except ImportError:
        raise InputError("a video needs PyAV: pip install 'scalesearch[video]'", "detect") from None
    return av


@contextmanager
def written(path: Path, rate: Fraction) -> Iterator[Callable[[np.ndarray], None]]:
    """What takes frames `(height, width, 3)`, all of one size, and makes them a video: H.264 where there is an encoder,
    else MPEG-4. An odd row or column at the end is left out."""
    av = _library()
    with whole(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
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
