"""What a run keeps of its images: their splits, their facts and health, so that it can be gone on with and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from scalesearch.data import Facts, Health, Source, data_set
from scalesearch.errors import InputError
from scalesearch.files import save_text
from scalesearch.report import health_page
from scalesearch.shapes import from_json

KEPT = "data.json"


class Kept(TypedDict):
    """What stands in that file."""

    facts: Facts
    health: Health


def keep_data(source: Source, told: Any, folder: Path) -> None:
    """Write `splits.parquet`, `data.json` and `data.html` of the data that a person `told`, and decode the images,
    before the first trial.

    Raises `InputError` where they have changed since the run began, `WorkFailed` where the disk has no room.
    """
    if not source.digest:
        return
    opened = data_set(told)
    opened.keep_splits(folder)
    if not (folder / KEPT).exists():
        kept = {"facts": source.facts(), "health": opened.health.to_dict()}
        save_text(health_page(opened), folder / "data.html")
        save_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", folder / KEPT)
    source.load()


def kept_source(folder: Path) -> Source | None:
    """The facts of a run's images, wherever these are now."""
    told = _kept(folder)
    return Source.of_facts(told["facts"]) if told else None


def kept_health(folder: Path) -> dict[str, Any] | None:
    told = _kept(folder)
    return told["health"].to_dict() if told else None


def _kept(folder: Path) -> Kept | None:
    """None of a run whose images need none. Raises `InputError` where the file is not as it was left."""
    try:
        return from_json(Kept, (folder / KEPT).read_bytes())
    except FileNotFoundError:
        return None
    except InputError as error:
        raise error.in_file(str(folder / KEPT)) from None
