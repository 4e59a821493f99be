"""Several runs on one page: their fronts overlaid, one table, and means over runs that differ in their seeds alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TypeAlias, cast

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalesearch.errors import InputError
from scalesearch.plain_data import PlainDict, rounded
from scalesearch.report import figures
from scalesearch.report.assets import page_parts
from scalesearch.statistics import NORMAL_95, interval
from scalesearch.study import (
    COLOURS,
    ComparedRow,
    Figure,
    Info,
    ScoreAxis,
    document_difference,
    document_digest,
    figure,
    log_axis,
    scatter,
)

HERE = Path(__file__).parent
HAND_BUILT_MARKER = {"color": "#94a3b8", "size": 8}
OF_THE_SEEDS = ("name", "seeds", "search_seeds")  # keys in which repetitions of one study differ

Infos: TypeAlias = Mapping[str, Info]  # by the name that a run is shown under


@dataclass(frozen=True)
class SharedRow:
    """Holds one network, or the members of one φ, in every run that has it.

    Attributes:
        name: The name of a hand-built network, or `φ = 1`.
        kind: As in the comparison of one run.
        rows: By run, its row.
        test: The mean test score over the runs; None where these are not one study with different seeds.
        interval: Half the 95 % interval of that mean over the runs; None with one run.
        macs: The mean of the MACs.
    """

    name: str
    kind: str
    rows: dict[str, ComparedRow]
    test: float | None
    interval: float | None
    macs: float


def check_comparable(infos: Infos) -> None:
    """Raises `InputError`, placed at a run, for runs whose scores are not of the same images and task.

    Args:
        infos: The data of two runs or more that train.
    """
    (first_name, first), *others = infos.items()
    for name, info in infos.items():
        if info.data is None:
            raise InputError("is a run of a table, which has no family to set beside others", name)
    for name, info in others:
        assert info.data is not None
        assert first.data is not None
        if info.axis != first.axis:
            raise InputError(
                f"scores {info.axis.name}, and {first_name} {first.axis.name}; take runs of one task", name
            )
        own, other = info.data, first.data
        same_source = own["digest"] == other["digest"] if own["digest"] else own["name"] == other["name"]
        if not same_source or own["images"] != other["images"] or own["classes"] != other["classes"]:
            raise InputError(
                f"has other images ({own['name']}) than {first_name} ({other['name']}), so their scores say nothing of "
                "each other; take runs of the same data",
                name,
            )


def differences(infos: Infos) -> dict[str, str]:
    """Returns by run in what its study first differs from that of the first run, seeds and names aside; empty if in
    nothing.
    """
    (_, first), *others = infos.items()

    def bare(info: Info) -> PlainDict:
        return {key: value for key, value in info.document.items() if key not in OF_THE_SEEDS}

    return {
        name: document_difference(bare(first), bare(info))
        if document_digest(bare(first)) != document_digest(bare(info))
        else ""
        for name, info in others
    }


def shared_rows(infos: Infos) -> list[SharedRow]:
    """Returns the networks of all runs, those of one φ and those of one name together, by their MACs."""
    one_study = not any(differences(infos).values())
    grouped: dict[tuple[str, str], dict[str, ComparedRow]] = {}
    for run, info in infos.items():
        for row in info.conclusions.get("rows", []):
            label = f"φ = {row.phi:g}" if row.kind == "family" else row.name
            if row.test is not None:
                grouped.setdefault((row.kind, label), {})[run] = row
    found = []
    for (kind, label), rows in grouped.items():
        scores = [row.test or 0.0 for row in rows.values()]
        macs = mean(row.macs for row in rows.values())
        average, half = (mean(scores), interval(scores)) if one_study else (None, None)
        found.append(SharedRow(label, kind, rows, average, half, macs))
    return sorted(found, key=lambda row: row.macs)


def fronts(infos: Infos, axis: ScoreAxis) -> Figure:
    """Returns the figure of every run's family over MACs, with the hand-built networks of all runs behind them."""
    traces = []
    for kind, name in (("hand-built", "hand-built"), ("scaled", "hand-built, scaled")):
        rows = [row for info in infos.values() for row in info.conclusions.get("rows", []) if row.kind == kind]
        ranked = [row for row in rows if row.ranked]
        marker = HAND_BUILT_MARKER | ({"symbol": "circle-open"} if kind == "scaled" else {})
        if ranked:
            text = [row.name for row in ranked]
            costs, scores = [row.macs for row in ranked], [row.test for row in ranked]
            traces.append(scatter(costs, scores, "markers", name=name, marker=marker, text=text))
    for (run, info), colour in zip(infos.items(), COLOURS * len(infos), strict=False):
        rows = sorted(
            (r for r in info.conclusions.get("rows", []) if r.kind == "family" and r.ranked), key=lambda r: r.macs
        )
        bars = {"array": [NORMAL_95 * (row.test_error or 0) for row in rows], "thickness": 1, "width": 3}
        traces.append(
            scatter(
                [row.macs for row in rows],
                [row.test for row in rows],
                "lines+markers",
                name=run,
                line={"color": colour, "width": 2},
                marker={"color": colour, "size": 9, "symbol": "diamond"},
                error_y=bars,
            )
        )
    xaxis = log_axis([macs for trace in traces for macs in trace["x"]], "MACs (multiply-adds, one image)")
    return figure(traces, 440, xaxis=xaxis, yaxis={"title": f"test {axis.name}", "tickformat": f".0{axis.format}"})


def side_by_side(infos: Infos) -> str:
    """Returns the HTML page that sets runs beside each other.

    Args:
        infos: The data of two runs or more, by the names that they are shown under.

    Raises:
        InputError: For runs whose scores cannot be compared.
    """
    check_comparable(infos)
    axis = next(iter(infos.values())).axis
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"score": axis.text, "thousands": lambda v: f"{v:,.0f}"}
    template = environment.from_string((HERE / "side_by_side.html.j2").read_text(encoding="utf-8"))
    return template.render(
        infos=infos,
        rows=shared_rows(infos),
        differences=differences(infos),
        axis=axis,
        fronts=Markup(figures.figure_html(fronts(infos, axis))),
        **page_parts(),
    )


def table_rows(infos: Infos) -> Sequence[PlainDict]:
    """Returns the table of the page as plain rows: name, kind, MACs, the mean, and a column for every run."""
    rows = [
        {
            "name": row.name,
            "kind": row.kind,
            "macs": round(row.macs),
            "test": row.test,
            "interval": row.interval,
            **{run: row.rows[run].test if run in row.rows else None for run in infos},
        }
        for row in shared_rows(infos)
    ]
    return cast(list[PlainDict], rounded(rows))
