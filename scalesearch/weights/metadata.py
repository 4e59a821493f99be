"""Reads what a weights file states about itself: its network, image preparation and class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

from scalesearch.arch import Arch, Resolution, sides
from scalesearch.errors import InputError, format_value
from scalesearch.plain_data import PlainDict
from scalesearch.space import arch_from_dict
from scalesearch.typed_json import load_json
from scalesearch.weights.files import file_metadata
from scalesearch.zoo import Preprocessing, class_names, preprocessing_for

CONFIG = "config.json"  # timm's file beside weights
# Keys that do not affect a trained network's outputs.
NOT_COMPARED = ("name", "resolution", "classes", "drop_path", "norm_momentum", "dropout")
SETTINGS = ("norm_eps", "padding")  # keys that a network takes over from its weights


def timm_config(file: Path) -> PlainDict | None:
    """Returns timm's `config.json` from the folder of `file`, or None if there is none or it is not timm's."""
    try:
        config = load_json((file.parent / CONFIG).read_bytes())
    except (OSError, ValueError):
        return None
    is_timm = isinstance(config, dict) and (isinstance(config.get("architecture"), str) or "pretrained_cfg" in config)
    return config if is_timm else None


def arch_from_metadata(metadata: Mapping[str, str], place: str, arch: Arch | None = None) -> Arch | None:
    """Returns the architecture that the metadata of one of our files describes.

    Args:
        metadata: The file's metadata (`file_metadata`).
        place: The file, for error messages.
        arch: Returned with the file's eps if the metadata has `norm_eps` but no `arch`.

    Returns:
        The architecture, or None if the metadata has none.

    Raises:
        InputError: If the metadata cannot be read.
    """
    try:
        if "arch" in metadata:
            return arch_from_dict(load_json(metadata["arch"]))
        if arch is not None and "norm_eps" in metadata:
            return arch_from_dict({**arch.to_dict(), "norm_eps": float(metadata["norm_eps"])})
    except (ValueError, TypeError) as error:
        raise InputError(f"has a description of its network that cannot be read ({error})", place) from None
    return None


def with_file_settings(arch: Arch, metadata: Mapping[str, str], place: str, require_same: bool = True) -> Arch:
    """Returns `arch` with the norms' eps and the padding that the weights in one of our files were trained with.

    Args:
        arch: The network to load the weights into.
        metadata: The file's metadata (`file_metadata`).
        place: The file, for error messages.
        require_same: Whether the file's network must compute the same as `arch`.

    Raises:
        InputError: If the metadata cannot be read, or the networks differ and `require_same` is set.
    """
    file_arch = arch_from_metadata(metadata, place, arch)
    if file_arch is None:
        return arch
    difference = _first_difference(file_arch.to_dict(), arch.to_dict())
    if difference and require_same:
        raise InputError(f"is of another network, {file_arch.name}: {difference} in {arch.name}", place)
    return arch.with_(**{key: getattr(file_arch, key) for key in SETTINGS})


def _first_difference(theirs: object, ours: object, key_path: str = "") -> str:
    """Describes the first difference in what two architectures compute, or returns "" if there is none."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        entries = [
            (f"{key_path}.{key}".lstrip("."), theirs.get(key), ours.get(key))
            for key in {**theirs, **ours}
            if key not in (*NOT_COMPARED, *SETTINGS)
        ]
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        entries = [(f"{key_path}[{i}]", a, b) for i, (a, b) in enumerate(zip(theirs, ours))]
    else:
        return "" if theirs == ours else f"{key_path} is {format_value(theirs)} there and {format_value(ours)}"
    return next(filter(None, (_first_difference(a, b, place) for place, a, b in entries)), "")


def preparation_of(arch: Arch, library: str, file: Path) -> Preprocessing:
    """Returns how images are prepared for the weights in `file`, at the resolution of `arch`.

    Our own files state it; for others it follows from timm's `config.json` beside the file or from the
    library's habit.

    Raises:
        InputError: If what the file or the config states cannot be read.
    """
    text = file_metadata(file).get("preparation")
    if text is None:
        return preprocessing_for(arch, library, timm_config(file), file.parent / CONFIG)
    try:
        fields = dict(load_json(text))
        fields |= {
            key: _checked_sides(fields[key], key != "stored") for key in ("crop", "resize", "stored") if key in fields
        }
        preprocessing = Preprocessing(
            **fields | {"mean": tuple(map(float, fields["mean"])), "std": tuple(map(float, fields["std"]))}
        )
        numbers = (*preprocessing.mean, *preprocessing.std)
        if not (preprocessing.mean and min(preprocessing.std) > 0 and all(map(isfinite, numbers))):
            raise ValueError("mean or std are empty, not finite or not above 0")
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"has a description of its images that cannot be read ({error})", str(file)) from None
    if arch.resolution != preprocessing.crop:
        stored = (
            preprocessing.stored if preprocessing.stored and _same_shape(preprocessing.stored, arch.resolution) else 0
        )
        return preprocessing._replace(crop=arch.resolution, resize=arch.resolution, stored=stored)
    return preprocessing


def _checked_sides(value: object, required: bool) -> Resolution:
    """Returns `value` if it is a side in pixels or a list of height and width; 0 (none) only unless `required`."""
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value):
        return tuple(value)
    if type(value) is int and value >= (1 if required else 0):
        return value
    raise ValueError(f"takes pixels, got {format_value(value)}")


def _same_shape(a: Resolution, b: Resolution) -> bool:
    """Returns whether two resolutions have the same aspect ratio, to within 5 %."""
    (height, width), (other_height, other_width) = sides(a), sides(b)
    return abs(height * other_width / (width * other_height) - 1) < 0.05


def class_names_of(arch: Arch, library: str, file: Path) -> Sequence[str] | None:
    """Returns the names of the classes, from the file or else from the library, or None if neither states them."""
    text = file_metadata(file).get("classes")
    try:
        names = load_json(text) if text else None
    except ValueError:
        names = None
    if isinstance(names, list) and len(names) == arch.classes:
        return [str(name) for name in names]
    return class_names(arch, library)
