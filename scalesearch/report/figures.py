"""Info → figures. The only importer of plotly."""

from __future__ import annotations

import base64
import gzip
import math
from collections import defaultdict
from functools import cache
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from scalesearch.arch import pixels
from scalesearch.report.info import Axis, Info
from scalesearch.statistics import front

MOST_CURVES = 12  # classes whose precision is drawn
FAMILY, HAND_BUILT, TRIALS = "#1257b8", "#c2410c", "#94a3b8"
COLOURS = ("#0f766e", FAMILY, HAND_BUILT, "#7c3aed", "#be185d", "#475569")  # of searches
AXES = ("depth", "width", "resolution")  # presets too, at the corners, where the axes' titles stand
STYLE = {
    "template": "plotly_white",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1f2937"},
    "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
    "legend": {"orientation": "h", "y": 1.04, "yanchor": "bottom", "x": 0},
    "hoverlabel": {"align": "left"},
}
CONFIG = {"displaylogo": False, "responsive": True, "displayModeBar": False}


@cache
def script() -> str:
    """plotly.js to stand in the page itself, compressed (gzip, in base 85): a browser unpacks it (`page.js`)."""
    packed = base64.b85encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
    return packed.replace("<", "\\")  # no text of base 85 has a backslash, and none may end a script


def html(figure: go.Figure) -> str:
    """A place for the figure and its data, which `page.js` draws when plotly is unpacked."""
    drawn = figure.to_json().replace("<", "\\u003c")
    height = figure.layout.height or 450
    return (
        f'<div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json" class="figure">{drawn}</script>'
    )


def _hover(row: Any, axis: Axis) -> str:
    return (
        f"<b>{row.name}</b><br>test {axis.shown(row.test)}, validation {axis.shown(row.val)}<br>"
        f"{row.macs:,} MACs<br>{row.params:,} params<br>{pixels(row.resolution)} px"
    )


def _label(row: Any) -> str:
    return f"φ={row.phi:g}" if row.phi is not None else row.name


def _label_places(rows: list[Any], key: str) -> dict[str, str]:
    """For every label the first place around its point where it covers neither a point nor a label already placed.

    Distances are in shares of the drawing: a letter is about 1.3 % of its width, a line 4 % of its height.
    """
    if not rows:
        return {}
    xs, ys = {r.name: math.log(getattr(r, key)) for r in rows}, {r.name: r.test for r in rows}

    def spread(values):
        return max(values) - min(values) or 1.0

    wide, high = spread(xs.values()), 2.15 * max(spread(ys.values()), 0.02)
    at = {r.name: ((xs[r.name] - min(xs.values())) / wide, (ys[r.name] - min(ys.values())) / high) for r in rows}
    taken = [(x - 0.012, x + 0.012, y - 0.015, y + 0.015) for x, y in at.values()]
    places = {}
    for row in sorted(rows, key=lambda r: at[r.name]):
        (x, y), half = at[row.name], 0.0065 * len(_label(row))
        boxes = {
            "bottom center": (x - half, x + half, y - 0.065, y - 0.02),
            "top center": (x - half, x + half, y + 0.02, y + 0.065),
            "middle right": (x + 0.02, x + 0.02 + 2 * half, y - 0.02, y + 0.02),
            "middle left": (x - 0.02 - 2 * half, x - 0.02, y - 0.02, y + 0.02),
        }
        order = sorted(boxes, key=lambda p: p != "top center") if row.phi is not None else boxes  # the front runs below
        free = [
            p
            for p in order
            for x, r, b, t in [boxes[p]]
            if r < 1.06 and x > -0.06 and not any(x < R and r > L and b < T and t > B for L, R, B, T in taken)
        ]
        places[row.name] = free[0] if free else "top center"
        taken.append(boxes[places[row.name]])
    return places


