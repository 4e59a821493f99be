"""What a report is made of: the data that it shows, the pieces of its page, figures as plain data.

A figure is what plotly draws, as the JSON that plotly.js reads, so that a step can describe its own without plotly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.trials import format_score

if TYPE_CHECKING:
    from scalesearch.study.by_class import Beats, ByClass

Figure: TypeAlias = PlainDict  # `data` and `layout`, as plotly.js takes them
FAMILY, HAND_BUILT, TRIALS = "#1257b8", "#c2410c", "#94a3b8"
COLOURS = ("#0f766e", FAMILY, HAND_BUILT, "#7c3aed", "#be185d", "#475569")  # of searches


@dataclass(frozen=True)
class Fragment:
    """A piece of the report's page: a Jinja2 template over `info`, `found` (what the steps conclude) and `figures`.

    Attributes:
        order: Its place on the page; pieces stand in ascending order.
        template: The file of the template.
    """

    order: int
    template: Path


def fragment(order: int, module: str, name: str = "") -> Fragment:
    """Returns the piece of a page whose template lies beside a module (`__file__`), by its name or by `name`."""
    path = Path(module)
    return Fragment(order, path.with_name(f"{name or path.stem}.html.j2"))


@dataclass(frozen=True)
class ScoreAxis:
    """The score as figures and tables name it, and the keys of a trial that hold it by split; `percent`: a share."""

    name: str
    val: str
    test: str
    percent: bool
    larger: bool = True
    title: str = "Score"

    @property
    def format(self) -> str:
        """The kind of number as plotly and Python write it, to stand behind the number of digits."""
        return "%" if self.percent else "g"

    def shown(self, value: float | None) -> str:
        """Returns a score as people read it."""
        return format_score(value, self.percent)

    def difference(self, value: float, half: float | None) -> str:
        """Returns a difference of scores as people read it, with half its interval where it has one."""
        factor, digits, unit = (100, ".2f", " points") if self.percent else (1, ".4g", "")
        return f"{value * factor:+{digits}}" + ("" if half is None else f" ± {half * factor:{digits}}") + unit

    def good(self, value: float) -> float:
        """Returns a score with its sign turned so that large is good."""
        return value if self.larger else -value


@dataclass(frozen=True)
class Info:
    """The whole report as data. `found` is what the steps conclude, by the names they give it."""

    name: str
    document: PlainDict
    budget: str
    axis: ScoreAxis
    lead: str
    notes: list[str]
    trials: list[PlainDict]
    found: PlainDict
    layers: list[PlainDict]
    stages: list[PlainDict]
    environment: PlainDict
    seconds: float
    finished: bool
    early: int  # trials stopped before the end of their schedule; in no front
    faults: list[str]
    failed: list[dict[str, str]]
    wanted: dict[str, int]  # networks that each search was to have
    counts: dict[str, int]  # trials by step
    searches: dict[str, str] = field(default_factory=dict)  # by step, as the report calls its search
    searchers: dict[str, str] = field(default_factory=dict)  # likewise, which searcher asked
    objectives: tuple[str, ...] = ()
    by_class: list[ByClass] = field(default_factory=list)  # of the family
    finalists_by_class: list[ByClass] = field(default_factory=list)
    beaten: list[Beats] = field(default_factory=list)  # by members of the family, or not: networks built by hand
    data: PlainDict | None = None
    recipe: PlainDict | None = None
    figures: dict[str, Figure] = field(default_factory=dict)  # of the steps, by name
    fragments: tuple[Fragment, ...] = ()  # of the steps, in the page's order

    def summary(self) -> PlainDict:
        """Returns what `summary.json` holds: results and how they came about, without the per-layer tables."""
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
        return cast(PlainDict, summary | _plain(self.found, names) | counts)


def _thresholds(network: ByClass) -> PlainDict:
    """Returns, of a detector, at which confidence each class is best kept, and the interval of its precision."""
    if (detector := network.found) is None:
        return {}
    return {
        "threshold": dict(zip(network.classes, detector.threshold, strict=True)),
        "f1": dict(zip(network.classes, detector.f1, strict=True)),
        "interval": list(detector.interval),
    }


def _plain(value: Any, names: PlainMapping) -> Any:
    """Returns dataclasses as mappings, the fields of scores under the names that the task has for them."""
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


def figure(traces: list[PlainDict], height: int, **layout: Any) -> Figure:
    """Returns a figure in the report's style.

    Args:
        traces: What is drawn, each a trace of plotly's with its `type`.
        height: Pixels.
        layout: Further keys of plotly's layout; `xaxis` and `yaxis` among them.
    """
    return {"data": traces, "layout": STYLE | {"height": height} | layout}
