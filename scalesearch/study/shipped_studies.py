"""Studies that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from scalesearch.errors import InputError, check_kind, suggestion

PACKAGE = Path(str(files("scalesearch")))


def shipped_studies() -> dict[str, Path]:
    """Returns the files of the shipped studies by name: in an installed package, or beside it in a checkout."""
    folder = next((f for f in (PACKAGE / "studies", PACKAGE.parent / "studies") if f.is_dir()), PACKAGE)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_study(name_or_path: str | Path) -> Path:
    """Returns the file of a study: the given path, or the shipped study of that name.

    Args:
        name_or_path: A path, or a name of `shipped_studies()`.

    Raises:
        InputError: If it is neither.
    """
    check_kind(name_or_path, (str, Path), "a study, its file, or the name of one that ships with the package", "study")
    path, studies = Path(name_or_path), shipped_studies()
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return path
    if str(name_or_path) not in studies:
        hint = f"studies that ship with the package: {', '.join(studies)}" if studies else "none ship with the package"
        raise InputError(
            f"is no file, and no study by that name; {hint}.{suggestion(str(name_or_path), studies)}", str(name_or_path)
        )
    return studies[str(name_or_path)]
