"""The page of a run that goes on: it fills as trials end, by events of the server that it comes from."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalesearch.plain_data import PlainDict
from scalesearch.report import figures
from scalesearch.report.assets import source
from scalesearch.study import COLOURS, figure

HERE = Path(__file__).parent
SHOWN = 200  # trials in the table


def live_page(name: str, axis: str, score: str, percent: bool) -> str:
    """Returns the HTML of the page; it asks for `plotly.js`, `events` and `report` beside it.

    Args:
        name: The study's name.
        axis: The title of the horizontal axis, a counted cost.
        score: The name of the score.
        percent: Whether scores are shares in [0, 1], shown in per cent.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    yaxis = {"title": score, "tickformat": ".0%" if percent else ""}
    layout: PlainDict = figure([], 440, xaxis={"title": axis, "type": "log"}, yaxis=yaxis, showlegend=True)["layout"]
    template = environment.from_string((HERE / "live.html.j2").read_text(encoding="utf-8"))
    return template.render(
        name=name,
        axis=axis,
        shown=SHOWN,
        percent=Markup(json.dumps(percent)),
        layout=Markup(json.dumps(layout)),
        colours=Markup(json.dumps(COLOURS)),
        css=source("page.css"),
        template=Markup(json.dumps(figures.template())),
        themes=source("themes.js"),
    )
