"""Detects objects in images and videos: boxes with classes and scores, in pixels of the photo or frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from scalesearch.data import VIDEO_SUFFIXES, File, Letterbox, frame_count, frames, letterbox_image
from scalesearch.errors import InputError, WorkFailed, format_count
from scalesearch.machine import cores
from scalesearch.network import Network, NmsResult, decoder, fused_copy, non_max_suppression
from scalesearch.training import values_per_channel
from scalesearch.weights.predicting import PHOTO_CHANNELS, InputFiles, LoadedImage, check_channels
from scalesearch.zoo import Preprocessing


class Box(NamedTuple):
    """A box in an upright photo: class, score in [0, 1], top left corner, width and height in pixels.

    `name` is the class's, None where it is not known.
    """

    class_: int
    score: float
    x: float
    y: float
    width: float
    height: float
    name: str | None = None


class Detections(NamedTuple):
    """The boxes of one image, best first, with the image's width and height in pixels.

    For a frame of a video, `frame` is its number from 0 and `seconds` its time in the video. `highest` is the highest
    score of all boxes, those below the threshold too.
    """

    image: Path
    width: int
    height: int
    boxes: list[Box]
    frame: int | None = None
    seconds: float | None = None
    highest: float = 0.0


class Threshold(NamedTuple):
    """Which boxes are kept.

    Attributes:
        confidence: Boxes must score higher than this, in [0, 1].
        iou: A box goes if a better one of its class overlaps it by more than this, in [0, 1].
        most: At most so many boxes per image are kept, the best ones.
        only: Numbers of the only classes to report; None for all.
    """

    confidence: float = 0.25
    iou: float = 0.7
    most: int = 300
    only: Sequence[int] | None = None


DEFAULT_THRESHOLD = Threshold()


class Picture(NamedTuple):
    """An image or a frame of a video; `file` holds its path or pixels, or None if a video cannot be read."""

    path: Path
    file: File | None
    frame: int | None = None
    seconds: float | None = None


def is_video(path: Path) -> bool:
    """Returns whether `path` has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def count_pictures(files: InputFiles, every: int = 1) -> int | None:
    """Counts the images and video frames that `detect` looks at, as far as the videos state their length.

    Returns:
        The count, or None if a video does not state its length.

    Raises:
        InputError: If an explicitly named video cannot be read.
    """
    total = 0
    total += sum(isinstance(image, LoadedImage) for image in files.explicit)
    for path in (path for path in [*files.explicit, *files.in_folders] if isinstance(path, Path)):
        try:
            count = frame_count(path, every) if is_video(path) else 1
        except InputError:
            if path in files.explicit:
                raise
            count = 1
        if count is None:
            return None
        total += count
    return total


def detect(
    model: Network,
    files: InputFiles,
    preparation: Preprocessing,
    threshold: Threshold = DEFAULT_THRESHOLD,
    batch: int = 8,
    device: str = "cpu",
    every: int = 1,
    class_names: Sequence[str] | None = None,
) -> Iterator[Detections | Path]:
    """Yields the boxes in images and in frames of videos, in order.

    Images are put upright and letterboxed; boxes are mapped back to the photo and clipped at its edges.

    Args:
        model: A detector with trained weights.
        files: Images and videos (`find`).
        preparation: How pixels are normalised for these weights.
        threshold: Which boxes are kept.
        batch: Images per forward pass.
        device: A torch device.
        every: Of a video, only every `every`-th frame is looked at.
        class_names: The names that boxes get.

    Yields:
        `Detections`, or the path of a file from a folder that cannot be read.

    Raises:
        InputError: If `model` is no detector, or an explicitly named file cannot be read (raised before the
            first result).
        WorkFailed: If the network's outputs are not finite.
    """
    decode = decoder(model.arch).to(device)
    for path in files.explicit:
        if isinstance(path, LoadedImage):
            check_channels(path, model.arch.channels)
        elif is_video(path):
            frame_count(path)
        else:
            _letterboxed(Picture(path, path), model)
    model = fused_copy(model).to(device)
    detect_pending = partial(_detect_batch, model, decode, preparation, threshold, device, class_names)
    pending: list[tuple[Picture, np.ndarray, Letterbox]] = []
    for picture, letterbox in _prefetched(_pictures(files, every), model, 2 * batch):
        if letterbox is None:
            yield from detect_pending(pending)
            pending = []
            yield picture.path
            continue
        pending.append((picture._replace(file=None), *letterbox))
        if len(pending) == batch:
            yield from detect_pending(pending)
            pending = []
    yield from detect_pending(pending)


