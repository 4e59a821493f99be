"""Published top-1 figures of the zoo's networks, whose they are, and how the images were prepared for them."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from scalesearch.arch import Resolution

# mean and std that pixels in 0 … 1 are brought to zero and one with, by the names that published.csv has for them;
# torchvision's
# GoogLeNet and Inception v3 do it inside the model, and here the image is prepared so
PIXELS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
IMAGENET, HALF, NONE = PIXELS.values()


class Preprocessing(NamedTuple):
    """How an image becomes the input: resized so that it just covers `resize` pixels (a side, or height and width; with
    `squash` to just these, whatever its shape), the middle `crop` of them, (x - mean) / std.

    With `stored`, the middle at that size first, which is then brought to `crop`: how our own trainings keep their
    images.
    """

    crop: Resolution
    resize: Resolution
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    stored: Resolution = 0
    squash: bool = False


class Published(NamedTuple):
    """Top-1 in percent on which `data` (ImageNet or CIFAR-10), at which resolution, whose figure it is."""

    top1: float | None = None
    data: str | None = None
    top1_resolution: int | None = None
    source: str | None = None
    preprocessing: Preprocessing | None = None


@cache
def _figures() -> dict[str, Published]:
    """The rows of published.csv; `resize` is empty where the images are taken as they are."""
    found = {}
    with files("scalesearch.zoo").joinpath("published.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            crop = int(row["resolution"])
            prepared = None
            if row["resize"]:
                prepared = Preprocessing(crop, int(row["resize"]), row["interpolation"], *PIXELS[row["pixels"]])
            found[row["name"]] = Published(float(row["top1"]), row["data"], crop, row["source"], prepared)
    return found


def published(name: str) -> Published:
    """What is published of the network called `name`; all of it None where nothing is."""
    return _figures().get(name, Published())
