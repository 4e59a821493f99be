"""Renders the report's data and figures as one HTML page that works offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from scalesearch.arch import format_resolution
from scalesearch.errors import format_count, format_short
from scalesearch.plain_data import PlainDict
from scalesearch.report import figures
from scalesearch.report.assets import page_parts
from scalesearch.report.checklist import checklist
from scalesearch.study import Info
from scalesearch.yamlfile import dump

HERE = Path(__file__).parent
DASH = "–"
TRIALS_PLACE = 100  # the `order` of the scores over trials and the results class by class among the steps' pieces
TITLES = {  # of figures, as a screen reader says them
    "macs": "test score against MACs",
    "params": "test score against parameters",
    "triangle": "how the scaling divides the growth between depth, width and resolution",
    "over_trials": "score over trials",
    "learning": "validation score by epoch",
    "hours": "where the time went",
    "confusion": "actual and predicted classes",
}
MAX_TRIALS = 1_000  # in the table of all trials
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
        "codes": _codes,
        "pixels": format_resolution,
        "counted": format_count,
        "plain": lambda v: DASH if v is None else f"{v:g}",
        "whole": lambda v: DASH if v is None else f"{v:.0%}",
        "difference": info.axis.difference_text,
    }
    html_figures = {
        name: figures.figure_html(data, TITLES.get(name, name)) for name, data in figures.run_figures(info).items()
    }
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
        against={
            name.removeprefix("against "): html_figures[name] for name in html_figures if name.startswith("against ")
        },
        **page_parts(),
        provenance=provenance(info) if info.data else [],
        checklist=checklist(info),
        trial_rows=trial_rows(info),
        trials_left_out=max(0, len(info.trials) - MAX_TRIALS),
        study=dump(_without_profiles(info.document)),
    )


def trial_rows(info: Info) -> list[PlainDict]:
    """Returns the trials of the run as rows of the page's table, at most `MAX_TRIALS`."""
    return [
        {
            "name": t["name"],
            "step": info.titles.get(t["step"], t["step"]),
            "score": info.axis.text(t.get(info.axis.val)),
            "macs": t.get("macs"),
            "params": t.get("params"),
            "epochs": t.get("epochs"),
            "seconds": t["seconds"],
            "outcome": t["reason"] or t["untrained"] or ("stopped early" if t["early"] else ""),
        }
        for t in info.trials[:MAX_TRIALS]
    ]


def _short(count: int) -> Markup:
    """Returns a count in three digits that says all of them on hover."""
    return Markup('<span title="{}">{}</span>').format(f"{count:,}", format_short(count))


def _codes(text: str) -> Markup:
    """Returns a text with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


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


def recipe_text(recipe: PlainDict, mirror: bool = True) -> str:
    """Returns what a recipe sets on one line, without what has no effect; `mirror`: whether images may be mirrored."""
    effective = {key: value for key, value in recipe.items() if value not in NO_EFFECT and (mirror or key != "flip")}
    return ", ".join(f"{k} {v if isinstance(v, (str, bool)) else f'{v:g}'}" for k, v in effective.items())


def provenance(info: Info) -> list[tuple[str, Any]]:
    """Returns how the numbers were obtained, as pairs of a title and a text."""
    study, data, recipe = info.document, info.data or {}, info.recipe or {}
    rejected = sum(t["rejected"] for t in info.trials)
    storage = ""
    if data.get("digest"):
        storage = f"; contents {data['digest']}, kept at {format_resolution(data['kept at'])} pixels"
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
        ("recipe", recipe_text(recipe["final"])),
        ("epochs in the searches", f"{recipe['search epochs']} (base), {recipe['scaling epochs']} (scaling)"),
        ("time", f"{info.seconds:,.0f} s; trainings {trained:,.0f} s, added up over the workers that ran side by side"),
        ("versions", ", ".join(f"{k} {v}" for k, v in info.environment["versions"].items())),
        ("machine", ", ".join(f"{k} {v}" for k, v in info.environment["machine"].items())),
    ]
