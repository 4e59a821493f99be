"""Images and videos → boxes with classes and scores, in the photo's or frame's own pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from scalesearch.data import VIDEO_SUFFIXES, File, Placed, frame_count, frames, letterboxed
from scalesearch.errors import InputError, WorkFailed, numbered
from scalesearch.machine import cores
from scalesearch.network import Network, Suppressed, decoder, fused, suppressed
from scalesearch.training import every_channel
from scalesearch.weights.predicting import PHOTOS, Found
from scalesearch.zoo import Preprocessing


class Box(NamedTuple):
    """First corner, width and height in pixels of the photo as it stands upright."""

    class_: int
    score: float
    x: float
    y: float
    width: float
    height: float


class Detections(NamedTuple):
    """The boxes of an image, the likeliest first, and its own sides; of a frame its number in the video, from 0, and
    when it is shown."""

    image: Path
    width: int
    height: int
    boxes: list[Box]
    frame: int | None = None
    seconds: float | None = None


class Threshold(NamedTuple):
    """Which boxes stay: those likelier than `confidence`, that no likelier one of their class covers by more
    than `iou`, the `most` likeliest of an image; of all classes or `only` some."""

    confidence: float = 0.25
    iou: float = 0.7
    most: int = 300
    only: Sequence[int] | None = None


USUAL = Threshold()


class Picture(NamedTuple):
    """An image, or a frame of a video; `file` is None of what is neither."""

    path: Path
    file: File | None
    frame: int | None = None
    seconds: float | None = None


def is_video(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def how_many(found: Found, every: int = 1) -> int | None:
    """Images, and frames of videos as these say; None where one doesn't.

    Raises `InputError` for a named video that can't be read.
    """
    total = 0
    for path in [*found.named, *found.in_folders]:
        try:
            count = frame_count(path, every) if is_video(path) else 1
        except InputError:
            if path in found.named:
                raise
            count = 1
        if count is None:
            return None
        total += count
    return total


def detect(
    model: Network,
    found: Found,
    preparation: Preprocessing,
    threshold: Threshold = USUAL,
    batch: int = 8,
    device: str = "cpu",
    every: int = 1,
) -> Iterator[Detections | Path]:
    """The boxes in every image and in every so manieth frame of every video, in order; a file in a folder that can't be
    read comes back as its path.

    Images are put upright and into a letterbox; boxes are brought back and cut at the photo's edges. Raises
    `InputError` for a model that is no detector, and for a named file that can't be read, before anything is looked
    for.
    """
    decode = decoder(model.arch).to(device)
    for path in found.named:
        if is_video(path):
            frame_count(path)
        else:
            _taken(Picture(path, path), model)
    model = fused(model).to(device)
    look = partial(_looked_at, model, decode, preparation, threshold, device)
    waiting: list[tuple[Picture, np.ndarray, Placed]] = []
    for picture, taken in _ahead(_pictures(found, every), model, 2 * batch):
        if taken is None:
            yield from look(waiting)
            waiting = []
            yield picture.path
            continue
        waiting.append((picture._replace(file=None), *taken))
        if len(waiting) == batch:
            yield from look(waiting)
            waiting = []
    yield from look(waiting)


def _pictures(found: Found, every: int) -> Iterator[Picture]:
    for number, path in enumerate([*found.named, *found.in_folders]):
        if not is_video(path):
            yield Picture(path, path)
            continue
        try:
            for frame in frames(path, every):
                yield Picture(path, frame.pixels, frame.number, frame.seconds)
        except InputError:
            if number < len(found.named):
                raise
            yield Picture(path, None)


def _ahead(
    pictures: Iterable[Picture], model: Network, most: int
) -> Iterator[tuple[Picture, tuple[np.ndarray, Placed] | None]]:
    """The images in order, `most` of them read while the network looks at others; None where one is none."""

    def taken(picture: Picture) -> tuple[np.ndarray, Placed] | None:
        try:
            return _taken(picture, model)
        except InputError:
            return None

    with ThreadPoolExecutor(cores()) as pool:
        coming: deque[tuple[Picture, Future]] = deque()
        for picture in pictures:
            coming.append((picture, pool.submit(taken, picture)))
            if len(coming) > most:
                first, there = coming.popleft()
                yield first, there.result()
        for first, there in coming:
            yield first, there.result()


def _taken(picture: Picture, model: Network) -> tuple[np.ndarray, Placed]:
    channels = model.arch.channels
    if channels not in PHOTOS:
        raise InputError(
            f"is a photo, and the network takes images of {numbered(channels, 'channel')}", str(picture.path)
        )
    if picture.file is None:
        raise InputError("can't be read", str(picture.path))
    try:
        return letterboxed(picture.file, model.arch.resolution, channels)
    except ValueError as error:
        raise InputError(f"is no image that can be read ({error})", str(picture.path)) from None


def batch_of(images: Sequence[np.ndarray], prepare: Preprocessing, device: str) -> torch.Tensor:
    """Images `(height, width, channels)` as a network takes them, channels last in memory."""
    there = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float().div_(255)
    mean, std = (
        torch.tensor(every_channel(values, there.shape[1]), device=device).view(-1, 1, 1)
        for values in (prepare.mean, prepare.std)
    )
    there = there.sub_(mean) if mean.any() else there
    return there if (std == 1).all() else there.div_(std)


def _looked_at(
    model: Network,
    decode: nn.Module,
    prepare: Preprocessing,
    threshold: Threshold,
    device: str,
    images: Sequence[tuple[Picture, np.ndarray, Placed]],
) -> Iterator[Detections]:
    if not images:
        return
    with torch.inference_mode():
        boxes, scores = decode(model(batch_of([pixels for _, pixels, _ in images], prepare, device)))
    finite = boxes.isfinite().flatten(1).all(1) & scores.isfinite().flatten(1).all(1)
    if not finite.all():
        raise WorkFailed(f"{images[int((~finite).nonzero()[0])][0].path}: the network's outputs are no finite numbers")
    found = suppressed(
        boxes.float(), scores.float(), threshold.confidence, threshold.iou, threshold.most, only=threshold.only
    )
    for (picture, _, placed), own in zip(images, found):
        yield Detections(
            picture.path, placed.width, placed.height, list(brought_back(own, placed)), picture.frame, picture.seconds
        )


def brought_back(found: Suppressed, placed: Placed) -> Iterator[Box]:
    """Boxes in pixels of the photo, cut at its edges."""
    corner = torch.tensor([placed.left, placed.top] * 2, device=found.boxes.device)
    there = (found.boxes - corner) * torch.tensor(placed.pixels * 2, device=found.boxes.device)
    for (x, y, right, bottom), score, class_ in zip(there.tolist(), found.scores.tolist(), found.classes.tolist()):
        x, right = (min(max(v, 0.0), placed.width) for v in (x, right))
        y, bottom = (min(max(v, 0.0), placed.height) for v in (y, bottom))
        if right > x and bottom > y:
            yield Box(class_, score, x, y, right - x, bottom - y)
