"""What a run saves about its images (splits, facts and health), so that it can be resumed and reported
without them.
"""

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
    """The content of a run's `data.json`."""

    facts: Facts
    health: Health


def prepare_data(source: Source, spec: PlainMapping | str, folder: Path) -> None:
    """Writes `splits.parquet`, `data.json` and `data.html` into a run's folder, and decodes the images.

    Args:
        source: The images.
        spec: The `data` section of the study.
        folder: The run's folder.

    Raises:
        InputError: If the images or their labels have changed since the run began.
        WorkFailed: If the disk has no room.
    """
    if not source.digest:
        return
    dataset = data_set(spec)
    dataset.save_or_check_splits(folder)
    if saved := saved_source(folder):
        if saved.assigned and saved.assigned != source.assigned:
            raise InputError(
                f"has other labels or splits than when the run in {folder} began; restore them, or start a new run in "
                "another folder with --out",
                source.origin,
            )
    else:
        facts = {"facts": source.facts(), "health": dataset.health.to_dict()}
        save_text(health_page(dataset), folder / "data.html")
        save_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", folder / FILE)
    source.load()


def saved_source(folder: Path) -> Source | None:
    """Returns a source with the facts of a run's images, which need not be on this machine; None without
    `data.json`.
    """
    facts = _read(folder)
    return Source.from_facts(facts["facts"]) if facts else None


def saved_health(folder: Path) -> PlainDict | None:
    """Returns what is wrong with a run's images, as plain data; None without `data.json`."""
    facts = _read(folder)
    return facts["health"].to_dict() if facts else None


def _read(folder: Path) -> ImageFacts | None:
    """Returns the content of `data.json`, None if there is none. Raises `InputError` if the file was
    changed.
    """
    try:
        return from_json(ImageFacts, (folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except InputError as error:
        raise error.in_file(str(folder / FILE)) from None
