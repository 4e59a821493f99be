"""What all pages have in common: the style, the scripts, plotly."""

from __future__ import annotations

import json
from pathlib import Path

from markupsafe import Markup

from scalesearch.plain_data import PlainDict
from scalesearch.report import figures

HERE = Path(__file__).parent
SCRIPTS = ("themes.js", "page.js", "tables.js", "scrolls.js")


def source(*names: str) -> Markup:
    """Returns files beside this one, one after the other, as they are."""
    return Markup("".join((HERE / name).read_text(encoding="utf-8") for name in names))


def page_parts() -> PlainDict:
    """Returns what the templates of pages with figures take: `css`, `script`, `config`, `template` and `code`."""
    return {
        "css": source("page.css"),
        "script": Markup(figures.script()),
        "config": Markup(json.dumps(figures.CONFIG)),
        "template": Markup(json.dumps(figures.template())),
        "code": source(*SCRIPTS),
    }
