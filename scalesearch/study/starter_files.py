"""The example files that a user starts a study from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from scalesearch.errors import InputError
from scalesearch.files import save_text
from scalesearch.study.json_schema import schema_text


def write_starter_files(folder: Path) -> list[Path]:
    """Writes a commented study and space into `folder`, with the JSON Schemas that editors check them with.

    Returns:
        The paths of the files.

    Raises:
        InputError: If one of the files exists; nothing is written then.
    """
    source = files("scalesearch.study").joinpath("start")
    texts = {name: source.joinpath(name).read_text(encoding="utf-8") for name in ("study.yaml", "space.yaml")}
    texts |= {f"{kind}.schema.json": schema_text(kind) for kind in ("study", "space")}
    existing = [name for name in texts if (folder / name).exists()]
    if existing:
        raise InputError("exists; nothing is written over, so nothing was written", str(folder / existing[0]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        save_text(text, folder / name)
    return [folder / name for name in texts]
