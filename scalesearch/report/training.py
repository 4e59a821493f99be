"""The page of one training: curves, confusion, images; of the same make as a study's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from scalesearch.plain_data import PlainDict
from scalesearch.report import figures
from scalesearch.report.assets import page_parts
from scalesearch.study import COLOURS, ClassResults, Figure, figure, scatter

HERE = Path(__file__).parent


@dataclass(frozen=True)
class HardShot:
    """An image that a classifier finds hard, as a data URI, with its class, the predicted one and the probability
    in [0, 1] of its class.
    """

    picture: str
    actual: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class TrainingInfo:
    """What the page shows.

    Attributes:
        name: The network's name.
        lead: The page's first sentence.
        history: The numbers of every epoch.
        facts: How the numbers were obtained, as pairs of a title and a text.
        percent: Whether the task's score is a share in [0, 1].
        score: The key of the task's validation score.
        results: The results class by class; None where there are none.
        batch: Training images as the network saw them, as data URIs.
        hard: The hardest test images of a classifier.
        untrained: Why the network counts as not trained; empty if it was.
    """

    name: str
    lead: str
    history: Sequence[PlainDict]
    facts: Sequence[tuple[str, str]]
    percent: bool
    score: str
    results: ClassResults | None = None
    batch: Sequence[str] = ()
    hard: Sequence[HardShot] = field(default_factory=tuple)
    untrained: str = ""


def training_page(info: TrainingInfo) -> str:
    """Returns the HTML of the page, which needs no network connection."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    detector = info.results.detector if info.results else None
    confusion = ""
    if info.results is not None and info.results.confusion:
        confusion = figures.figure_html(figures.confusion(info.results), "actual and predicted classes")
    columns = list(dict.fromkeys(key for row in info.history for key in row))
    return environment.from_string((HERE / "training.html.j2").read_text(encoding="utf-8")).render(
        name=info.name,
        lead=info.lead,
        untrained=info.untrained,
        curves=figures.figure_html(curves(info), "loss and scores by epoch"),
        confusion=confusion,
        detector=detector is not None,
        examples=detector.examples if detector else (),
        batch=info.batch,
        hard=info.hard,
        columns=["epoch", *(key for key in columns if key != "epoch")],
        history=info.history,
        facts=info.facts,
        **page_parts(),
    )


def curves(info: TrainingInfo) -> Figure:
    """Returns the figure of the losses, and of the score on a second axis, by epoch."""
    traces = []
    for key, colour in zip(("train_loss", "val_loss", info.score), COLOURS):
        points = [(row["epoch"], row[key]) for row in info.history if key in row]
        axis = {"yaxis": "y2"} if key == info.score else {}
        line = {"color": colour, "dash": "dot" if key == "train_loss" else "solid"}
        label = key.replace("_", " ").replace("val ", "validation ").replace("train ", "training ")
        xs, ys = [x for x, _ in points], [y for _, y in points]
        traces.append(scatter(xs, ys, "lines+markers", name=label, line=line, **axis))
    second: PlainDict = {"overlaying": "y", "side": "right", "showgrid": False}
    second |= {"tickformat": ".0%", "range": [0, 1.02]} if info.percent else {}
    return figure(traces, 430, xaxis={"title": "epoch"}, yaxis={"title": "loss"}, yaxis2=second, margin={"r": 56})