def pareto(info: Info, key: str) -> go.Figure:
    """The score against `macs` or `params`: the front, the family, the hand-built networks, and the search's trials.

    The front is of networks trained alike; the trials of the searches, shorter and scored on the validation split, lie
    behind and take no part in it.
    """
    figure, axis = go.Figure(), info.axis
    tried = [t for t in info.trials if t["step"] in ("base", "scale") and t["state"] == "done" and not t["early"]]
    if tried:
        figure.add_scatter(
            x=[t[key] for t in tried],
            y=[t[axis.val] for t in tried],
            mode="markers",
            name="trials (validation)",
            marker={"color": TRIALS, "size": 6, "opacity": 0.55},
            text=[t["name"] for t in tried],
            hovertemplate=f"%{{text}}: %{{y:.2{axis.format}}}<br>%{{x:,}} {key}"
            + "<extra>trained for fewer epochs</extra>",
        )
    scored = [row for row in info.found["rows"] if row.test is not None]
    on_front = [row for row in scored if getattr(row, f"on_front_{key}")]
    on_front.sort(key=lambda row: getattr(row, key))
    if on_front:
        figure.add_scatter(
            x=[getattr(r, key) for r in on_front],
            y=[r.test for r in on_front],
            mode="lines",
            name="Pareto front (test)",
            line={"color": "#111827", "width": 1.2, "shape": "hv", "dash": "dot"},
            hoverinfo="skip",
        )
    places = _label_places(scored, key)
    for kind, colour, symbol in (("family", FAMILY, "diamond"), ("hand-built", HAND_BUILT, "circle")):
        rows = sorted((r for r in scored if r.kind == kind), key=lambda r: getattr(r, key))
        if rows:
            figure.add_scatter(
                x=[getattr(r, key) for r in rows],
                y=[r.test for r in rows],
                name=f"{kind} (test)",
                mode="lines+markers+text" if kind == "family" else "markers+text",
                text=[_label(r) for r in rows],
                textposition=[places[r.name] for r in rows],
                textfont={"size": 11, "color": colour},
                cliponaxis=False,
                line={"color": colour, "width": 2},
                marker={"color": colour, "size": 10, "symbol": symbol},
                error_y={"array": [1.96 * (r.test_error or 0) for r in rows], "thickness": 1, "width": 3},
                customdata=[_hover(r, axis) for r in rows],
                hovertemplate="%{customdata}<extra></extra>",
            )
    figure.update_layout(**STYLE, height=440)
    title = {"macs": "MACs (multiply-adds, one image)", "params": "parameters"}[key]
    figure.update_xaxes(type="log", title=title, dtick="D2", exponentformat="SI")
    least = -0.03 if axis.format == "%" else -math.inf  # markers at 0 % are seen whole
    figure.update_yaxes(
        title=axis.name,
        tickformat=f".0{axis.format}",
        **_zoomed(figure, [r.test for r in scored], [t[axis.val] for t in tried], least),
    )
    return figure


def _zoomed(figure: go.Figure, final: list[float], tried: list[float], least: float) -> dict[str, Any]:
    """A range of the score in which the final networks can be told apart, from its `least` value up; what lies below it
    is said, not shown."""
    if not final:
        return {}
    low, high = min(final), max(final)
    room = max(high - low, 0.02)
    bottom, top = max(low - room, least), high + 0.15 * room
    below = sum(score < bottom for score in tried)
    if below:
        figure.add_annotation(
            text=f"{below} of {len(tried)} trials lie below",
            xref="paper",
            yref="paper",
            x=1,
            y=0.01,
            xanchor="right",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11, "color": "#64748b"},
        )
    return {"range": [bottom, top]}


