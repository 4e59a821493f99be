"""Studies that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from scalesearch.errors import InputError, nearest

PACKAGE = Path(str(files("scalesearch")))


def shipped_studies() -> dict[str, Path]:
    """By name: in the package where it is installed, beside it in a checkout."""
    folder = next((f for f in (PACKAGE / "studies", PACKAGE.parent / "studies") if f.is_dir()), PACKAGE)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_study(given: str | Path) -> Path:
    """The study's file: `given` itself where it is one, or the shipped one of that name.

    Raises `InputError` for a name that is neither.
    """
    path, known = Path(given), shipped_studies()
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return path
    if str(given) not in known:
        there = f"studies that come along: {', '.join(known)}" if known else "none come along"
        raise InputError(f"is no file, and no study by that name; {there}.{nearest(str(given), known)}", str(given))
    return known[str(given)]
