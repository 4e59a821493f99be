"""Images → boxes with classes and scores, in the photo's own pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from scalesearch.data import File, Placed, letterboxed
from scalesearch.errors import InputError, WorkFailed
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
    """The boxes of an image, the likeliest first, and its own sides."""

    image: Path
    width: int
    height: int
    boxes: list[Box]


class Threshold(NamedTuple):
    """Which boxes stay: those likelier than `confidence`, that no likelier one of their class covers by more
    than `iou`, the `most` likeliest of an image; of all classes or `only` some."""

    confidence: float = 0.25
    iou: float = 0.7
    most: int = 300
    only: Sequence[int] | None = None


USUAL = Threshold()


def detect(model: Network, found: Found, preparation: Preprocessing, threshold: Threshold = USUAL,
           batch: int = 8, device: str = "cpu") -> Iterator[Detections | Path]:
    """The boxes in every image, in order; a file in a folder that is no image comes back as its path.

    Images are put upright and into a letterbox; boxes are brought back and cut at the photo's edges. Raises
    `InputError` for a model that is no detector, and for a named file that is no image, before anything is looked for.
    """
    decode = decoder(model.arch).to(device)
    for path in found.named:
        _taken(path, model, preparation)
    model = fused(model).to(device)
    waiting: list[tuple[Path, torch.Tensor, Placed]] = []
    for path, taken in _ahead([*found.named, *found.in_folders], model, preparation, 2 * batch):
        if taken is None:
            yield from _looked_at(model, decode, waiting, threshold, device)
            waiting = []
            yield path
            continue
        waiting.append((path, *taken))
        if len(waiting) == batch:
            yield from _looked_at(model, decode, waiting, threshold, device)
            waiting = []
    yield from _looked_at(model, decode, waiting, threshold, device)


def _ahead(paths: Sequence[Path], model: Network, prepare: Preprocessing,
           most: int) -> Iterator[tuple[Path, tuple[torch.Tensor, Placed] | None]]:
    """The images in order, `most` of them read while the network looks at others; None where one is none."""
    def taken(path: Path) -> tuple[torch.Tensor, Placed] | None:
        try:
            return _taken(path, model, prepare)
        except InputError:
            return None

    with ThreadPoolExecutor(cores()) as pool:
        coming = deque(pool.submit(taken, path) for path in paths[:most])
        for i, path in enumerate(paths):
            there = coming.popleft().result()
            if i + most < len(paths):
                coming.append(pool.submit(taken, paths[i + most]))
            yield path, there


def _taken(path: Path, model: Network, prepare: Preprocessing) -> tuple[torch.Tensor, Placed]:
    channels = model.arch.channels
    if channels not in PHOTOS:
        raise InputError(f"is a photo, and the network takes images of {channels} channels", str(path))
    try:
        return boxed_input(path, model, prepare)
    except ValueError as error:
        raise InputError(f"is no image that can be read ({error})", str(path)) from None


def boxed_input(file: File, model: Network, prepare: Preprocessing) -> tuple[torch.Tensor, Placed]:
    """An image in its letterbox as `model` takes it, and where it lies. ValueError for what is none."""
    channels = model.arch.channels
    pixels, placed = letterboxed(file, model.arch.resolution, channels)
    mean, std = (torch.tensor(every_channel(values, channels)).view(-1, 1, 1) for values in (prepare.mean, prepare.std))
    return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div_(255) - mean) / std, placed


def _looked_at(model: Network, decode: nn.Module, images: Sequence[tuple[Path, torch.Tensor, Placed]],
               threshold: Threshold, device: str) -> Iterator[Detections]:
    if not images:
        return
    with torch.inference_mode():
        together = torch.stack([image for _, image, _ in images]).to(device, memory_format=torch.channels_last)
        boxes, scores = decode(model(together))
    finite = boxes.isfinite().flatten(1).all(1) & scores.isfinite().flatten(1).all(1)
    if not finite.all():
        raise WorkFailed(f"{images[int((~finite).nonzero()[0])][0]}: the network's outputs are no finite numbers")
    found = suppressed(boxes.float(), scores.float(), threshold.confidence, threshold.iou, threshold.most,
                       only=threshold.only)
    for (path, _, placed), own in zip(images, found):
        yield Detections(path, placed.width, placed.height, list(brought_back(own, placed)))


def brought_back(found: Suppressed, placed: Placed) -> Iterator[Box]:
    """Boxes in pixels of the photo, cut at its edges."""
    corner = torch.tensor([placed.left, placed.top] * 2, device=found.boxes.device)
    there = (found.boxes - corner) * torch.tensor(placed.pixels * 2, device=found.boxes.device)
    for (x, y, right, bottom), score, class_ in zip(there.tolist(), found.scores.tolist(), found.classes.tolist()):
        x, right = (min(max(v, 0.0), placed.width) for v in (x, right))
        y, bottom = (min(max(v, 0.0), placed.height) for v in (y, bottom))
        if right > x and bottom > y:
            yield Box(class_, score, x, y, right - x, bottom - y)
