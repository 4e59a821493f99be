"""What a report says, as data: gathered from a study and its log, finished or not; drawn and printed elsewhere."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from scalesearch.arch import expand, sides
from scalesearch.counting import by_layer, by_stage
from scalesearch.data import Health
from scalesearch.report.by_class import Beats, ByClass, beaten
from scalesearch.searchers import Trial
from scalesearch.study import Driver, Study
from scalesearch.training import shown_score
from scalesearch.versions import versions

PACKAGES = ("scalesearch", "torch", "ray", "optuna", "fvcore", "plotly", "pandas", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Axis:
    """The score as figures and tables name it, and the keys of a trial that hold it by split; `percent`: a share."""

    name: str
    val: str
    test: str
    percent: bool
    larger: bool = True
    title: str = "Score"

    @property
    def format(self) -> str:
        """As plotly and Python write it, in front of the digits' number."""
        return "%" if self.percent else "g"

    def shown(self, value: float | None) -> str:
        return shown_score(value, self.percent)

    def difference(self, value: float, half: float | None) -> str:
        """With half its interval, where it has one."""
        factor, digits, unit = (100, ".2f", " points") if self.percent else (1, ".4g", "")
        return f"{value * factor:+{digits}}" + ("" if half is None else f" ± {half * factor:{digits}}") + unit

    def good(self, value: float) -> float:
        """Turned so that large is good."""
        return value if self.larger else -value


@dataclass(frozen=True)
class Info:
    """The whole report as data. `found` is what the steps conclude, by the names they give it."""

    name: str
    document: dict[str, Any]
    budget: str
    axis: Axis
    lead: str
    notes: list[str]
    trials: list[dict[str, Any]]
    found: dict[str, Any]
    layers: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    environment: dict[str, Any]
    seconds: float
    finished: bool
    early: int  # trials stopped before the end of their schedule; in no front
    faults: list[str]
    failed: list[dict[str, str]]
    wanted: dict[str, int]  # networks that each search was to have
    counts: dict[str, int]  # trials by step
    objectives: tuple[str, ...] = ()
    by_class: list[ByClass] = field(default_factory=list)  # of the family
    finalists_by_class: list[ByClass] = field(default_factory=list)
    beaten: list[Beats] = field(default_factory=list)  # by members of the family, or not: networks built by hand
    data: dict[str, Any] | None = None
    recipe: dict[str, Any] | None = None

    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds: results and how they came about, without the per-layer tables."""
        names = {"val": self.axis.val, "test": self.axis.test, "score": self.axis.name} if self.data else {}
        keys = (
            "name",
            "document",
            "data",
            "budget",
            "wanted",
            "recipe",
            "environment",
            "seconds",
            "finished",
            "early",
            "faults",
            "failed",
        )
        said = {key: getattr(self, key) for key in keys}

        def values(network):
            return dict(zip(network.classes, network.values, strict=True))

        said["by_class"] = [
            {"name": network.name, network.measure: values(network), **_thresholds(network)}
            for network in (*self.finalists_by_class, *self.by_class)
        ]
        said |= {"beaten": _plain(self.beaten, {})} if self.beaten else {}
        return (
            said
            | _plain(self.found, names)
            | {"trials": self.counts, "rejected": sum(t["rejected"] for t in self.trials)}
        )


def _thresholds(network: ByClass) -> dict[str, Any]:
    """Of a detector, at which confidence each class is best kept, and how sure its average precision is."""
    if (found := network.found) is None:
        return {}
    return {
        "threshold": dict(zip(network.classes, found.threshold, strict=True)),
        "f1": dict(zip(network.classes, found.f1, strict=True)),
        "interval": list(found.interval),
    }


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    """Dataclasses as mappings, the fields of scores under the names that the task has for them."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {key: getattr(value, key) for key in value.__dataclass_fields__}
        return {names.get(key, key): _plain(v, names) for key, v in value.items()}
    if isinstance(value, Mapping):
        return {key: _plain(v, names) for key, v in value.items()}
    return [_plain(v, names) for v in value] if isinstance(value, (list, tuple)) else value


def environment() -> dict[str, Any]:
    """The versions and the machine that a run used."""
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
    }
    return {"versions": versions(PACKAGES), "machine": machine}


