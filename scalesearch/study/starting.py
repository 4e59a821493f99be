"""Files to start one's own study from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from scalesearch.errors import InputError
from scalesearch.files import save_text
from scalesearch.study.json_schema import schema_text


def start_in(folder: Path) -> list[Path]:
    """Write a commented study and space, and the schemas that editors check them with, into `folder`.

    Raises `InputError` where one of the files exists: nothing is written over, and then nothing is written.
    """
    source = files("scalesearch.study").joinpath("start")
    texts = {name: source.joinpath(name).read_text(encoding="utf-8") for name in ("study.yaml", "space.yaml")}
    texts |= {f"{kind}.schema.json": schema_text(kind) for kind in ("study", "space")}
    there = [name for name in texts if (folder / name).exists()]
    if there:
        raise InputError("exists; nothing is written over, so nothing was written", str(folder / there[0]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        save_text(text, folder / name)
    return [folder / name for name in texts]
