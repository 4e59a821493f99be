"""A data set's health as one HTML page with thumbnails."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalesearch.data import DataSet, thumbnail_uri
from scalesearch.plain_data import PlainDict

HERE = Path(__file__).parent
SHOWN = 24  # thumbnails of each kind
PER_CLASS, CLASSES = 6, 40  # of a class's images, and classes that have them shown


def health_page(data: DataSet) -> str:
    """The page. Reads the images that it shows, and no others."""
    health = data.health
    pairs = {"In two splits": health.leaks, "In two classes": health.conflicts, "Twice or nearly so": health.duplicates}
    singles = {"Turned by EXIF": health.turned, "Animated": health.animated}
    some = {label: names[:PER_CLASS] for label, names in list(_by_class(data).items())[:CLASSES]}
    wanted = [name for found in pairs.values() for pair in found[:SHOWN] for name in pair]
    wanted += [name for found in (*singles.values(), *some.values()) for name in found[:SHOWN]]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["thousands"] = lambda v: f"{v:,}"
    return environment.from_string((HERE / "health.html.j2").read_text(encoding="utf-8")).render(
        health=health,
        pairs=pairs,
        singles=singles,
        some=some,
        shown=SHOWN,
        thumbnails=_thumbnails(data, wanted),
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        code=Markup((HERE / "scrolls.js").read_text(encoding="utf-8")),
    )


def _by_class(data: DataSet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in data.index.classes}
    for name, label, split in zip(data.index.names, data.index.labels, data.splits):
        if split and label in found and len(found[label]) < PER_CLASS:
            found[label].append(name)
    return found


def _thumbnails(data: DataSet, names: Iterable[str]) -> PlainDict:
    row_of = {name: row for row, name in enumerate(data.index.names)}
    rows = sorted({row_of[name] for name in names})
    files = zip(rows, data.index.store.read(rows), strict=True)
    return {data.index.names[row]: "" if isinstance(file, OSError) else thumbnail_uri(file) for row, file in files}
