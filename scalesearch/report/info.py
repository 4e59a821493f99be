"""What a report says, as data: gathered from the study and its log, finished or not; drawn and printed elsewhere."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass, field, replace
from statistics import mean
from typing import Any

from scalesearch.statistics import interval, standard_error
from scalesearch.counting import by_layer, by_stage, cost
from scalesearch.study import Driver, StudyFailed
from scalesearch.arch import expand
from scalesearch.statistics import front, front_probability
from scalesearch.report import findings
from scalesearch.scaling import realised
from scalesearch.scaling import ScalingSpace
from scalesearch.space import arch_from_dict
from scalesearch.study import STEPS, Trial

PACKAGES = ("scalesearch", "torch", "ray", "optuna", "fvcore", "plotly", "pandas", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Row:
    """A network of the final comparison: what it costs and, over its seeds, what it scores."""

    name: str
    kind: str  # "family" or "hand-built"
    resolution: int
    params: int
    macs: int
    acts: int
    state: str
    seeds: int
    val_accuracy: float | None
    test_accuracy: float | None
    test_interval: float | None  # half the 95 % interval of the mean over seeds
    test_error: float | None  # standard error: of the seeds and of the finite test split
    seconds: float
    phi: float | None = None
    target: int | None = None
    deviation: float | None = None
    depth: float | None = None
    width: float | None = None
    on_front_macs: bool = False
    on_front_params: bool = False
    front_probability: float | None = None  # of being on the front of MACs, given the errors
    miss: str = ""  # why the MACs are not those wanted


@dataclass(frozen=True)
class Point:
    """A trial of the scaling search in the triangle of shares."""

    name: str
    depth: float
    width: float
    resolution: float
    macs: int
    deviation: float
    accuracy: float | None
    presets: tuple[str, ...]


@dataclass(frozen=True)
class Scaling:
    """What the scaling search found."""

    alpha: float
    beta: float
    gamma: float
    errors: tuple[float, float, float]  # of α, β, γ: their spread over the ways that may be the best
    trials: int
    best: str
    accuracy: float
    target: int
    tolerance: float
    points: tuple[Point, ...]

    @property
    def misses(self) -> list[Point]:
        """Points whose axes are too coarse for the tolerance: the nearest reachable network stands in."""
        return [p for p in self.points if abs(p.deviation) > self.tolerance]


@dataclass(frozen=True)
class Info:
    """The whole report as data."""

    name: str
    document: dict[str, Any]
    data: dict[str, Any]
    budget: str
    wanted: dict[str, int]  # trials that each search was to have
    trials: list[dict[str, Any]]
    rows: list[Row]
    base: dict[str, Any] | None
    scaling: Scaling | None
    layers: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    recipe: dict[str, Any]
    environment: dict[str, Any]
    seconds: float
    finished: bool
    early: int  # trials stopped before the end of their schedule; in no front
    proxies: list[dict[str, Any]]
    finalists: list[findings.Finalist]
    inheritance: findings.Inheritance | None
    transfers: list[findings.Transfer]
    faults: list[str]
    volumes: list[tuple[int, float]]
    failed: list[dict[str, str]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds: results and how they came about, without the per-layer tables."""
        data = asdict(self)
        for key in ("layers", "stages", "trials"):
            del data[key]
        data["trials"] = {step: sum(t["step"] == step for t in self.trials) for step in STEPS}
        data["rejected"] = sum(t["rejected"] for t in self.trials)
        return data


def environment() -> dict[str, Any]:
    """The versions and the machine that a run used."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    machine = {"python": platform.python_version(), "system": platform.platform(), "processor": platform.machine(),
               "cpus": os.cpu_count()}  # fmt: skip
    return {"versions": versions, "machine": machine}


def gather(driver: Driver, seconds: float = 0.0) -> Info:
    """The report of a driver's study and log, as far as it has come."""
    study, trials = driver.study, list(driver.log)
    base = driver.base if _best(driver, "base") else None
    winner = arch_from_dict(base.arch) if base else None
    return Info(
        name=study.name,
        document=study.document,
        data={"name": study.data.name, "origin": study.data.origin, "classes": study.data.classes,
              "resolution": study.resolution},
        budget=str(study.budget),
        wanted={"base": study.search.trials, "scale": study.scale.trials},
        trials=[_flat(trial) for trial in trials],
        rows=_rows(driver),
        base=base and {"name": base.name, "cost": base.cost, "scores": base.scores, "fidelity": base.fidelity,
                       "decisions": base.decisions},
        scaling=_scaling(driver),
        layers=by_layer(expand(winner)) if winner else [],
        stages=by_stage(expand(winner)) if winner else [],
        recipe={"final": asdict(study.recipe_of("family")), "search epochs": study.recipe_of("base").epochs,
                "scaling epochs": study.recipe_of("scale").epochs},
        environment=environment(),
        seconds=round(seconds, 1),
        finished=driver_finished(driver),
        early=sum(t.early for t in trials),
        proxies=findings.proxies(driver),
        finalists=findings.finalists(driver) if base else [],
        inheritance=findings.inheritance(driver),
        transfers=findings.transfers(driver),
        faults=findings.faults(driver),
        volumes=findings.volumes(driver),
        failed=[{"name": t.name, "reason": t.reason} for t in trials if t.state == "failed"],
    )


