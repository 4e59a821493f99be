"""Renders the report's data and figures as one HTML page that works offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalesearch.arch import format_resolution
from scalesearch.errors import format_count, format_short
from scalesearch.plain_data import PlainDict
from scalesearch.report import figures
from scalesearch.report.checklist import checklist
from scalesearch.study import Info
from scalesearch.yamlfile import dump

HERE = Path(__file__).parent
DASH = "–"
TRIALS_PLACE = 100  # the `order` of the scores over trials and the results class by class among the steps' pieces
NO_EFFECT = (None, "", "none", 0)  # values that turn a part of a recipe off


def page(info: Info) -> str:
    """Returns the report's HTML, including the pieces of the study's steps."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "score": info.axis.text,
        "percent": lambda v: DASH if v is None else f"{v:.2%}",
        "signed": lambda v: DASH if v is None else f"{v:+.2%}",
        "thousands": lambda v: f"{v:,}",
        "short": _short,
        "pixels": format_resolution,
        "counted": format_count,
        "plain": lambda v: DASH if v is None else f"{v:g}",
        "whole": lambda v: DASH if v is None else f"{v:.0%}",
        "difference": info.axis.difference_text,
    }
    html_figures = {name: figures.figure_html(data) for name, data in figures.run_figures(info).items()}
    context = {"info": info, "found": info.conclusions, "figures": html_figures}
    pieces = [
        (piece.order, Markup(environment.from_string(piece.template.read_text(encoding="utf-8")).render(context)))
        for piece in info.fragments
    ]
    template = environment.from_string((HERE / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        context,
        pieces_before=[piece for order, piece in pieces if order < TRIALS_PLACE],
        pieces_after=[piece for order, piece in pieces if order >= TRIALS_PLACE],
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        against={
            name.removeprefix("against "): html_figures[name] for name in html_figures if name.startswith("against ")
        },
        script=Markup(figures.script()),
        config=Markup(json.dumps(figures.CONFIG)),
        code=Markup("".join((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "scrolls.js"))),
        provenance=provenance(info) if info.data else [],
        checklist=checklist(info),
        study=dump(_without_profiles(info.document)),
    )


def _short(count: int) -> Markup:
    """Returns a count in three digits that says all of them on hover."""
    return Markup('<span title="{}">{}</span>').format(f"{count:,}", format_short(count))


def _without_profiles(document: object) -> Any:
    """Returns a study's document without the measurements of its device profiles."""
    if isinstance(document, dict):
        return {
            k: f"{v['device']} (a profile of {len(v['blocks']):,} blocks)"
            if k == "device" and isinstance(v, dict)
            else _without_profiles(v)
            for k, v in document.items()
        }
    return document


def _splits(data: PlainDict) -> str:
    """Returns a sentence that says which numbers come from which images."""
    images, origins = data["images"], (data["health"] or {}).get("splits", {})
    counts = {
        split: format_count(images[split], "image") + (f" ({origins[split]})" if split in origins else "")
        for split in ("train", "val", "test")
    }
    return (
        f"training sees {counts['train']}; every score of a search, and which finalist is the base, is of "
        f"{counts['val']}; the test scores of the family and the hand-built networks, and the fronts, are of "
        f"{counts['test']}, which no search sees"
    )


def provenance(info: Info) -> list[tuple[str, Any]]:
    """Returns how the numbers were obtained, as pairs of a title and a text."""
    study, data, recipe = info.document, info.data or {}, info.recipe or {}
    rejected = sum(t["rejected"] for t in info.trials)
    storage = ""
    if data.get("digest"):
        storage = f"; contents {data['digest']}, kept at {format_resolution(data['kept at'])} pixels"
    effective = {key: value for key, value in recipe["final"].items() if value not in NO_EFFECT}
    trained = sum(t["seconds"] for t in info.trials)
    return [
        ("data", f"{data['name']}: {data['origin']}; {format_count(data['classes'], 'class')}{storage}"),
        ("splits", _splits(data)),
        ("budget of the base", info.budget),
        (
            "trials",
            ", ".join(f"{n} {step}" for step, n in info.counts.items() if n)
            + (f"; {info.early} of them stopped early, in no front" if info.early else "")
            + f"; {rejected:,} proposals were over budget or known already and were never trained",
        ),
        ("searchers", "; ".join(f"{title}: {name}" for title, name in info.searchers.items())),
        ("seeds", ", ".join(map(str, study.get("seeds", [0])))),
        ("recipe", ", ".join(f"{k} {v if isinstance(v, (str, bool)) else f'{v:g}'}" for k, v in effective.items())),
        ("epochs in the searches", f"{recipe['search epochs']} (base), {recipe['scaling epochs']} (scaling)"),
        ("time", f"{info.seconds:,.0f} s; trainings {trained:,.0f} s, added up over the workers that ran side by side"),
        ("versions", ", ".join(f"{k} {v}" for k, v in info.environment["versions"].items())),
        ("machine", ", ".join(f"{k} {v}" for k, v in info.environment["machine"].items())),
    ]
