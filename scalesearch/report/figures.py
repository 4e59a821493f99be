"""Figures that belong to no step: scores over trials, results class by class. The only module that imports plotly."""

from __future__ import annotations

import base64
import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from html import escape
from itertools import accumulate
from typing import cast

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from scalesearch.plain_data import PlainDict, rounded
from scalesearch.statistics import front
from scalesearch.study import COLOURS, ClassResults, Figure, Info, figure, log_axis, scatter

MAX_COUNTED = 20  # classes up to which the confusion matrix has its counts written
MAX_CURVES = 12  # classes whose precision is drawn
CONFIG = {"displaylogo": False, "responsive": True, "displayModeBar": "hover", "modeBarButtons": [["toImage"]]}


@cache
def script() -> str:
    """Returns plotly.js compressed for the page (gzip, base 85); `page.js` unpacks it."""
    encoded = base64.b85encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
    return encoded.replace("<", "\\")  # no text of base 85 has a backslash, and none may end a script


@cache
def template() -> PlainDict:
    """Returns the template that all figures of a page have in common."""
    layout = json.loads(go.Figure(figure([], 100)).to_json())["layout"]
    return cast(PlainDict, rounded(layout["template"]))


def plotly_js() -> str:
    """Returns plotly.js as it is, for a page that comes from a server."""
    return str(get_plotlyjs())


def figure_html(figure: Figure, title: str = "") -> str:
    """Returns the HTML of a figure: an empty element and its data, which `page.js` draws.

    Args:
        figure: The figure.
        title: What a screen reader says of it.

    Raises:
        ValueError: If plotly refuses the figure.
    """
    checked = go.Figure(figure)
    payload = json.loads(checked.to_json())
    payload["layout"].pop("template", None)  # the page has it once
    data = json.dumps(rounded(payload)).replace("<", "\\u003c")
    height = checked.layout.height or 450
    return (
        f'<div class="plot" role="group" aria-label="Figure: {escape(title)}" style="height:{height}px"></div>'
        f'<script type="application/json" class="figure">{data}</script>'
    )


def score_over_trials(info: Info) -> Figure:
    """Returns the figure of the score over the trials of every search, with the best so far."""
    axis = info.axis
    hover = f"trial %{{x}}: %{{y:.2{axis.format}}}<br>%{{text}}"
    traces: list[PlainDict] = []
    for (name, trials), colour in zip(_searches(info).items(), COLOURS * len(info.trials), strict=False):
        numbers, scores = [t["number"] for t in trials], [t[axis.val] for t in trials]
        text = [f"{t['macs']:,} MACs" if "macs" in t else "" for t in trials]
        points, best_so_far = _best_so_far(name, colour, numbers, scores, axis.larger)
        traces += [points | {"text": text, "hovertemplate": hover}, best_so_far]
    yaxis = {
        "title": f"validation {axis.name}" if info.data else axis.val,
        "tickformat": f".1{axis.format}" if axis.percent else "",
    }
    return figure(traces, 440, xaxis={"title": "trial"}, yaxis=yaxis)


def _best_so_far(
    name: str, colour: str, numbers: Sequence[int], scores: Sequence[float], larger: bool = True
) -> tuple[PlainDict, PlainDict]:
    """Returns the traces of a search's scores over its trials, and of the best so far."""
    marker = {"color": colour, "size": 7, "opacity": 0.6}
    line = {"color": colour, "shape": "hv", "width": 2}
    best = list(accumulate(scores, max if larger else min))
    return (
        scatter(numbers, scores, "markers", name=name, marker=marker),
        scatter(numbers, best, "lines", name=f"{name}, best so far", line=line, hoverinfo="skip"),
    )


def _with_front(
    name: str, colour: str, points: Sequence[tuple[float, float]], best: Sequence[tuple[float, float]]
) -> tuple[PlainDict, PlainDict]:
    """Returns the traces of a search's points `(cost, score)`, and of its front."""
    line, marker = {"shape": "hv", "color": colour}, {"size": 7, "color": colour}
    (xs, ys), (front_xs, front_ys) = ([list(values) for values in zip(*pairs)] or [[], []] for pairs in (points, best))
    return (
        scatter(xs, ys, "markers", name=name, marker={"color": colour, "size": 5, "opacity": 0.45}),
        scatter(front_xs, front_ys, "lines+markers", name=f"{name}, front", line=line, marker=marker),
    )


def _searches(info: Info) -> dict[str, list[PlainDict]]:
    """Returns the fully trained trials of each search by its title; for a table, by seed."""
    searches: dict[str, list[PlainDict]] = defaultdict(list)
    for t in info.trials:
        if info.data:
            name = info.searches.get(t["step"])
        else:
            name = f"seed {t['seed']}" if t["step"] in info.searches else f"random drawing, seed {t['seed']}"
        if name and t["state"] == "done" and not t["early"]:
            searches[name].append(t)
    return searches


def time_by_step(info: Info) -> Figure:
    """Returns the figure of where the time of the trainings went, as one bar with a part for each step."""
    minutes: dict[str, float] = defaultdict(float)
    for trial in info.trials:
        minutes[str(info.titles.get(trial["step"], trial["step"]))] += trial["seconds"] / 60
    scale, unit = (60, "hours") if sum(minutes.values()) > 120 else (1, "minutes")
    traces: list[PlainDict] = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [value / scale],
            "y": [""],
            "name": name,
            "marker": {"color": colour},
            "hovertemplate": f"{name}: %{{x:.1f}} {unit}<extra></extra>",
        }
        for (name, value), colour in zip(minutes.items(), COLOURS * len(minutes), strict=False)
    ]
    return figure(traces, 180, barmode="stack", xaxis={"title": f"{unit} of all workers added up"}, yaxis={"title": ""})