def driver_finished(driver: Driver) -> bool:
    """Whether every trial of the study is in the log."""
    study, log = driver.study, driver.log
    wanted = study.planned["family"] + study.planned["compare"]
    return len(log.of("family")) + len(log.of("compare")) == wanted


def _best(driver: Driver, step: str) -> Trial | None:
    try:
        return driver.best(step)
    except StudyFailed:
        return None


def _flat(trial: Trial) -> dict[str, Any]:
    """A trial as one row of a table."""
    row = {key: getattr(trial, key) for key in ("step", "number", "name", "state", "reason", "network", "recipe", "candidate", "rung", "early",
                                                "rejected", "seconds")}
    return row | trial.cost | trial.fidelity | {"resolution": trial.arch["resolution"]} | trial.scores | {
        f"decision.{key}": value for key, value in trial.decisions.items()}


def _rows(driver: Driver) -> list[Row]:
    """Family and hand-built networks, seeds averaged, by MACs; those on the fronts of test accuracy marked."""
    by_name: dict[str, list[Trial]] = {}
    for trial in (*driver.log.of("family"), *driver.log.of("compare")):
        by_name.setdefault(trial.name, []).append(trial)
    members = {m.arch.name: (phi, m) for phi, m in driver.family.items()} if driver.log.of("family") else {}
    rows = [_row(name, trials, driver, members.get(name)) for name, trials in by_name.items()]
    scored = [row for row in rows if row.test_accuracy is not None]
    fronts = {key: {r.name for r in front(scored, lambda r: getattr(r, key), lambda r: r.test_accuracy)}
              for key in ("macs", "params")}  # fmt: skip
    likely = front_probability({r.name: r.macs for r in scored}, {r.name: r.test_accuracy for r in scored},
                               {r.name: r.test_error for r in scored}) if scored else {}
    marked = [replace(r, on_front_macs=r.name in fronts["macs"], on_front_params=r.name in fronts["params"],
                      front_probability=likely.get(r.name)) for r in rows]
    return sorted(marked, key=lambda r: (r.macs, r.name))


def _row(name: str, trials: list[Trial], driver: Driver, member: tuple | None) -> Row:
    done = [t for t in trials if t.state == "done"]
    average = lambda key: round(mean(t.scores[key] for t in done), 6) if done else None
    arch, extra = arch_from_dict(trials[0].arch), {}
    if member:
        phi, scaled = member
        depth, width, _ = realised(arch, driver.scaling_space.base)
        extra = {"phi": phi, "target": scaled.target, "deviation": round(scaled.deviation, 5), "depth": round(depth, 3),
                 "width": round(width, 3), "miss": scaled.miss(driver.study.scale.tolerance)}
    counted = cost(arch)
    tested = [t.scores["test_accuracy"] for t in done]
    half = interval(tested)
    error = round(standard_error(tested, driver.study.data.examples("test")), 6) if done else None
    return Row(name, "family" if member else "hand-built", arch.resolution, counted.params, counted.macs, counted.acts,
               "done" if done else "failed", len(done), average("val_accuracy"), average("test_accuracy"), half and round(half, 6), error,
               round(sum(t.seconds for t in trials), 2), **extra)


def _scaling(driver: Driver) -> Scaling | None:
    best = _best(driver, "scale")
    if best is None:
        return None
    space = driver.scaling_space
    presets: dict[str, list[str]] = {}
    for name, scaled in driver.preset_networks.items():
        presets.setdefault(expand(scaled.arch).digest, []).append(name)
    points = []
    for trial in driver.log.of("scale"):
        a, b, c, _ = ScalingSpace.shares(trial.decisions)
        points.append(Point(trial.name, a, b, c, trial.cost["macs"],
                            round(trial.cost["macs"] / space.target - 1, 5), trial.scores.get("val_accuracy"),
                            tuple(presets.get(trial.network, ()))))
    alpha, beta, gamma = driver.shares.multipliers(space.factor)
    errors = findings.coefficient_errors(driver, driver.study.data.examples("val"))
    return Scaling(round(alpha, 4), round(beta, 4), round(gamma, 4), tuple(round(e, 4) for e in errors), len(points), best.name, best.scores["val_accuracy"],
                   space.target, space.tolerance, tuple(points))

