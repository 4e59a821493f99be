"""What a report is made of: the data that it shows, the pieces of its page, and figures as plain data.

A figure is the JSON that plotly.js draws, so that a step can describe one without plotly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from scalesearch.errors import format_short
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.trials import format_difference, format_score

if TYPE_CHECKING:
    from scalesearch.study.class_results import ClassResults, PairedComparison

Figure: TypeAlias = PlainDict  # `data` and `layout`, as plotly.js takes them
FAMILY, HAND_BUILT, TRIALS = "#1257b8", "#c2410c", "#94a3b8"
COLOURS = ("#0f766e", FAMILY, HAND_BUILT, "#7c3aed", "#be185d", "#475569")  # of searches


@dataclass(frozen=True)
class Fragment:
    """Holds a piece of the report's page: a Jinja2 template over `info`, `found` and `figures`.

    `found` holds the conclusions of all steps.

    Attributes:
        order: Its place on the page; pieces stand in ascending order.
        template: The file of the template.
    """

    order: int
    template: Path


def fragment(order: int, module: str, name: str = "") -> Fragment:
    """Returns the piece of a page whose template lies beside a module.

    Args:
        order: Its place on the page.
        module: The module's `__file__`.
        name: The template's name without `.html.j2`; that of the module by default.
    """
    path = Path(module)
    return Fragment(order, path.with_name(f"{name or path.stem}.html.j2"))


@dataclass(frozen=True)
class ScoreAxis:
    """Describes the score of a study: its name in figures and tables, and the keys that hold it in a trial.

    Attributes:
        name: The name of the score.
        val: The key of the validation score.
        test: The key of the test score.
        percent: Whether the score is a share in [0, 1], written in per cent.
        larger: Whether larger is better.
        title: The title of figures that show it.
    """

    name: str
    val: str
    test: str
    percent: bool
    larger: bool = True
    title: str = "Score"

    @property
    def format(self) -> str:
        """The type of number in a format specification of plotly and Python, to follow the number of digits."""
        return "%" if self.percent else "g"

    def text(self, value: float | None) -> str:
        """Returns a score as text."""
        return format_score(value, self.percent)

    def difference_text(self, value: float, half: float | None) -> str:
        """Returns a difference of scores as text, with ± half its interval if `half` is given."""
        return format_difference(value, half, self.percent)

    def to_maximise(self, value: float) -> float:
        """Returns a score with its sign changed where smaller is better, so that larger is always better."""
        return value if self.larger else -value


@dataclass(frozen=True)
class Info:
    """Holds the whole report as data; `conclusions` are those of the steps, by the keys that they give them."""

    name: str
    document: PlainDict
    budget: str
    axis: ScoreAxis
    lead: str
    notes: list[str]
    trials: list[PlainDict]
    conclusions: PlainDict
    layers: list[PlainDict]
    stages: list[PlainDict]
    environment: PlainDict
    seconds: float
    finished: bool
    early: int  # trials stopped before the end of their schedule; left out of every front
    faults: list[str]
    failed: list[dict[str, str]]
    wanted: dict[str, int]  # planned number of networks by search
    counts: dict[str, int]  # trials by step
    searches: dict[str, str] = field(default_factory=dict)  # title of each search by step
    titles: dict[str, str] = field(default_factory=dict)  # what each step does
    histories: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # validation scores by epoch
    searchers: dict[str, str] = field(default_factory=dict)  # name of the searcher by the title of its search
    objectives: tuple[str, ...] = ()
    by_class: list[ClassResults] = field(default_factory=list)  # of the family
    finalists_by_class: list[ClassResults] = field(default_factory=list)
    beaten: list[PairedComparison] = field(default_factory=list)  # members of the family with hand-built networks
    data: PlainDict | None = None
    recipe: PlainDict | None = None
    figures: dict[str, Figure] = field(default_factory=dict)  # of the steps, by name
    verb: str = ""  # the command that uses its networks
    fragments: tuple[Fragment, ...] = ()  # of the steps, in the page's order

    def summary(self) -> PlainDict:
        """Returns the content of `summary.json`: results and how they were obtained, without the per-layer tables."""
        names = {"val": self.axis.val, "test": self.axis.test, "score": self.axis.name} if self.data else {}
        keys = ("name", "document", "data", "budget", "wanted", "recipe", "environment", "seconds", "finished", "early")
        summary: PlainDict = {key: getattr(self, key) for key in (*keys, "faults", "failed")}
        summary["by_class"] = [
            {
                "name": network.name,
                network.measure: dict(zip(network.classes, network.values, strict=True)),
                **_thresholds(network),
            }
            for network in (*self.finalists_by_class, *self.by_class)
        ]
        summary |= {"beaten": _plain(self.beaten, {})} if self.beaten else {}
        counts = {"trials": self.counts, "rejected": sum(t["rejected"] for t in self.trials)}
        return cast(PlainDict, summary | _plain(self.conclusions, names) | counts)


def _thresholds(network: ClassResults) -> PlainDict:
    """Returns a detector's best confidence and F1 by class, and the interval of its average precision."""
    if (detector := network.detector) is None:
        return {}
    return {
        "threshold": dict(zip(network.classes, detector.threshold, strict=True)),
        "f1": dict(zip(network.classes, detector.f1, strict=True)),
        "interval": list(detector.interval),
    }


def _plain(value: object, names: PlainMapping) -> Any:
    """Returns dataclasses as mappings, with their fields `val`, `test` and `score` renamed as the task names them."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {key: getattr(value, key) for key in value.__dataclass_fields__}
        return {names.get(key, key): _plain(v, names) for key, v in value.items()}
    if isinstance(value, dict):
        return {key: _plain(v, names) for key, v in value.items()}
    return [_plain(v, names) for v in value] if isinstance(value, (list, tuple)) else value


# Figures.

STYLE: PlainDict = {
    "template": "plotly_white",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1f2937"},
    "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
    "legend": {"orientation": "h", "y": 1.04, "yanchor": "bottom", "x": 0},
    "hoverlabel": {"align": "left"},
}


def scatter(x: Sequence[object], y: Sequence[object], mode: str, **keys: object) -> PlainDict:
    """Returns a trace of points or lines.

    Args:
        x: The horizontal coordinates.
        y: The vertical coordinates.
        mode: What is drawn: `lines`, `markers`, `text`, or several joined by `+`.
        keys: Further keys of plotly's scatter traces, such as `name` and `marker`.
    """
    return {"type": "scatter", "x": x, "y": y, "mode": mode, **keys}


def log_axis(values: Sequence[float], title: str) -> PlainDict:
    """Returns a logarithmic axis with ticks that say their whole number: 5M, 10M, 20M.

    Args:
        values: What is drawn along it; all above 0.
        title: The title of the axis.
    """
    low, high = min(values, default=1.0), max(values, default=10.0)
    steps = [
        digit * 10.0**power for power in range(floor(log10(low)) - 1, ceil(log10(high)) + 1) for digit in (1, 2, 5)
    ]
    ticks = [step for step in steps if low / 2.5 <= step <= high * 2.5]
    axis: PlainDict = {"type": "log", "title": title, "tickmode": "array"}
    return axis | {"tickvals": ticks, "ticktext": [format_short(tick) for tick in ticks]}


def figure(traces: list[PlainDict], height: int, **layout: object) -> Figure:
    """Returns a figure in the report's style.

    Args:
        traces: The traces, each a plotly trace with its `type`.
        height: The height in pixels.
        layout: Further keys of plotly's layout, such as `xaxis` and `yaxis`.
    """
    return {"data": traces, "layout": STYLE | {"height": height} | layout}