def triangle(info: Info) -> go.Figure:
    """The validation score over the shares of the budget that go into depth, width and resolution."""
    scaling, axis = info.found["scaling"], info.axis
    # the best on top
    points = sorted((p for p in scaling.points if p.score is not None), key=lambda p: axis.good(p.score))

    def place(p):
        return (round(p.depth, 2), round(p.width, 2))

    names: dict[tuple[float, float], list[str]] = defaultdict(list)  # networks of the same shares have one label
    for p in points:
        names[place(p)] += [
            *(n for n in p.presets if n not in AXES),
            *(["<b>best</b>"] if p.name == scaling.best else []),
        ]
    top = {place(p): p for p in points}

    def label(p):
        return ", ".join(names[place(p)]) if top[place(p)] is p else ""

    figure = go.Figure(
        go.Scatterternary(
            a=[p.depth for p in points],
            b=[p.width for p in points],
            c=[p.resolution for p in points],
            mode="markers+text",
            text=[label(p) for p in points],
            textposition="top center",
            textfont={"size": 11},
            cliponaxis=False,
            marker={
                "size": [17 if p.name == scaling.best else 11 for p in points],
                "color": [p.score for p in points],
                "symbol": ["star" if p.name == scaling.best else "circle" for p in points],
                "colorscale": "Viridis",
                "line": {"color": "#111827", "width": 0.8},
                "showscale": True,
                "cmin": _typical_low([p.score for p in points]),
                "cmax": max(p.score for p in points),
                "colorbar": {
                    "title": {"text": axis.name, "side": "top"},
                    "tickformat": f".1{axis.format}",
                    "thickness": 10,
                    "len": 0.8,
                    "orientation": "h",
                    "y": -0.16,
                    "yanchor": "top",
                },
            },
            customdata=[[p.name, ", ".join(p.presets) or "searched", p.score, p.macs, p.deviation] for p in points],
            hovertemplate="<b>%{customdata[0]}</b> (%{customdata[1]})<br>depth %{a:.2f}, width %{b:.2f}, resolution "
            "%{c:.2f}<br>"
            f"%{{customdata[2]:.2{axis.format}}}, "
            "%{customdata[3]:,} MACs (%{customdata[4]:+.2%})<extra></extra>",
        )
    )
    figure.update_layout(
        **{**STYLE, "margin": {"l": 64, "r": 64, "t": 40, "b": 110}},
        height=500,
        ternary={
            "sum": 1,
            "aaxis": {"title": "depth (α)", "ticks": ""},
            "baxis": {"title": "width<br>(β)", "ticks": ""},
            "caxis": {"title": "resolution<br>(γ)", "ticks": ""},
            "bgcolor": "#f8fafc",
        },
    )
    return figure


def _typical_low(scores: list[float]) -> float:
    """A quarter's quantile less its distance to the best: one failed training must not eat up the colours."""
    ordered = sorted(scores)
    return max(ordered[0], ordered[len(ordered) // 4] - (ordered[-1] - ordered[len(ordered) // 4]))


def over_trials(info: Info) -> go.Figure:
    """The score over the trials of every search, and the best so far."""
    figure, axis = go.Figure(), info.axis
    for (name, trials), colour in zip(_searches(info).items(), COLOURS * len(info.trials), strict=False):
        numbers, scores = [t["number"] for t in trials], [t[axis.val] for t in trials]
        figure.add_scatter(
            x=numbers,
            y=scores,
            mode="markers",
            name=name,
            marker={"color": colour, "size": 7, "opacity": 0.6},
            text=[f"{t['macs']:,} MACs" if "macs" in t else "" for t in trials],
            hovertemplate=f"trial %{{x}}: %{{y:.2{axis.format}}}<br>%{{text}}",
        )
        figure.add_scatter(
            x=numbers,
            y=list(accumulate(scores, max if axis.larger else min)),
            mode="lines",
            name=f"{name}, best so far",
            line={"color": colour, "shape": "hv", "width": 2},
            hoverinfo="skip",
        )
    figure.update_layout(**STYLE, height=440)
    figure.update_xaxes(title="trial")
    figure.update_yaxes(
        title=f"validation {axis.name}" if info.data else axis.val,
        tickformat=f".1{axis.format}" if axis.percent else "",
    )
    return figure


def _searches(info: Info) -> dict[str, list[dict[str, Any]]]:
    """By a name to be shown, the trials of each search that were tried to the end; those of a table by their seed."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    names = {"base": "base search", "scale": "scaling search"}
    for t in info.trials:
        name = f"seed {t['seed']}" if not info.data else names.get(t["step"])
        if name and t["state"] == "done" and not t["early"]:
            found[name].append(t)
    return found


def against(info: Info, cost: str) -> go.Figure:
    """The score against a counted column, each search with its front."""
    figure, axis = go.Figure(), info.axis
    for (name, trials), colour in zip(_searches(info).items(), COLOURS * len(info.trials), strict=False):
        figure.add_scatter(
            x=[t[cost] for t in trials],
            y=[t[axis.val] for t in trials],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 5, "opacity": 0.45},
        )
        best = front(trials, lambda t: t[cost], lambda t: axis.good(t[axis.val]))
        figure.add_scatter(
            x=[t[cost] for t in best],
            y=[t[axis.val] for t in best],
            mode="lines+markers",
            showlegend=False,
            line={"shape": "hv", "color": colour},
            marker={"size": 7, "color": colour},
        )
    figure.update_layout(**STYLE, height=440)
    figure.update_xaxes(title=cost, type="log")
    figure.update_yaxes(title=axis.val)
    return figure


def transfer(info: Info) -> go.Figure:
    """The score of each way to scale at φ = 1 and at larger φ."""
    figure, axis = go.Figure(), info.axis
    digits = f".2{axis.format}"
    for t, colour in zip(info.found["transfers"], COLOURS, strict=False):
        figure.add_scatter(
            x=[a for _, a, _ in t.pairs],
            y=[b for _, _, b in t.pairs],
            mode="markers",
            name=f"φ = {t.phi:g}",
            marker={"color": colour, "size": 10},
            text=[name for name, _, _ in t.pairs],
            hovertemplate=f"%{{text}}<br>φ = 1: %{{x:{digits}}}, there: %{{y:{digits}}}<extra></extra>",
        )
    figure.update_layout(**STYLE, height=400, showlegend=True)
    figure.update_xaxes(title=f"{axis.name} at φ = 1", tickformat=f".1{axis.format}")
    figure.update_yaxes(title=f"{axis.name} at larger φ", tickformat=f".1{axis.format}")
    return figure


def volumes(info: Info) -> go.Figure:
    """Hypervolume of the search's front so far."""
    numbers, shares = zip(*info.found["volumes"], strict=True)
    figure = go.Figure(go.Scatter(x=numbers, y=shares, mode="lines", line={"color": FAMILY, "shape": "hv", "width": 2}))
    figure.update_layout(**STYLE, height=360)
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title="share of the last hypervolume", tickformat=".0%")
    return figure


def confusion(info: Info) -> go.Figure:
    """What the largest member takes for what on the test split, as shares of each true class."""
    largest = info.by_class[-1]
    names = largest.classes if largest.found is None else (*largest.classes[: len(largest.confusion) - 1], "nothing")
    shares = [[n / max(1, sum(row)) for n in row] for row in largest.confusion]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            colorscale="Blues",
            zmin=0,
            zmax=1,
            customdata=largest.confusion,
            colorbar={"tickformat": ".0%"},
            hovertemplate="%{y} taken for %{x}: %{z:.1%} (%{customdata})<extra></extra>",
        )
    )
    figure.update_layout(**STYLE | {"margin": {"l": 110, "r": 16, "t": 16, "b": 90}}, height=430)
    figure.update_xaxes(title="taken for", type="category")
    figure.update_yaxes(title="is", autorange="reversed", type="category")
    return figure