def learning_curves(info: Info) -> Figure:
    """Returns the figure of the validation score by epoch of the family and of the hand-built networks."""
    axis = info.axis
    traces = [
        scatter([epoch for epoch, _ in points], [score for _, score in points], "lines+markers", name=name)
        for name, points in info.histories.items()
    ]
    yaxis = {"title": f"validation {axis.name}", "tickformat": f".0{axis.format}" if axis.percent else ""}
    return figure(traces, 440, xaxis={"title": "epoch"}, yaxis=yaxis)


def score_against(info: Info, cost: str) -> Figure:
    """Returns the figure of the score over a counted column, each search with its front."""
    axis = info.axis
    traces: list[PlainDict] = []
    for (name, trials), colour in zip(_searches(info).items(), COLOURS * len(info.trials), strict=False):
        best = front(trials, lambda t: t[cost], lambda t: axis.to_maximise(t[axis.val]))
        points, on_front = ([(t[cost], t[axis.val]) for t in several] for several in (trials, best))
        traces += _with_front(name, colour, points, on_front)
    return figure(traces, 440, xaxis={"title": cost, "type": "log"}, yaxis={"title": axis.val})


def confusion(largest: ClassResults) -> Figure:
    """Returns the confusion matrix of a network on the test split, as shares of each true class."""
    names = largest.classes if largest.detector is None else (*largest.classes[: len(largest.confusion) - 1], "nothing")
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
        "hovertemplate": "actual %{y}, predicted %{x}: %{z:.1%} (%{customdata})<extra></extra>",
        "text": largest.confusion if len(names) <= MAX_COUNTED else None,
        "texttemplate": "%{text}" if len(names) <= MAX_COUNTED else None,
    }
    xaxis = {"title": "predicted", "type": "category"}
    yaxis = {"title": "actual", "autorange": "reversed", "type": "category"}
    return figure([trace], 430, margin={"l": 110, "r": 16, "t": 16, "b": 90}, xaxis=xaxis, yaxis=yaxis)


def class_curves(info: Info, curves: tuple[tuple[float, ...] | None, ...], x: str, y: str) -> Figure:
    """Returns a figure with a curve for each class of the largest member, both axes from 0 to 1.

    Args:
        info: The report's data.
        curves: For each class its values at even steps from 0 to 1; None for none.
        x: The title of the horizontal axis.
        y: The title of the vertical axis.
    """
    named_curves = [(name, curve) for name, curve in zip(info.by_class[-1].classes, curves) if curve][:MAX_CURVES]
    hover = f"{x} %{{x:.0%}}, {y} %{{y:.0%}}"
    traces = [
        scatter([i / (len(curve) - 1) for i in range(len(curve))], curve, "lines", name=name, hovertemplate=hover)
        for name, curve in named_curves
    ]
    xaxis, yaxis = ({"title": title, "range": [0, 1.01], "tickformat": ".0%"} for title in (x, y))
    return figure(traces, 380, xaxis=xaxis, yaxis=yaxis)


def plotly_figure(figure: Figure) -> go.Figure:
    """Returns a figure as plotly's own object."""
    return go.Figure(figure)


def run_figures(info: Info) -> dict[str, Figure]:
    """Returns every figure that the run has data for, those of its steps included, by name."""
    by_name: dict[str, Figure] = dict(info.figures)
    if info.trials:
        by_name["over_trials"] = score_over_trials(info)
        if info.data:
            by_name["hours"] = time_by_step(info)
        else:
            by_name |= {f"against {name}": score_against(info, name) for name in info.objectives}
    if info.histories:
        by_name["learning"] = learning_curves(info)
    if info.by_class and info.by_class[-1].confusion:
        by_name["confusion"] = confusion(info.by_class[-1])
    if info.by_class and (detector := info.by_class[-1].detector):
        by_name["precision_recall"] = class_curves(info, detector.curves, "recall", "precision")
        if any(detector.f1_curves):
            by_name["f1_curves"] = class_curves(info, detector.f1_curves, "confidence", "F1")
    return by_name


def search_figure(
    scores: Sequence[float | None], costs: Sequence[tuple[float, ...]], objectives: Sequence[str]
) -> Figure:
    """Returns the figure of a search: its scores over the trials, or over the first cost with the front.

    Args:
        scores: By trial; None where it failed. Larger is better.
        costs: By trial, one value for each objective; smaller is better.
        objectives: The names of the costs.
    """
    scored = [(n, score, cost) for n, (score, cost) in enumerate(zip(scores, costs, strict=True)) if score is not None]
    if not objectives:
        traces = _best_so_far("trials", COLOURS[0], [n for n, _, _ in scored], [score for _, score, _ in scored])
        return figure(list(traces), 440, xaxis={"title": "trial"}, yaxis={"title": "score"})
    points = [(cost[0], score) for _, score, cost in scored]
    best = front(points, lambda p: p[0], lambda p: p[1])
    xaxis = log_axis([max(cost, 1) for cost, _ in points], objectives[0])
    return figure(list(_with_front("trials", COLOURS[0], points, best)), 440, xaxis=xaxis, yaxis={"title": "score"})
