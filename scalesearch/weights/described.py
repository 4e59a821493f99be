"""What a file of weights says of itself: how images are prepared for it, and what its classes are called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from scalesearch.arch import Arch
from scalesearch.errors import InputError
from scalesearch.weights.files import told
from scalesearch.zoo import Preprocessing, class_names, preparing


def preparation_of(arch: Arch, library: str, file: Path) -> Preprocessing:
    """How images are prepared for the weights in `file`: as our own files say, else as is known of the library's.

    Raises `InputError` for a file whose words make no sense.
    """
    said = told(file).get("preparation")
    if said is None:
        return preparing(arch, library, file)
    try:
        found = json.loads(said)
        prepared = Preprocessing(**found | {"mean": tuple(map(float, found["mean"])),
                                            "std": tuple(map(float, found["std"]))})
        if prepared.stored < 0 or min(prepared.std) <= 0 or not prepared.mean:
            raise ValueError("values that make no sense")
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"says of its images what cannot be read ({error})", str(file)) from None
    if arch.resolution != prepared.crop:
        return prepared._replace(crop=arch.resolution, resize=arch.resolution)
    return prepared


def classes_of(arch: Arch, library: str, file: Path) -> Sequence[str] | None:
    """What the classes are called, where the file or the library says so."""
    said = told(file).get("classes")
    try:
        names = json.loads(said) if said else None
    except ValueError:
        names = None
    if isinstance(names, list) and len(names) == arch.classes:
        return [str(name) for name in names]
    return class_names(arch, library)