def by_class_curves(info: Info, curves: tuple[tuple[float, ...] | None, ...], across: str, up: str) -> go.Figure:
    """A curve for each class of the largest member, from 0 to 1."""
    drawn = [(name, curve) for name, curve in zip(info.by_class[-1].classes, curves) if curve][:MOST_CURVES]
    figure = go.Figure(
        [
            go.Scatter(
                x=[i / (len(curve) - 1) for i in range(len(curve))],
                y=curve,
                mode="lines",
                name=name,
                hovertemplate=f"{across} %{{x:.0%}}, {up} %{{y:.0%}}",
            )
            for name, curve in drawn
        ]
    )
    figure.update_layout(**STYLE, height=380)
    for axis, title in ((figure.update_xaxes, across), (figure.update_yaxes, up)):
        axis(title=title, range=[0, 1.01], tickformat=".0%")
    return figure


def figures(info: Info) -> dict[str, str]:
    """Every figure that the run has data for, as HTML, by name."""
    found, drawn = info.found, {}
    if info.trials:
        drawn["over_trials"] = over_trials(info)
        if info.data and "rows" in found:
            drawn |= {"macs": pareto(info, "macs"), "params": pareto(info, "params")}
        elif not info.data:
            drawn |= {f"against {name}": against(info, name) for name in info.objectives}
    for name, key, draw in (
        ("triangle", "scaling", triangle),
        ("transfer", "transfers", transfer),
        ("volumes", "volumes", volumes),
    ):
        if found.get(key):
            drawn[name] = draw(info)
    if info.by_class and info.by_class[-1].confusion:
        drawn["confusion"] = confusion(info)
    if info.by_class and (told := info.by_class[-1].found):
        drawn["precision_recall"] = by_class_curves(info, told.curves, "recall", "precision")
        if any(told.f1_curves):
            drawn["f1_curves"] = by_class_curves(info, told.f1_curves, "confidence", "F1")
    return {name: html(figure) for name, figure in drawn.items()}
