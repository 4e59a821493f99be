"""What a file of weights says of itself: how images are prepared for it, and what its classes are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, Resolution, sides
from scalesearch.errors import InputError, shown
from scalesearch.space import arch_from_dict
from scalesearch.typed_json import plain
from scalesearch.weights.files import told
from scalesearch.zoo import Preprocessing, class_names, preparing

CONFIG = "config.json"  # what timm lays beside weights
OF_TRAINING = ("name", "resolution", "classes", "drop_path", "norm_momentum", "dropout")  # nothing outputs depend on
TAKEN = ("norm_eps", "padding")  # what a network takes from its weights


def timm_config(file: Path) -> dict[str, Any] | None:
    """timm's `config.json` beside weights; none where there is none, or one of something else."""
    try:
        said = plain((file.parent / CONFIG).read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(said, dict) and (isinstance(said.get("architecture"), str) or "pretrained_cfg" in said)
    return said if ours else None


def arch_said(said: Mapping[str, str], place: str, arch: Arch | None = None) -> Arch | None:
    """The network that our own file says its weights are of; of a file that says their eps alone `arch` with that; none
    of one that says nothing. Raises `InputError` where its words make no sense."""
    try:
        if "arch" in said:
            return arch_from_dict(plain(said["arch"]))
        if arch is not None and "norm_eps" in said:
            return arch_from_dict({**arch.to_dict(), "norm_eps": float(said["norm_eps"])})
    except (ValueError, TypeError) as error:
        raise InputError(f"says of its network what cannot be read ({error})", place) from None
    return None


def trained_as(arch: Arch, said: Mapping[str, str], place: str, same: bool = True) -> Arch:
    """`arch` with the eps and the padding that our own weights were trained with, as their file says.

    Raises `InputError` where they are of a network that computes something else, if it is to be the `same`, and for a
    file whose words make no sense.
    """
    theirs = arch_said(said, place, arch)
    if theirs is None:
        return arch
    difference = _difference(theirs.to_dict(), arch.to_dict())
    if difference and same:
        raise InputError(f"is of another network, {theirs.name}: {difference} in {arch.name}", place)
    return arch.with_(**{key: getattr(theirs, key) for key in TAKEN})


def _difference(theirs: Any, ours: Any, where: str = "") -> str:
    """Where two architectures first differ in what they compute, in words; nothing where they don't."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        each = [
            (f"{where}.{key}".lstrip("."), theirs.get(key), ours.get(key))
            for key in {**theirs, **ours}
            if key not in (*OF_TRAINING, *TAKEN)
        ]
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        each = [(f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(theirs, ours))]
    else:
        return "" if theirs == ours else f"{where} is {shown(theirs)} there and {shown(ours)}"
    return next(filter(None, (_difference(a, b, place) for place, a, b in each)), "")


def preparation_of(arch: Arch, library: str, file: Path) -> Preprocessing:
    """How images are prepared for the weights in `file`: as our own files say, else as is known of the library's.

    Raises `InputError` for a file whose words make no sense.
    """
    said = told(file).get("preparation")
    if said is None:
        return preparing(arch, library, timm_config(file), file.parent / CONFIG)
    try:
        found = dict(plain(said))
        found |= {key: _sides(found[key], key != "stored") for key in ("crop", "resize", "stored") if key in found}
        prepared = Preprocessing(
            **found | {"mean": tuple(map(float, found["mean"])), "std": tuple(map(float, found["std"]))}
        )
        numbers = (*prepared.mean, *prepared.std)
        possible = prepared.mean and min(prepared.std) > 0 and all(map(isfinite, numbers))
        if not possible:
            raise ValueError("values that make no sense")
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"says of its images what cannot be read ({error})", str(file)) from None
    if arch.resolution != prepared.crop:
        kept = prepared.stored if prepared.stored and _alike(prepared.stored, arch.resolution) else 0
        return prepared._replace(crop=arch.resolution, resize=arch.resolution, stored=kept)
    return prepared


def _sides(said: Any, needed: bool) -> Resolution:
    """A side in pixels, or height and width; 0 is none."""
    if isinstance(said, list) and len(said) == 2 and all(type(side) is int and side > 0 for side in said):
        return tuple(said)
    if type(said) is int and said >= (1 if needed else 0):
        return said
    raise ValueError(f"takes pixels, got {shown(said)}")


def _alike(a: Resolution, b: Resolution) -> bool:
    """Whether images of these sizes have one shape, but for rounding."""
    (height, width), (other_height, other_width) = sides(a), sides(b)
    return abs(height * other_width / (width * other_height) - 1) < 0.05


def classes_of(arch: Arch, library: str, file: Path) -> Sequence[str] | None:
    """What the classes are called, where the file or the library says so."""
    said = told(file).get("classes")
    try:
        names = plain(said) if said else None
    except ValueError:
        names = None
    if isinstance(names, list) and len(names) == arch.classes:
        return [str(name) for name in names]
    return class_names(arch, library)
