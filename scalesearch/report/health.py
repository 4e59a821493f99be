"""A data set's health as one HTML page with thumbnails."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from scalesearch.data import DataSet, File, boxed_thumbnail_uri, thumbnail_uri
from scalesearch.plain_data import PlainDict
from scalesearch.report.assets import source

HERE = Path(__file__).parent
MAX_SHOWN = 24  # thumbnails of each kind
MAX_LISTED = 1_000  # pairs in the list to copy
PER_CLASS, CLASSES = 6, 40  # images shown of a class, and classes that have images shown


def health_page(data: DataSet) -> str:
    """Returns the HTML page on a data set's health; reads only the images that it shows."""
    health = data.health
    pairs = {"In two splits": health.leaks, "In two classes": health.conflicts, "Twice or nearly so": health.duplicates}
    singles = {"Turned by EXIF": health.turned, "Animated": health.animated}
    examples = {label: names[:PER_CLASS] for label, names in list(_by_class(data).items())[:CLASSES]}
    shown_names = [name for names_found in pairs.values() for pair in names_found[:MAX_SHOWN] for name in pair]
    shown_names += [name for names_found in (*singles.values(), *examples.values()) for name in names_found[:MAX_SHOWN]]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["thousands"] = lambda v: f"{v:,}"
    return environment.from_string((HERE / "health.html.j2").read_text(encoding="utf-8")).render(
        health=health,
        pairs=pairs,
        singles=singles,
        some=examples,
        shown=MAX_SHOWN,
        listed=MAX_LISTED,
        largest=max([sum(counts.values()) for counts in health.classes.values()], default=0) or 1,
        thumbnails=_thumbnails(data, shown_names),
        css=source("page.css"),
        code=source("tables.js", "scrolls.js"),
    )


def _by_class(data: DataSet) -> dict[str, list[str]]:
    names_by_class: dict[str, list[str]] = {name: [] for name in data.index.classes}
    for name, label, split in zip(data.index.names, data.index.labels, data.splits):
        if split and label in names_by_class and len(names_by_class[label]) < PER_CLASS:
            names_by_class[label].append(name)
    return names_by_class


def _thumbnails(data: DataSet, names: Iterable[str]) -> PlainDict:
    row_of = {name: row for row, name in enumerate(data.index.names)}
    rows = sorted({row_of[name] for name in names})
    files = zip(rows, data.index.store.read(rows), strict=True)
    return {
        data.index.names[row]: "" if isinstance(file, OSError) else _picture(data, row, file) for row, file in files
    }


def _picture(data: DataSet, row: int, file: File) -> str:
    """Returns a thumbnail of an image, with its boxes if it is of a set with boxes."""
    if (truth := data.index.truth) is None:
        return thumbnail_uri(file)
    own = truth.image == row
    return boxed_thumbnail_uri(file, truth.box[own], truth.class_[own].tolist())
