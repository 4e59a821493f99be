"""Predicts the classes of images, with probabilities."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from scalesearch.data import SUFFIXES, File, center_crop, npz_images, prepare_pixels as prepared_pixels
from scalesearch.errors import InputError, WorkFailed, format_count
from scalesearch.network import Network
from scalesearch.training import resize_images, values_per_channel
from scalesearch.zoo import Preprocessing

BATCH = 16
PHOTO_CHANNELS = 1, 3  # channels that image files can be read with
ARRAY_SUFFIX = ".npz"
T = TypeVar("T")


class ClassProbability(NamedTuple):
    """A class with its probability in [0, 1]; `name` is None where its name is not known."""

    number: int
    name: str | None
    probability: float


class Prediction(NamedTuple):
    """The most likely classes of an image, the likeliest first."""

    image: str
    top: list[ClassProbability]


class LoadedImage(NamedTuple):
    """An image in memory: what results call it, and its pixels `(height, width, channels)`, uint8."""

    name: str
    pixels: np.ndarray


class InputFiles(NamedTuple):
    """Images to look at: named explicitly (a fault is an error), or found in folders (a faulty one is skipped)."""

    explicit: Sequence[Path | LoadedImage]
    in_folders: list[Path]


def find(paths: Iterable[Path], suffixes: Collection[str] = SUFFIXES) -> InputFiles:
    """Returns the files among `paths`, and those with one of the `suffixes` in folders among them, by name.

    Raises:
        InputError: If a path does not exist, or a folder has no such file in it.
    """
    explicit, in_folders = [], []
    for path in paths:
        if path.is_dir():
            matching = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)
            if not matching:
                raise InputError(f"has no images in it (files ending in {', '.join(sorted(suffixes))})", str(path))
            in_folders += matching
        elif path.is_file():
            explicit.append(path)
        else:
            raise InputError("is no file and no folder", str(path))
    return InputFiles(explicit, in_folders)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields the items in lists of `size`; the last list may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def photo_as_input(path: Path, preprocessing: Preprocessing, channels: int) -> torch.Tensor:
    """Returns a photo as the network takes it: upright, resized, centre-cropped and normalised.

    Args:
        path: The image file.
        preprocessing: How images are prepared for the weights.
        channels: The network's input channels, 1 or 3.

    Returns:
        float32 `(channels, height, width)`.

    Raises:
        InputError: If the file is no image, or the network takes another number of channels.
    """
    if channels not in PHOTO_CHANNELS:
        raise InputError(
            f"is a photo, and the network takes images of {format_count(channels, 'channel')}, as `images` "
            "of an .npz file hold them",
            str(path),
        )
    try:
        return as_input(path, preprocessing, channels)
    except ValueError as error:
        raise InputError(f"is no image that can be read ({error})", str(path)) from None


def as_input(file: File, prepare: Preprocessing, channels: int) -> torch.Tensor:
    """Returns an image as the network takes it, float32 `(channels, height, width)`.

    Args:
        file: The path of an image, its bytes, or its pixels.
        prepare: How images are prepared for the weights.
        channels: The network's input channels.

    Raises:
        ValueError: If `file` is no image.
    """
    if prepare.stored:
        stored = torch.from_numpy(center_crop(file, prepare.stored, channels).copy()).permute(2, 0, 1)[None]
        pixels = resize_images(stored, prepare.crop)[0]
    else:
        cropped = prepared_pixels(file, prepare.resize, prepare.crop, channels, prepare.interpolation, prepare.squash)
        pixels = torch.from_numpy(cropped.copy()).permute(2, 0, 1)
    mean, std = (
        torch.tensor(values_per_channel(values, channels)).view(-1, 1, 1) for values in (prepare.mean, prepare.std)
    )
    return (pixels.float().div_(255) - mean) / std


def predict(
    model: Network,
    files: InputFiles,
    preprocessing: Preprocessing,
    top: int = 5,
    device: str = "cpu",
    class_names: Sequence[str] | None = None,
) -> Iterator[Prediction | Path]:
    """Yields the `top` classes of every image, in order, or the path of a file from a folder that is no image.

    An .npz file may hold many images, each of which is predicted.

    Raises:
        InputError: If an explicitly named file is no image (raised before the first result).
        WorkFailed: If the network's outputs are not finite.
    """
    channels = model.arch.channels

    def inputs(image: Path | LoadedImage) -> Iterator[tuple[str, torch.Tensor]]:
        return _inputs(image, preprocessing, channels)

    def predicted(batch: list[tuple[str, torch.Tensor]]) -> Iterator[Prediction]:
        return _predict_batch(model, batch, top, device, class_names)

    for path in [*files.explicit, *(files.in_folders[:1] if channels not in PHOTO_CHANNELS else ())]:
        next(inputs(path))
    model = model.eval().to(device)
    pending: list[tuple[str, torch.Tensor]] = []
    for path in [*files.explicit, *files.in_folders]:
        try:
            for item in inputs(path):
                pending.append(item)
                if len(pending) == BATCH:
                    yield from predicted(pending)
                    pending = []
        except InputError:
            if not isinstance(path, Path):
                raise
            yield from predicted(pending)
            pending = []
            yield path
    yield from predicted(pending)


def _inputs(
    path: Path | LoadedImage, preprocessing: Preprocessing, channels: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields what a file holds as `(name, network input)`: one image, or the many of an .npz file."""
    if isinstance(path, LoadedImage):
        check_channels(path, channels)
        yield path.name, as_input(path.pixels, preprocessing, channels)
        return
    if path.suffix.lower() != ARRAY_SUFFIX:
        yield str(path), photo_as_input(path, preprocessing, channels)
        return
    images = npz_images(path)
    if images.shape[3] != channels:
        raise InputError(
            f"has images of {format_count(images.shape[3], 'channel')}, and the network takes {channels}", str(path)
        )
    for number, image in enumerate(images):
        yield f"{path}:{number}", as_input(image, preprocessing, channels)


def check_channels(image: LoadedImage, channels: int) -> None:
    """Raises `InputError` for pixels that a network of `channels` input channels cannot take."""
    own = image.pixels.shape[2]
    if own != channels and not (own in PHOTO_CHANNELS and channels in PHOTO_CHANNELS):
        raise InputError(f"has {format_count(own, 'channel')}, and the network takes {channels}", image.name)


def _predict_batch(
    model: Network,
    images: list[tuple[str, torch.Tensor]],
    top: int,
    device: str,
    class_names: Sequence[str] | None,
) -> Iterator[Prediction]:
    if not images:
        return
    with torch.inference_mode():
        batch = torch.stack([image for _, image in images]).to(device)
        best = model(batch).float().softmax(1).topk(min(top, model.arch.classes))
    if not best.values.isfinite().all():
        faulty = next(name for (name, _), values in zip(images, best.values) if not values.isfinite().all())
        raise WorkFailed(f"{faulty}: the network's outputs are no finite numbers")
    for (name, _), values, classes in zip(images, best.values.tolist(), best.indices.tolist()):
        best_classes = [
            ClassProbability(number, class_names[number] if class_names else None, value)
            for number, value in zip(classes, values)
        ]
        yield Prediction(name, best_classes)
