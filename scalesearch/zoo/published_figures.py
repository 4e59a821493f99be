"""Published top-1 figures of the zoo's networks, their sources, and how the images were prepared for them."""

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
    """Holds how an image becomes a network's input.

    The image is resized so that it just covers `resize` pixels (a side, or height and width), its central
    `crop` is cut out, and `(x - mean) / std` is taken, with pixels x from 0 to 1. With `squash` it is resized
    to exactly `resize`, whatever its shape. With `stored` (pixels; 0: not) its centre is first stored at that
    size and then resized to `crop`, as for the images of our own trainings.
    """

    crop: Resolution
    resize: Resolution
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    stored: Resolution = 0
    squash: bool = False


class PublishedFigure(NamedTuple):
    """Holds a published figure: `top1` in percent on `data` (ImageNet or CIFAR-10) at `top1_resolution` pixels.

    `source` says where it was published, `preprocessing` how the images were prepared for it.
    """

    top1: float | None = None
    data: str | None = None
    top1_resolution: int | None = None
    source: str | None = None
    preprocessing: Preprocessing | None = None


@cache
def _figures() -> dict[str, PublishedFigure]:
    """Reads published.csv, whose `resize` is empty where the images are taken as they are."""
    figures = {}
    with files("scalesearch.zoo").joinpath("published.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            crop = int(row["resolution"])
            preprocessing = None
            if row["resize"]:
                preprocessing = Preprocessing(crop, int(row["resize"]), row["interpolation"], *PIXELS[row["pixels"]])
            figures[row["name"]] = PublishedFigure(float(row["top1"]), row["data"], crop, row["source"], preprocessing)
    return figures


def published_figure(name: str) -> PublishedFigure:
    """Returns the published figure of the network `name`, with all fields None where there is none."""
    return _figures().get(name, PublishedFigure())
