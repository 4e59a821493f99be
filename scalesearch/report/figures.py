"""Figures that no step has: scores over trials, results class by class. The only importer of plotly."""

from __future__ import annotations

import base64
import gzip
from collections import defaultdict
from functools import cache
from itertools import accumulate

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from scalesearch.plain_data import PlainDict
from scalesearch.statistics import front
from scalesearch.study import COLOURS, Figure, Info, figure

MOST_CURVES = 12  # classes whose precision is drawn
CONFIG = {"displaylogo": False, "responsive": True, "displayModeBar": False}


@cache
def script() -> str:
    """Returns plotly.js to stand in the page itself, compressed (gzip, base 85); `page.js` unpacks it."""
    packed = base64.b85encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
    return packed.replace("<", "\\")  # no text of base 85 has a backslash, and none may end a script


def html(figure: Figure) -> str:
    """Returns a place for a figure and its data, which `page.js` draws when plotly is unpacked.

    Raises `ValueError` for what is no figure of plotly's.
    """
    checked = go.Figure(figure)
    data = checked.to_json().replace("<", "\\u003c")
    height = checked.layout.height or 450
    return (
        f'<div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json" class="figure">{data}</script>'
    )


def over_trials(info: Info) -> Figure:
    """Returns the score over the trials of every search, and the best so far."""
    axis = info.axis
    traces: list[PlainDict] = []
    for (name, trials), colour in zip(_searches(info).items(), COLOURS * len(info.trials), strict=False):
        numbers, scores = [t["number"] for t in trials], [t[axis.val] for t in trials]
        traces += [
            {
                "type": "scatter",
                "x": numbers,
                "y": scores,
                "mode": "markers",
                "name": name,
                "marker": {"color": colour, "size": 7, "opacity": 0.6},
                "text": [f"{t['macs']:,} MACs" if "macs" in t else "" for t in trials],
                "hovertemplate": f"trial %{{x}}: %{{y:.2{axis.format}}}<br>%{{text}}",
            },
            {
                "type": "scatter",
                "x": numbers,
                "y": list(accumulate(scores, max if axis.larger else min)),
                "mode": "lines",
                "name": f"{name}, best so far",
                "line": {"color": colour, "shape": "hv", "width": 2},
                "hoverinfo": "skip",
            },
        ]
    yaxis = {
        "title": f"validation {axis.name}" if info.data else axis.val,
        "tickformat": f".1{axis.format}" if axis.percent else "",
    }
    return figure(traces, 440, xaxis={"title": "trial"}, yaxis=yaxis)


def _searches(info: Info) -> dict[str, list[PlainDict]]:
    """Returns the trials of each search that were tried to the end, by its title; of a table by their seed."""
    searches: dict[str, list[PlainDict]] = defaultdict(list)
    for t in info.trials:
        name = info.searches.get(t["step"]) if info.data else f"seed {t['seed']}"
        if name and t["state"] == "done" and not t["early"]:
            searches[name].append(t)
    return searches


def against(info: Info, cost: str) -> Figure:
    """Returns the score against a counted column, each search with its front."""
    axis = info.axis
    traces: list[PlainDict] = []
    for (name, trials), colour in zip(_searches(info).items(), COLOURS * len(info.trials), strict=False):
        best = front(trials, lambda t: t[cost], lambda t: axis.good(t[axis.val]))
        traces += [
            {
                "type": "scatter",
                "x": [t[cost] for t in trials],
                "y": [t[axis.val] for t in trials],
                "mode": "markers",
                "name": name,
                "marker": {"color": colour, "size": 5, "opacity": 0.45},
            },
            {
                "type": "scatter",
                "x": [t[cost] for t in best],
                "y": [t[axis.val] for t in best],
                "mode": "lines+markers",
                "showlegend": False,
                "line": {"shape": "hv", "color": colour},
                "marker": {"size": 7, "color": colour},
            },
        ]
    return figure(traces, 440, xaxis={"title": cost, "type": "log"}, yaxis={"title": axis.val})


def confusion(info: Info) -> Figure:
    """Returns which classes the largest member takes for which on the test split, as shares of each true class."""
    largest = info.by_class[-1]
    names = largest.classes if largest.found is None else (*largest.classes[: len(largest.confusion) - 1], "nothing")
    trace = {
        "type": "heatmap",
        "z": [[n / max(1, sum(row)) for n in row] for row in largest.confusion],
        "x": names,
        "y": names,
        "colorscale": "Blues",
        "zmin": 0,
        "zmax": 1,
        "customdata": largest.confusion,
        "colorbar": {"tickformat": ".0%"},
        "hovertemplate": "%{y} taken for %{x}: %{z:.1%} (%{customdata})<extra></extra>",
    }
    xaxis = {"title": "taken for", "type": "category"}
    yaxis = {"title": "is", "autorange": "reversed", "type": "category"}
    return figure([trace], 430, margin={"l": 110, "r": 16, "t": 16, "b": 90}, xaxis=xaxis, yaxis=yaxis)


def class_curves(info: Info, curves: tuple[tuple[float, ...] | None, ...], x: str, y: str) -> Figure:
    """Returns a curve for each class of the largest member, from 0 to 1 on both axes."""
    drawn = [(name, curve) for name, curve in zip(info.by_class[-1].classes, curves) if curve][:MOST_CURVES]
    traces = [
        {
            "type": "scatter",
            "x": [i / (len(curve) - 1) for i in range(len(curve))],
            "y": curve,
            "mode": "lines",
            "name": name,
            "hovertemplate": f"{x} %{{x:.0%}}, {y} %{{y:.0%}}",
        }
        for name, curve in drawn
    ]
    xaxis, yaxis = ({"title": title, "range": [0, 1.01], "tickformat": ".0%"} for title in (x, y))
    return figure(traces, 380, xaxis=xaxis, yaxis=yaxis)


def figures(info: Info) -> dict[str, str]:
    """Returns every figure that the run has data for, those of its steps included, as HTML by name."""
    drawn: dict[str, Figure] = dict(info.figures)
    if info.trials:
        drawn["over_trials"] = over_trials(info)
        if not info.data:
            drawn |= {f"against {name}": against(info, name) for name in info.objectives}
    if info.by_class and info.by_class[-1].confusion:
        drawn["confusion"] = confusion(info)
    if info.by_class and (detector := info.by_class[-1].found):
        drawn["precision_recall"] = class_curves(info, detector.curves, "recall", "precision")
        if any(detector.f1_curves):
            drawn["f1_curves"] = class_curves(info, detector.f1_curves, "confidence", "F1")
    return {name: html(figure) for name, figure in drawn.items()}
