"""The report of a search on a table: best so far, and the front where there are several objectives."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalesearch.report import figures
from scalesearch.searchers import Found
from scalesearch.yamlfile import dump

HERE = Path(__file__).parent
COLOURS = ("#1257b8", "#c2410c", "#0f766e", "#7c3aed", "#be185d", "#475569")


def page(study: Any, found: Mapping[int, Found], summary: dict[str, Any]) -> str:
    """The report's HTML; it needs no network."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((HERE / "searched.html.j2").read_text(encoding="utf-8"))
    pictures = {"Best score over queries": figures.html(best_so_far(found))}
    for axis, name in enumerate(next(iter(found.values())).objectives):
        pictures[f"Score against {name}"] = figures.html(against(found, axis, name))
    return template.render(study=study, summary=summary, figures={k: Markup(v) for k, v in pictures.items()}, document=dump(study.document),
                           css=Markup((HERE / "page.css").read_text(encoding="utf-8")), script=Markup(figures.script()))


def best_so_far(found: Mapping[int, Found]) -> Any:
    figure = figures.go.Figure()
    for (seed, one), colour in zip(found.items(), COLOURS * len(found)):
        scores = [(r.number, r.score) for r in one.scored]
        figure.add_scatter(x=[n for n, _ in scores], y=list(accumulate((s for _, s in scores), max)), mode="lines", name=f"seed {seed}",
                           line={"shape": "hv", "color": colour, "width": 2})
    figure.update_layout(**figures.STYLE, height=420)
    figure.update_xaxes(title="query")
    figure.update_yaxes(title="best score")
    return figure


def against(found: Mapping[int, Found], axis: int, name: str) -> Any:
    figure = figures.go.Figure()
    for (seed, one), colour in zip(found.items(), COLOURS * len(found)):
        figure.add_scatter(x=[r.costs[axis] for r in one.scored], y=[r.score for r in one.scored], mode="markers", name=f"seed {seed}",
                           marker={"color": colour, "size": 5, "opacity": 0.45})
        front = sorted(one.front, key=lambda r: r.costs[axis])
        figure.add_scatter(x=[r.costs[axis] for r in front], y=[r.score for r in front], mode="lines+markers", showlegend=False,
                           line={"shape": "hv", "color": colour}, marker={"size": 7, "color": colour})
    figure.update_layout(**figures.STYLE, height=440)
    figure.update_xaxes(title=name, type="log")
    figure.update_yaxes(title="score")
    return figure