def _pictures(files: InputFiles, every: int) -> Iterator[Picture]:
    for number, path in enumerate([*files.explicit, *files.in_folders]):
        if isinstance(path, LoadedImage):
            yield Picture(Path(path.name), path.pixels)
            continue
        if not is_video(path):
            yield Picture(path, path)
            continue
        try:
            for frame in frames(path, every):
                yield Picture(path, frame.pixels, frame.number, frame.seconds)
        except InputError:
            if number < len(files.explicit):
                raise
            yield Picture(path, None)


def _prefetched(
    pictures: Iterable[Picture], model: Network, limit: int
) -> Iterator[tuple[Picture, tuple[np.ndarray, Letterbox] | None]]:
    """Yields the images in order, reading up to `limit` ahead in threads; None for one that cannot be read."""

    def read_or_none(picture: Picture) -> tuple[np.ndarray, Letterbox] | None:
        try:
            return _letterboxed(picture, model)
        except InputError:
            return None

    with ThreadPoolExecutor(cores()) as pool:
        queue: deque[tuple[Picture, Future[Any]]] = deque()
        for picture in pictures:
            queue.append((picture, pool.submit(read_or_none, picture)))
            if len(queue) > limit:
                oldest, future = queue.popleft()
                yield oldest, future.result()
        for oldest, future in queue:
            yield oldest, future.result()


def _letterboxed(picture: Picture, model: Network) -> tuple[np.ndarray, Letterbox]:
    channels = model.arch.channels
    if channels not in PHOTO_CHANNELS:
        raise InputError(
            f"is a photo, and the network takes images of {format_count(channels, 'channel')}", str(picture.path)
        )
    if picture.file is None:
        raise InputError("can't be read", str(picture.path))
    try:
        return letterbox_image(picture.file, model.arch.resolution, channels)
    except ValueError as error:
        raise InputError(f"is no image that can be read ({error})", str(picture.path)) from None


def to_batch(images: Sequence[np.ndarray], prepare: Preprocessing, device: str) -> torch.Tensor:
    """Stacks images into a normalised network input.

    Args:
        images: uint8 arrays `(height, width, channels)` of one size.
        prepare: Mean and standard deviation of pixels in [0, 1].
        device: A torch device.

    Returns:
        float32 `(batch, channels, height, width)`, channels last in memory.
    """
    batch = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float().div_(255)
    mean, std = (
        torch.tensor(values_per_channel(values, batch.shape[1]), device=device).view(-1, 1, 1)
        for values in (prepare.mean, prepare.std)
    )
    batch = batch.sub_(mean) if mean.any() else batch
    return batch if (std == 1).all() else batch.div_(std)


def _detect_batch(
    model: Network,
    decode: nn.Module,
    prepare: Preprocessing,
    threshold: Threshold,
    device: str,
    class_names: Sequence[str] | None,
    images: Sequence[tuple[Picture, np.ndarray, Letterbox]],
) -> Iterator[Detections]:
    if not images:
        return
    with torch.inference_mode():
        boxes, scores = decode(model(to_batch([pixels for _, pixels, _ in images], prepare, device)))
    finite = boxes.isfinite().flatten(1).all(1) & scores.isfinite().flatten(1).all(1)
    if not finite.all():
        raise WorkFailed(f"{images[int((~finite).nonzero()[0])][0].path}: the network's outputs are no finite numbers")
    suppressed_boxes = non_max_suppression(
        boxes.float(), scores.float(), threshold.confidence, threshold.iou, threshold.most, only_classes=threshold.only
    )
    highest_scores = scores.flatten(1).amax(1).tolist()
    for (picture, _, placed), image_boxes, highest in zip(images, suppressed_boxes, highest_scores):
        photo_boxes = list(boxes_in_photo(image_boxes, placed, class_names))
        position = picture.frame, picture.seconds
        yield Detections(picture.path, placed.width, placed.height, photo_boxes, *position, float(highest))


def boxes_in_photo(result: NmsResult, placed: Letterbox, class_names: Sequence[str] | None = None) -> Iterator[Box]:
    """Yields the boxes of a letterboxed image in pixels of the photo, clipped at its edges."""
    corner = torch.tensor([placed.left, placed.top] * 2, device=result.boxes.device)
    photo_corners = (result.boxes - corner) * torch.tensor(placed.pixels * 2, device=result.boxes.device)
    for (x, y, right, bottom), score, class_ in zip(
        photo_corners.tolist(), result.scores.tolist(), result.classes.tolist()
    ):
        x, right = (min(max(v, 0.0), placed.width) for v in (x, right))
        y, bottom = (min(max(v, 0.0), placed.height) for v in (y, bottom))
        if right > x and bottom > y:
            name = class_names[class_] if class_names else None
            yield Box(class_, score, x, y, right - x, bottom - y, name)
