"""What a run keeps of its images: their splits, their facts and health, so that it can be gone on with and reported."""

from __future__ import annotations

import json
from pathlib import Path

from typing_extensions import TypedDict

from scalesearch.data import Facts, Health, Source, data_set
from scalesearch.errors import InputError
from scalesearch.files import save_text
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.report import health_page
from scalesearch.typed_json import from_json

FILE = "data.json"


class ImageFacts(TypedDict):
    """What `data.json` of a run holds."""

    facts: Facts
    health: Health


def keep_data(source: Source, spec: PlainMapping | str, folder: Path) -> None:
    """Writes `splits.parquet`, `data.json` and `data.html`, and decodes the images, before the first trial.

    Args:
        source: The images.
        spec: What the study's file says of its data.
        folder: The run's folder.

    Raises `InputError` where they have changed since the run began, `WorkFailed` where the disk has no room.
    """
    if not source.digest:
        return
    dataset = data_set(spec)
    dataset.save_or_check_splits(folder)
    if not (folder / FILE).exists():
        facts = {"facts": source.facts(), "health": dataset.health.to_dict()}
        save_text(health_page(dataset), folder / "data.html")
        save_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", folder / FILE)
    source.load()


def kept_source(folder: Path) -> Source | None:
    """Returns the facts of a run's images, wherever these are now."""
    facts = _read(folder)
    return Source.from_facts(facts["facts"]) if facts else None


def kept_health(folder: Path) -> PlainDict | None:
    """Returns what was found wrong with a run's images."""
    facts = _read(folder)
    return facts["health"].to_dict() if facts else None


def _read(folder: Path) -> ImageFacts | None:
    """Returns None for a run whose images have no such file. Raises `InputError` if the file is not as it was left."""
    try:
        return from_json(ImageFacts, (folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except InputError as error:
        raise error.in_file(str(folder / FILE)) from None