def gather(
    run: Driver,
    seconds: float = 0.0,
    health: dict[str, Any] | None = None,
    classes: Callable[[str, list[str]], list[ByClass]] = lambda step, names: [],
) -> Info:
    """The report of a driver's study and log, as far as it has come; `health` is that of its images,
    `classes` how networks do class by class."""
    study, trials = run.study, run.trials
    found = {key: value for step in study.steps for key, value in step.concludes(run).items()}
    base = found.get("base")
    winner = next((run.log.arch(t) for t in trials if base and t.name == base["name"]), None)
    rows = found.get("rows", []) if study.training else []
    family, others = (
        classes(step, [r.name for r in rows if (r.kind == "family") == own])
        for step, own in (("family", True), ("compare", False))
    )
    return Info(
        name=study.name,
        document=study.document,
        budget=str(study.budget),
        axis=_axis(study),
        lead=next((lead for step in study.steps if (lead := step.lead(run))), ""),
        notes=[note for step in study.steps for note in step.says(run)],
        trials=[_flat(trial) for trial in trials],
        found=found,
        layers=by_layer(expand(winner)) if winner else [],
        stages=by_stage(expand(winner)) if winner else [],
        environment=environment(),
        seconds=round(seconds, 1),
        finished=run.finished,
        early=sum(t.early for t in trials),
        faults=faults(trials),
        failed=[{"name": t.name, "reason": t.reason} for t in trials if not t.done],
        wanted={s.name: s.networks(study) if s.networks else len(s.macs(study, 1.0)) for s in study.steps if s.settled},
        counts={step.name: len(run.log.of(step.name)) for step in study.steps},
        objectives=study.objectives,
        by_class=family,
        finalists_by_class=classes(
            "finalists", list(dict.fromkeys(t.name.rpartition("-s")[0] for t in run.log.of("finalists")))
        ),
        beaten=beaten(family, others),
        **_of_training(run, health),
    )


def _axis(study: Study) -> Axis:
    if study.training is None:
        return Axis("score", study.evaluator.score.key, "", False)
    task = study.training.task
    return Axis(
        task.score, task.searched.key, task.tested.key, task.percent, task.larger, task.title or task.score.capitalize()
    )


def _of_training(run: Driver, health: dict[str, Any] | None) -> dict[str, Any]:
    study = run.study
    if study.training is None:
        return {}
    data = study.training.data
    return {
        "data": {
            "name": data.name,
            "origin": data.origin,
            "classes": data.classes,
            "resolution": study.training.resolution,
            "images": dict(data.sizes),
            "digest": data.digest,
            "kept at": data.size,
            "health": health,
            "warnings": Health.of_dict(health).warnings if health else [],
            "tiny": _tiny(run, health),
        },
        "recipe": {
            "final": asdict(study.training.recipe),
            "search epochs": run.recipe_of("base").epochs,
            "scaling epochs": run.recipe_of("scale").epochs,
        },
    }


def _tiny(run: Driver, health: dict[str, Any] | None) -> str:
    """How many boxes are hardly to be seen at the study's resolution, and at the family's largest: what resolution is
    worth."""
    if not health or not health.get("boxes"):
        return ""
    counted = {int(side): count for side, count in health["boxes"]["tiny"].items()}

    def at(resolution):
        return counted[min(counted, key=lambda side: abs(side - max(sides(resolution))))]

    largest = max((t.fidelity["resolution"] for t in run.log.of("family")), key=lambda r: max(sides(r)), default=None)
    first, last = run.study.trained.resolution, largest
    said = f"{at(first):,} of {health['boxes']['count']:,} boxes have a side under 8 pixels at {max(sides(first))}"
    return said + (f", {at(last):,} at the largest member's {max(sides(last))}." if last else ".")


def _flat(trial: Trial) -> dict[str, Any]:
    """A trial as one row of a table."""
    keys = (
        "step",
        "number",
        "name",
        "state",
        "reason",
        "network",
        "recipe",
        "candidate",
        "rung",
        "early",
        "rejected",
        "seconds",
    )
    row = {key: getattr(trial, key) for key in keys} | trial.cost | trial.fidelity
    row |= {"resolution": trial.arch["resolution"]} if trial.arch else {}
    return row | trial.scores | {f"decision.{key}": value for key, value in trial.decisions.items()}


def faults(trials: list[Trial]) -> list[str]:
    """Trials that are one in fact: those of a search with the same network, and those that differ on paper and have the
    same history to the last digit."""
    said = []
    seen: dict[tuple, Trial] = {}
    for trial in trials:
        if not trial.done or not trial.history:
            continue
        like = (trial.level, trial.fidelity.get("seed"))
        same = seen.setdefault((*like, trial.step, trial.rung, trial.network, trial.recipe), trial)
        if same is not trial:
            said.append(f"{same.name} and {trial.name} are the same network ({trial.network}), trained twice.")
            continue
        same = seen.setdefault((*like, tuple(tuple(sorted(h.items())) for h in trial.history)), trial)
        if same is not trial and (same.network, same.recipe) != (trial.network, trial.recipe):
            said.append(
                f"{same.name} and {trial.name} differ on paper (networks {same.network} and {trial.network}, recipes "
                f"{same.recipe} and {trial.recipe}) and trained alike to the last digit: what differs between them "
                f"took no effect."
            )
    return said
