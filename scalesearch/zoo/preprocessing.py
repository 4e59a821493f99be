"""How images are prepared for a network's weights, and what its classes are called."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, Resolution, resized, sides, squared
from scalesearch.errors import InputError, shown
from scalesearch.trials import task_of
from scalesearch.zoo.published_figures import HALF, IMAGENET, NONE, Preprocessing, published

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos")
VOC = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)  # in Darknet's order
TIMM_CROP = 0.875  # timm's default share of the resized image


def preparing(arch: Arch, library: str, config: Mapping[str, Any] | None = None, place: Path = Path()) -> Preprocessing:
    """How images are prepared for weights of `arch` that have a library's names, at the arch's resolution.

    A `config` at `place` (timm's `config.json`) says so itself; else it is what the published figure was measured with;
    else what is usual in the library. Raises `InputError` for a config that makes no sense.
    """
    if config is not None and "mean" in config.get("pretrained_cfg", config):
        return _from_config(config, place, arch)
    known = published(arch.name.removesuffix("_aux"))
    if known.preprocessing is not None and library in (known.source or "").lower():
        share = min(sides(known.preprocessing.crop)) / min(sides(known.preprocessing.resize))
        return known.preprocessing._replace(crop=arch.resolution, resize=resized(arch.resolution, 1 / share))
    match library:
        case "torchvision":
            return Preprocessing(arch.resolution, resized(arch.resolution, 256 / 224), "bilinear", *IMAGENET)
        case "timm":
            return Preprocessing(arch.resolution, _whole(arch.resolution, TIMM_CROP), "bicubic", *IMAGENET)
        case "darknet" | "ultralytics":
            return Preprocessing(arch.resolution, arch.resolution, "bilinear", *NONE)
    return Preprocessing(arch.resolution, arch.resolution, "bilinear", *HALF)  # as `scalesearch run` trains


def _whole(resolution: Resolution, crop: float) -> Resolution:
    """What a share `crop` of it is cut out of, rounded down, as timm does."""
    return squared(tuple(int(side / crop) for side in sides(resolution)))


def _from_config(config: Mapping[str, Any], place: Path, arch: Arch) -> Preprocessing:
    try:
        told: Mapping[str, Any] = config.get("pretrained_cfg", config)
        crop = float(told.get("crop_pct", TIMM_CROP))
        mean, std = tuple(map(float, told["mean"])), tuple(map(float, told["std"]))
        interpolation = told.get("interpolation", "bicubic")
        if len(mean) != 3 or len(std) != 3 or not all(map(isfinite, (*mean, *std))):
            raise ValueError("mean and std are finite numbers for three channels")
        if interpolation not in INTERPOLATIONS or not 0.05 <= crop <= 1 or min(std) <= 0:
            raise ValueError("values that make no sense")
        if (mode := told.get("crop_mode") or "center") not in ("center", "squash"):
            raise ValueError(f'a crop_mode other than "center" and "squash", {shown(mode)}')
        return Preprocessing(
            arch.resolution, _whole(arch.resolution, crop), interpolation, mean, std, squash=mode == "squash"
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"says of the weights' images what cannot be read ({type(error).__name__}: {error})", str(place)
        ) from None


@cache
def _listed(name: str) -> tuple[str, ...]:
    return tuple(files("scalesearch.zoo").joinpath(f"{name}_classes.txt").read_text(encoding="utf-8").splitlines())


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's 1000 classes in their usual order, as torchvision 0.28 names them."""
    return _listed("imagenet")


def class_names(arch: Arch, library: str = "torchvision") -> tuple[str, ...] | None:
    """The classes' names where they are known: ImageNet's for 1000 classes, but for Darknet's weights, which order them
    otherwise; a detector's 80 are COCO's, its 20 Pascal VOC's."""
    name = task_of(arch).class_lists.get(arch.classes)
    if name is None or (name == "imagenet" and library == "darknet"):
        return None
    return VOC if name == "voc" else _listed(name)
