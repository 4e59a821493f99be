"""Images → classes with probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from scalesearch.data import SUFFIXES, File, prepared as prepared_pixels, square
from scalesearch.errors import InputError
from scalesearch.network import Network
from scalesearch.training import every_channel, resized
from scalesearch.zoo import Preprocessing

BATCH = 16


class Prediction(NamedTuple):
    """The most likely classes of an image, as `(class, probability)`, the likeliest first."""

    image: Path
    top: list[tuple[int, float]]


class Found(NamedTuple):
    """Image files, and whether each was named itself (then a fault is an error) or found in a folder (then skipped)."""

    named: list[Path]
    in_folders: list[Path]


def find(paths: Iterable[Path]) -> Found:
    """The files named, and all in the folders named, by name. Raises `InputError` for a path that isn't there."""
    named, in_folders = [], []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"has no images in it (files ending in {', '.join(sorted(SUFFIXES))})", str(path))
            in_folders += inside
        elif path.is_file():
            named.append(path)
        else:
            raise InputError("is no file and no folder", str(path))
    return Found(named, in_folders)


def prepared(path: Path, preprocessing: Preprocessing, channels: int) -> torch.Tensor:
    """An image as the network takes it, `(channels, crop, crop)`: upright, resized, its middle cut out, normalised.

    Raises `InputError` for a file that is no image.
    """
    try:
        return as_input(path, preprocessing, channels)
    except ValueError as error:
        raise InputError(f"is no image that can be read ({error})", str(path)) from None


def as_input(file: File, prepare: Preprocessing, channels: int) -> torch.Tensor:
    """The same of a file's path, of what is in it, or of pixels. ValueError for what is no image."""
    if prepare.stored:
        kept = torch.from_numpy(square(file, prepare.stored, channels).copy()).permute(2, 0, 1)[None]
        pixels = resized(kept, prepare.crop)[0]
    else:
        taken = prepared_pixels(file, prepare.resize, prepare.crop, channels, prepare.interpolation)
        pixels = torch.from_numpy(taken.copy()).permute(2, 0, 1)
    mean, std = (torch.tensor(every_channel(values, channels)).view(-1, 1, 1) for values in (prepare.mean, prepare.std))
    return (pixels.float().div_(255) - mean) / std


def predict(model: Network, found: Found, preprocessing: Preprocessing, top: int = 5,
            device: str = "cpu") -> Iterator[Prediction | Path]:
    """The `top` classes of every image, in order; a file in a folder that is no image comes back as its path.

    Raises `InputError` for a named file that is no image, before anything is predicted.
    """
    channels = model.arch.channels
    for path in found.named:
        prepared(path, preprocessing, channels)
    model = model.eval().to(device)
    paths = [*found.named, *found.in_folders]
    for start in range(0, len(paths), BATCH):
        images: list[tuple[Path, torch.Tensor]] = []
        for path in paths[start : start + BATCH]:
            try:
                images.append((path, prepared(path, preprocessing, channels)))
            except InputError:
                yield path
        if images:
            with torch.inference_mode():
                batch = torch.stack([image for _, image in images]).to(device)
                likely = model(batch).float().softmax(1).topk(min(top, model.arch.classes))
            for (path, _), values, classes in zip(images, likely.values.tolist(), likely.indices.tolist()):
                yield Prediction(path, list(zip(classes, values)))
