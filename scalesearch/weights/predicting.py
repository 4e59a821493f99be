"""Images → classes with probabilities."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from scalesearch.data import SUFFIXES, File, middle, npz_images, prepared as prepared_pixels
from scalesearch.errors import InputError, WorkFailed, numbered
from scalesearch.network import Network
from scalesearch.training import every_channel, resized
from scalesearch.zoo import Preprocessing

BATCH = 16
PHOTOS = 1, 3  # channels of the images in files


ARRAYS = ".npz"


class Prediction(NamedTuple):
    """The most likely classes of an image, as `(class, probability)`, the likeliest first."""

    image: str
    top: list[tuple[int, float]]


class Found(NamedTuple):
    """Image files, and whether each was named itself (then a fault is an error) or found in a folder (then skipped)."""

    named: list[Path]
    in_folders: list[Path]


def find(paths: Iterable[Path], suffixes: Collection[str] = SUFFIXES) -> Found:
    """The files named, and all in the folders named, by name. Raises `InputError` for a path that isn't there."""
    named, in_folders = [], []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)
            if not inside:
                raise InputError(f"has no images in it (files ending in {', '.join(sorted(suffixes))})", str(path))
            in_folders += inside
        elif path.is_file():
            named.append(path)
        else:
            raise InputError("is no file and no folder", str(path))
    return Found(named, in_folders)


def prepared(path: Path, preprocessing: Preprocessing, channels: int) -> torch.Tensor:
    """An image as the network takes it, `(channels, height, width)`: upright, resized, its middle cut out, normalised.

    Raises `InputError` for a file that is no image.
    """
    if channels not in PHOTOS:
        raise InputError(
            f"is a photo, and the network takes images of {numbered(channels, 'channel')}, as `images` "
            "of an .npz file hold them",
            str(path),
        )
    try:
        return as_input(path, preprocessing, channels)
    except ValueError as error:
        raise InputError(f"is no image that can be read ({error})", str(path)) from None


def as_input(file: File, prepare: Preprocessing, channels: int) -> torch.Tensor:
    """The same of a file's path, of what is in it, or of pixels. ValueError for what is no image."""
    if prepare.stored:
        kept = torch.from_numpy(middle(file, prepare.stored, channels).copy()).permute(2, 0, 1)[None]
        pixels = resized(kept, prepare.crop)[0]
    else:
        taken = prepared_pixels(file, prepare.resize, prepare.crop, channels, prepare.interpolation, prepare.squash)
        pixels = torch.from_numpy(taken.copy()).permute(2, 0, 1)
    mean, std = (torch.tensor(every_channel(values, channels)).view(-1, 1, 1) for values in (prepare.mean, prepare.std))
    return (pixels.float().div_(255) - mean) / std


def predict(
    model: Network, found: Found, preprocessing: Preprocessing, top: int = 5, device: str = "cpu"
) -> Iterator[Prediction | Path]:
    """The `top` classes of every image, in order; a file in a folder that is no image comes back as its path.

    Raises `InputError` for a named file that is no image, before anything is predicted.
    """
    channels = model.arch.channels

    def inputs(path):
        return _inputs(path, preprocessing, channels)

    for path in [*found.named, *(found.in_folders[:1] if channels not in PHOTOS else ())]:
        next(inputs(path))
    model = model.eval().to(device)
    waiting: list[tuple[str, torch.Tensor]] = []
    for path in [*found.named, *found.in_folders]:
        try:
            for one in inputs(path):
                waiting.append(one)
                if len(waiting) == BATCH:
                    yield from _likely(model, waiting, top, device)
                    waiting = []
        except InputError:
            yield from _likely(model, waiting, top, device)
            waiting = []
            yield path
    yield from _likely(model, waiting, top, device)


def _inputs(path: Path, preprocessing: Preprocessing, channels: int) -> Iterator[tuple[str, torch.Tensor]]:
    """What a file holds as the network takes it: an image, or an array's many."""
    if path.suffix.lower() != ARRAYS:
        yield str(path), prepared(path, preprocessing, channels)
        return
    images = npz_images(path)
    if images.shape[3] != channels:
        raise InputError(
            f"has images of {numbered(images.shape[3], 'channel')}, and the network takes {channels}", str(path)
        )
    for number, image in enumerate(images):
        yield f"{path}:{number}", as_input(image, preprocessing, channels)


def _likely(model: Network, images: list[tuple[str, torch.Tensor]], top: int, device: str) -> Iterator[Prediction]:
    if not images:
        return
    with torch.inference_mode():
        batch = torch.stack([image for _, image in images]).to(device)
        likely = model(batch).float().softmax(1).topk(min(top, model.arch.classes))
    if not likely.values.isfinite().all():
        broken = next(name for (name, _), values in zip(images, likely.values) if not values.isfinite().all())
        raise WorkFailed(f"{broken}: the network's outputs are no finite numbers")
    for (name, _), values, classes in zip(images, likely.values.tolist(), likely.indices.tolist()):
        yield Prediction(name, list(zip(classes, values)))
