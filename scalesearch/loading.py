"""MODEL, as every command and `scalesearch.load` take it: a zoo name, or the path of an architecture's YAML file."""

from __future__ import annotations

from pathlib import Path

from scalesearch import zoo
from scalesearch.arch import Arch
from scalesearch.schema import load_arch


def load(model: str | Path, *, resolution: int | None = None, classes: int | None = None) -> Arch:
    """The architecture called `model`, at another resolution or with another number of classes if given.

    Raises `InputError` for a name that the zoo doesn't have, with the nearest, and for what is wrong in a file.
    """
    named = str(model)
    arch = load_arch(named) if named.endswith((".yaml", ".yml")) else zoo.model(named)
    changes = {"resolution": resolution, "classes": classes}
    return arch.with_(**{key: value for key, value in changes.items() if value is not None})
