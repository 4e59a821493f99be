"""Gathers what a report says, as data, from a study and its log, finished or not."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import cast

from scalesearch.arch import expand, sides
from scalesearch.counting import by_layer, by_stage
from scalesearch.data import Health
from scalesearch.plain_data import PlainDict
from scalesearch.study import STEPS, ClassResults, Driver, Info, ScoreAxis, Study, compare_detectors
from scalesearch.trials import Trial
from scalesearch.versions import versions

PACKAGES = ("scalesearch", "torch", "ray", "optuna", "fvcore", "plotly", "pandas", "numpy", "scikit-learn")
MAX_HISTORIES = 12  # networks whose learning is drawn
ReadClasses = Callable[[str, list[str]], list[ClassResults]]


def environment() -> PlainDict:
    """Returns the versions and the machine that a run used."""
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
    health: PlainDict | None = None,
    read_classes: ReadClasses = lambda step, names: [],
) -> Info:
    """Returns the report's data from a driver's study and log, as far as the run has come.

    Args:
        run: The driver, with its study and log.
        seconds: Seconds that the run has been at work.
        health: The health of the data set, as plain data.
        read_classes: Returns, for a step and names of its networks, their results class by class.
    """
    study, trials = run.study, run.trials
    conclusions = {key: value for step in study.steps for key, value in step.conclusions(run).items()}
    network = next((arch for step in study.steps if (arch := step.drawn_network(run))), None)
    graph = expand(network) if network else None
    classes = {s.by_class: read_classes(s.name, s.class_results(run)) for s in study.steps if s.by_class}
    members = classes.get("members", [])
    searches = [step for step in study.steps if step.search_title]
    info = Info(
        name=study.name,
        document=study.document,
        budget=str(study.budget),
        axis=_axis(study),
        lead=next((lead for step in study.steps if (lead := step.headline(run))), ""),
        notes=[note for step in study.steps for note in step.notes(run)],
        trials=[_trial_row(trial) for trial in trials],
        conclusions=conclusions,
        layers=by_layer(graph) if graph else [],
        stages=by_stage(graph) if graph else [],
        environment=environment(),
        seconds=round(seconds, 1),
        finished=run.finished,
        early=sum(t.early for t in trials),
        faults=faults(trials),
        failed=[{"name": t.name, "reason": t.reason} for t in trials if not t.done],
        wanted={step.name: step.networks(study) for step in searches},
        counts={step.name: len(run.log.of(step.name)) for step in study.steps},
        searches={step.name: step.search_title for step in searches},
        titles={step.name: step.title for step in study.steps},
        histories=_histories(run),
        searchers={step.search_title.removesuffix(" search"): step.searcher(study) for step in searches},
        objectives=study.objectives,
        by_class=members,
        finalists_by_class=classes.get("finalists", []),
        beaten=compare_detectors(members, classes.get("baselines", [])),
        data=_data(run, health),
        recipe=_recipe(run),
        verb=study.training.task.verb if study.training else "",
        fragments=tuple(sorted((f for step in study.steps for f in step.fragments), key=lambda f: f.order)),
    )
    return replace(info, figures={name: f for step in study.steps for name, f in step.figures(info).items()})


def _histories(run: Driver) -> dict[str, list[tuple[float, float]]]:
    """Returns the validation scores by epoch of the first seed of finished networks that have several."""
    if run.study.training is None:
        return {}
    key = run.study.training.task.searched.key
    steps = [step.name for step in run.study.steps if step.by_class in ("members", "baselines")]
    seed = run.study.seeds[0]
    histories: dict[str, list[tuple[float, float]]] = {}
    for trial in (trial for step in steps for trial in run.log.of(step, seed)):
        points = [(float(row["epoch"]), float(row[key])) for row in trial.history if key in row]
        if len(points) > 1:
            histories[trial.name.removesuffix(f"-s{seed}")] = points
    return dict(list(histories.items())[:MAX_HISTORIES])


def _axis(study: Study) -> ScoreAxis:
    if study.training is None:
        return ScoreAxis("score", study.evaluator.score.key, "", False)
    task = study.training.task
    return ScoreAxis(task.score, task.searched.key, task.tested.key, task.percent, task.larger, task.title)


def _data(run: Driver, health: PlainDict | None) -> PlainDict | None:
    training = run.study.training
    if training is None:
        return None
    data = training.data
    return {
        "name": data.name,
        "origin": data.origin,
        "classes": data.classes,
        "resolution": training.resolution,
        "images": dict(data.sizes),
        "digest": data.digest,
        "kept at": data.size,
        "health": health,
        "warnings": Health.from_dict(health).warnings if health else [],
        "tiny": _tiny_boxes(run, health),
    }


def _recipe(run: Driver) -> PlainDict | None:
    if run.study.training is None:
        return None
    epochs = {step.epochs_key: run.recipe_of(step.name).epochs for step in STEPS["training"] if step.epochs_key}
    return {"final": asdict(run.study.training.recipe), **epochs}


def _tiny_boxes(run: Driver, health: PlainDict | None) -> str:
    """Returns a sentence that counts boxes with a side under 8 pixels, at the study's resolution and at the largest
    member's.
    """
    if not health or not health.get("boxes"):
        return ""
    counts = {int(side): count for side, count in health["boxes"]["tiny"].items()}
    members = [step.name for step in run.study.steps if step.by_class == "members"]
    largest = [max(sides(t.fidelity["resolution"])) for t in run.log if t.step in members]

    def tiny_at(side: int) -> int:
        return cast(int, counts[min(counts, key=lambda other: abs(other - side))])

    side, boxes = max(sides(run.study.trained.resolution)), health["boxes"]["count"]
    sentence = f"{tiny_at(side):,} of {boxes:,} boxes have a side under 8 pixels at {side}"
    return sentence + (f", {tiny_at(max(largest)):,} at the largest member's {max(largest)}." if largest else ".")


def _trial_row(trial: Trial) -> PlainDict:
    """Returns a trial as one row of a table."""
    keys = (
        "step",
        "number",
        "name",
        "state",
        "reason",
        "untrained",
        "network",
        "recipe",
        "candidate",
        "rung",
        "early",
        "rejected",
    )
    row: PlainDict = {key: getattr(trial, key) for key in (*keys, "rejected", "seconds")} | trial.cost | trial.fidelity
    row |= {"resolution": trial.arch["resolution"]} if trial.arch else {}
    return row | trial.scores | {f"decision.{key}": value for key, value in trial.decisions.items()}


def faults(trials: list[Trial]) -> list[str]:
    """Returns sentences about trials that duplicate each other: the same network trained twice in a search, or networks
    or recipes that differ on paper and have identical histories.
    """
    sentences = []
    seen: dict[tuple[object, ...], Trial] = {}
    for trial in trials:
        if not trial.done or not trial.history:
            continue
        shared = (trial.level, trial.fidelity.get("seed"))
        twin = seen.setdefault((*shared, trial.step, trial.rung, trial.network, trial.recipe), trial)
        if twin is not trial:
            sentences.append(f"{twin.name} and {trial.name} are the same network ({trial.network}), trained twice.")
            continue
        twin = seen.setdefault((*shared, tuple(tuple(sorted(h.items())) for h in trial.history)), trial)
        if twin is not trial and (twin.network, twin.recipe) != (trial.network, trial.recipe):
            sentences.append(
                f"{twin.name} and {trial.name} differ on paper (networks {twin.network} and {trial.network}, recipes "
                f"{twin.recipe} and {trial.recipe}) and trained alike to the last digit: what differs between them "
                f"took no effect."
            )
    return sentences
