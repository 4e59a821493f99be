"""Info → figures. The only importer of plotly."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from scalesearch.report.info import Info, Row

FAMILY, HAND_BUILT, TRIALS, BEST = "#1257b8", "#c2410c", "#94a3b8", "#0f766e"
AXES = ("depth", "width", "resolution")  # presets too, at the corners, where the axes' titles stand
STYLE = {
    "template": "plotly_white",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1f2937"},
    "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
    "legend": {"orientation": "h", "y": 1.04, "yanchor": "bottom", "x": 0},
    "hoverlabel": {"align": "left"},
}
CONFIG = {"displaylogo": False, "responsive": True, "displayModeBar": False}


def script() -> str:
    """plotly.js, to stand in the page itself."""
    return get_plotlyjs()


def html(figure: go.Figure) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _hover(row: Row) -> str:
    return (f"<b>{row.name}</b><br>test {_percent(row.test_accuracy)}, validation {_percent(row.val_accuracy)}<br>"
            f"{row.macs:,} MACs<br>{row.params:,} params<br>{row.resolution} px")


def _label(row: Row) -> str:
    return f"φ={row.phi:g}" if row.phi is not None else row.name


def _label_places(rows: list[Row], key: str) -> dict[str, str]:
    """For every label the first place around its point where it covers neither a point nor a label already placed.

    Distances are in shares of the drawing: a letter is about 1.3 % of its width, a line 4 % of its height.
    """
    if not rows:
        return {}
    xs, ys = {r.name: math.log(getattr(r, key)) for r in rows}, {r.name: r.test_accuracy for r in rows}
    spread = lambda values: max(values) - min(values) or 1.0
    wide, high = spread(xs.values()), 2.15 * max(spread(ys.values()), 0.02)
    at = {r.name: ((xs[r.name] - min(xs.values())) / wide, (ys[r.name] - min(ys.values())) / high) for r in rows}
    taken = [(x - 0.012, x + 0.012, y - 0.015, y + 0.015) for x, y in at.values()]
    places = {}
    for row in sorted(rows, key=lambda r: at[r.name]):
        (x, y), half = at[row.name], 0.0065 * len(_label(row))
        boxes = {"bottom center": (x - half, x + half, y - 0.065, y - 0.02), "top center": (x - half, x + half, y + 0.02, y + 0.065),
                 "middle right": (x + 0.02, x + 0.02 + 2 * half, y - 0.02, y + 0.02),
                 "middle left": (x - 0.02 - 2 * half, x - 0.02, y - 0.02, y + 0.02)}  # fmt: skip
        order = sorted(boxes, key=lambda p: p != "top center") if row.phi is not None else boxes  # the front runs below
        free = [p for p in order for l, r, b, t in [boxes[p]]
                if r < 1.06 and l > -0.06 and not any(l < R and r > L and b < T and t > B for L, R, B, T in taken)]  # fmt: skip
        places[row.name] = free[0] if free else "top center"
        taken.append(boxes[places[row.name]])
    return places


def pareto(info: Info, key: str) -> go.Figure:
    """Accuracy against `macs` or `params`: the front, the family, the hand-built networks, and the search's trials.

    The front is of networks trained alike; the trials of the searches, shorter and scored on the validation split, lie
    behind and take no part in it.
    """
    figure = go.Figure()
    tried = [t for t in info.trials if t["step"] in ("base", "scale") and t["state"] == "done" and not t["early"]]
    if tried:
        figure.add_scatter(
            x=[t[key] for t in tried], y=[t["val_accuracy"] for t in tried], mode="markers", name="trials (validation)",
            marker={"color": TRIALS, "size": 6, "opacity": 0.55}, text=[t["name"] for t in tried],
            hovertemplate="%{text}: %{y:.2%}<br>%{x:,} " + key + "<extra>trained for fewer epochs</extra>")
    scored = [row for row in info.rows if row.test_accuracy is not None]
    on_front = [row for row in scored if getattr(row, f"on_front_{key}")]
    on_front.sort(key=lambda row: getattr(row, key))
    if on_front:
        figure.add_scatter(x=[getattr(r, key) for r in on_front], y=[r.test_accuracy for r in on_front], mode="lines",
                           name="Pareto front (test)", line={"color": "#111827", "width": 1.2, "shape": "hv", "dash": "dot"},
                           hoverinfo="skip")
    places = _label_places(scored, key)
    for kind, colour, symbol in (("family", FAMILY, "diamond"), ("hand-built", HAND_BUILT, "circle")):
        rows = sorted((r for r in scored if r.kind == kind), key=lambda r: getattr(r, key))
        if rows:
            figure.add_scatter(
                x=[getattr(r, key) for r in rows], y=[r.test_accuracy for r in rows], name=f"{kind} (test)",
                mode="lines+markers+text" if kind == "family" else "markers+text",
                text=[_label(r) for r in rows], textposition=[places[r.name] for r in rows],
                textfont={"size": 11, "color": colour}, cliponaxis=False,
                line={"color": colour, "width": 2}, marker={"color": colour, "size": 10, "symbol": symbol},
                error_y={"array": [1.96 * (r.test_error or 0) for r in rows], "thickness": 1, "width": 3},
                customdata=[_hover(r) for r in rows], hovertemplate="%{customdata}<extra></extra>")
    figure.update_layout(**STYLE, height=440)
    title = {"macs": "MACs (multiply-adds, one image)", "params": "parameters"}[key]
    figure.update_xaxes(type="log", title=title, dtick="D2" if key == "macs" else "D2", exponentformat="SI")
    figure.update_yaxes(title="accuracy", tickformat=".0%", **_zoomed(figure, [r.test_accuracy for r in scored],
                                                                      [t["val_accuracy"] for t in tried]))
    return figure


def _zoomed(figure: go.Figure, final: list[float], tried: list[float]) -> dict[str, Any]:
    """A range of accuracy in which the final networks can be told apart; what lies below it is said, not shown."""
    if not final:
        return {}
    low, high = min(final), max(final)
    room = max(high - low, 0.02)
    bottom, top = low - room, high + 0.15 * room
    below = sum(score < bottom for score in tried)
    if below:
        figure.add_annotation(text=f"{below} of {len(tried)} trials lie below", xref="paper", yref="paper", x=1, y=0.01,
                              xanchor="right", yanchor="bottom", showarrow=False, font={"size": 11, "color": "#64748b"})
    return {"range": [bottom, top]}


def triangle(info: Info) -> go.Figure:
    """Validation accuracy over the shares of the budget that go into depth, width and resolution."""
    assert info.scaling
    points = sorted((p for p in info.scaling.points if p.accuracy is not None), key=lambda p: p.accuracy)  # the best on top
    place = lambda p: (round(p.depth, 2), round(p.width, 2))
    names: dict[tuple[float, float], list[str]] = defaultdict(list)  # networks of the same shares have one label
    for p in points:
        names[place(p)] += [*(n for n in p.presets if n not in AXES), *(["<b>best</b>"] if p.name == info.scaling.best else [])]
    top = {place(p): p for p in points}
    label = lambda p: ", ".join(names[place(p)]) if top[place(p)] is p else ""
    figure = go.Figure(go.Scatterternary(
        a=[p.depth for p in points], b=[p.width for p in points], c=[p.resolution for p in points],
        mode="markers+text", text=[label(p) for p in points], textposition="top center", textfont={"size": 11},
        cliponaxis=False,
        marker={"size": [17 if p.name == info.scaling.best else 11 for p in points], "color": [p.accuracy for p in points],
                "symbol": ["star" if p.name == info.scaling.best else "circle" for p in points], "colorscale": "Viridis",
                "line": {"color": "#111827", "width": 0.8}, "showscale": True, "cmin": _typical_low([p.accuracy for p in points]),
                "cmax": max(p.accuracy for p in points),
                "colorbar": {"title": "accuracy", "tickformat": ".1%", "thickness": 12, "len": 0.8}},
        customdata=[[p.name, ", ".join(p.presets) or "searched", p.accuracy, p.macs, p.deviation] for p in points],
        hovertemplate="<b>%{customdata[0]}</b> (%{customdata[1]})<br>depth %{a:.2f}, width %{b:.2f}, resolution %{c:.2f}<br>"
                      "%{customdata[2]:.2%}, %{customdata[3]:,} MACs (%{customdata[4]:+.2%})<extra></extra>"))
    figure.update_layout(**{**STYLE, "margin": {"l": 40, "r": 24, "t": 36, "b": 36}}, height=440, ternary={
        "sum": 1, "aaxis": {"title": "depth (α)", "ticks": ""}, "baxis": {"title": "width (β)", "ticks": ""},
        "caxis": {"title": "resolution (γ)", "ticks": ""}, "bgcolor": "#f8fafc"})
    return figure


def _typical_low(scores: list[float]) -> float:
    """A quarter's quantile less its distance to the best: one failed training must not eat up the colours."""
    ordered = sorted(scores)
    return max(ordered[0], ordered[len(ordered) // 4] - (ordered[-1] - ordered[len(ordered) // 4]))


def over_trials(info: Info) -> go.Figure:
    """Validation accuracy over the trials of both searches, and the best so far."""
    figure = go.Figure()
    for step, colour, name in (("base", BEST, "base search"), ("scale", FAMILY, "scaling search")):
        trials = [t for t in info.trials if t["step"] == step and t["state"] == "done" and not t["early"]]
        if not trials:
            continue
        numbers, scores = [t["number"] for t in trials], [t["val_accuracy"] for t in trials]
        figure.add_scatter(x=numbers, y=scores, mode="markers", name=name, marker={"color": colour, "size": 7, "opacity": 0.6},
                           text=[f"{t['macs']:,} MACs" for t in trials], hovertemplate="trial %{x}: %{y:.2%}<br>%{text}")
        figure.add_scatter(x=numbers, y=list(accumulate(scores, max)), mode="lines", name=f"{name}, best so far",
                           line={"color": colour, "shape": "hv", "width": 2}, hoverinfo="skip")
    figure.update_layout(**STYLE, height=440)
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title="validation accuracy", tickformat=".1%")
    return figure


def transfer(info: Info) -> go.Figure:
    """Accuracy of each way to scale at φ = 1 and at larger φ."""
    figure = go.Figure()
    for t, colour in zip(info.transfers, (FAMILY, HAND_BUILT, BEST, "#7c3aed")):
        figure.add_scatter(x=[a for _, a, _ in t.pairs], y=[b for _, _, b in t.pairs], mode="markers", name=f"φ = {t.phi:g}",
                           marker={"color": colour, "size": 10}, text=[name for name, _, _ in t.pairs],
                           hovertemplate="%{text}<br>φ = 1: %{x:.2%}, there: %{y:.2%}<extra></extra>")
    figure.update_layout(**STYLE, height=400, showlegend=True)
    figure.update_xaxes(title="accuracy at φ = 1", tickformat=".1%")
    figure.update_yaxes(title="accuracy at larger φ", tickformat=".1%")
    return figure


def volumes(info: Info) -> go.Figure:
    """Hypervolume of the search's front so far."""
    figure = go.Figure(go.Scatter(x=[n for n, _ in info.volumes], y=[v for _, v in info.volumes], mode="lines",
                                  line={"color": FAMILY, "shape": "hv", "width": 2}))
    figure.update_layout(**STYLE, height=360)
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title="share of the last hypervolume", tickformat=".0%")
    return figure


def figures(info: Info) -> dict[str, Any]:
    """Every figure that the run has data for, as HTML, by name."""
    drawn: dict[str, Any] = dict.fromkeys(("macs", "params", "triangle", "over_trials", "transfer", "volumes"))
    if info.trials:
        drawn["macs"], drawn["params"] = html(pareto(info, "macs")), html(pareto(info, "params"))
        drawn["over_trials"] = html(over_trials(info))
    if info.scaling:
        drawn["triangle"] = html(triangle(info))
    if info.transfers:
        drawn["transfer"] = html(transfer(info))
    if info.volumes:
        drawn["volumes"] = html(volumes(info))
    return drawn
