"""How images are prepared for a network's weights, and the names of its classes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from math import isfinite
from pathlib import Path

from scalesearch.arch import Arch, Resolution, as_resolution, scaled_resolution, sides
from scalesearch.errors import InputError, format_value
from scalesearch.plain_data import PlainMapping
from scalesearch.trials import task_of
from scalesearch.zoo.published_figures import HALF, IMAGENET, NONE, Preprocessing, published_figure

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos")
TIMM_CROP = 0.875  # timm's default share of the resized image


def preprocessing_for(
    arch: Arch, library: str, config: PlainMapping | None = None, place: Path = Path()
) -> Preprocessing:
    """Returns how images are prepared for weights of `arch` from a library, at the resolution of `arch`.

    A `config` decides if it has the means; else the preprocessing that the published figure was measured
    with, if that is the library's; else the library's usual one.

    Args:
        arch: The network.
        library: "torchvision", "timm", "darknet", "ultralytics" or "scalesearch".
        config: timm's `config.json`.
        place: The path of `config`, for errors.

    Raises:
        InputError: If `config` has invalid values.
    """
    if config is not None and "mean" in config.get("pretrained_cfg", config):
        return _from_config(config, place, arch)
    figure = published_figure(arch.name.removesuffix("_aux"))
    if figure.preprocessing is not None and library in (figure.source or "").lower():
        crop_share = min(sides(figure.preprocessing.crop)) / min(sides(figure.preprocessing.resize))
        return figure.preprocessing._replace(
            crop=arch.resolution, resize=scaled_resolution(arch.resolution, 1 / crop_share)
        )
    match library:
        case "torchvision":
            return Preprocessing(arch.resolution, scaled_resolution(arch.resolution, 256 / 224), "bilinear", *IMAGENET)
        case "timm":
            return Preprocessing(arch.resolution, _size_before_crop(arch.resolution, TIMM_CROP), "bicubic", *IMAGENET)
        case "darknet" | "ultralytics":
            return Preprocessing(arch.resolution, arch.resolution, "bilinear", *NONE)
    return Preprocessing(arch.resolution, arch.resolution, "bilinear", *HALF)  # as `scalesearch run` trains


def _size_before_crop(resolution: Resolution, crop: float) -> Resolution:
    """Returns the size that an image is resized to before a share `crop` is cut out; rounded down, as in timm."""
    return as_resolution(tuple(int(side / crop) for side in sides(resolution)))


def _from_config(config: PlainMapping, place: Path, arch: Arch) -> Preprocessing:
    try:
        settings: PlainMapping = config.get("pretrained_cfg", config)
        crop = float(settings.get("crop_pct", TIMM_CROP))
        mean, std = tuple(map(float, settings["mean"])), tuple(map(float, settings["std"]))
        interpolation = settings.get("interpolation", "bicubic")
        if len(mean) != 3 or len(std) != 3 or not all(map(isfinite, (*mean, *std))):
            raise ValueError("mean and std: take three finite numbers each")
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation: takes {', '.join(INTERPOLATIONS)}, got {format_value(interpolation)}")
        if not 0.05 <= crop <= 1 or min(std) <= 0:
            raise ValueError("crop_pct: takes a share from 0.05 to 1; std: takes numbers above 0")
        if (mode := settings.get("crop_mode") or "center") not in ("center", "squash"):
            raise ValueError(f'crop_mode: takes "center" or "squash", got {format_value(mode)}')
        return Preprocessing(
            arch.resolution, _size_before_crop(arch.resolution, crop), interpolation, mean, std, squash=mode == "squash"
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"has no valid preprocessing of the weights' images ({type(error).__name__}: {error})", str(place)
        ) from None


@cache
def _read_class_names(name: str) -> tuple[str, ...]:
    return tuple(files("scalesearch.zoo").joinpath(f"{name}_classes.txt").read_text(encoding="utf-8").splitlines())


def imagenet_classes() -> tuple[str, ...]:
    """Returns the names of ImageNet's 1000 classes in their usual order, as in torchvision 0.28."""
    return _read_class_names("imagenet")


def class_names(arch: Arch, library: str = "torchvision") -> tuple[str, ...] | None:
    """Returns the names of a network's classes where they are known, else None.

    A classifier's 1000 are ImageNet's, except with Darknet's weights, which order them differently; a
    detector's 80 are COCO's and its 20 Pascal VOC's.
    """
    name = task_of(arch).class_lists.get(arch.classes)
    if name is None or (name == "imagenet" and library == "darknet"):
        return None
    return _read_class_names(name)
