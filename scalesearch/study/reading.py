"""A study's file → `Study`, every fault in it located before anything starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from scalesearch.arch import adapted_strides, as_resolution, head_task, sides
from scalesearch.budget import QUANTITIES, Budget, budget_from_dict, parse_bound, reference_quantities
from scalesearch.counting import cost, cost_or_none, read_profile
from scalesearch.data import Source, absolute_source as located_data, source
from scalesearch.errors import InputError, distinct, inside, shown, unknown
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers import read_table
from scalesearch.signature import Count, Field, Natural, Rule, Sides, check_arguments, fields_of, section
from scalesearch.space import Space, check_name, space_from_dict
from scalesearch.study.document import lay_over
from scalesearch.study.evaluators import EVALUATORS
from scalesearch.study.models import with_models
from scalesearch.study.shipped import find_study
from scalesearch.study.steps import MEASURES, STEPS, base, family, fidelity, rows, scale
from scalesearch.study.study import Resources, Study, adapted_zoo
from scalesearch.study.tables import Columns, Rows
from scalesearch.training import Training
from scalesearch.trials import RECIPES, TASKS, Recipe, Task
from scalesearch.yamlfile import Document, read
from scalesearch.zoo import WEIGHTS, find_in_folder


def _training_keys(
    *,
    space: PlainDict | str,
    budget: PlainDict,
    data: PlainDict | str = "digits",
    name: str | None = None,
    task: str | None = None,
    resolution: Sides | None = None,
    recipe: PlainDict | str = "quick",
    seeds: tuple[Natural, ...] = (0,),
    parallel: Count = 4,
    ray: PlainDict | None = None,
    init: str | None = None,
    models: PlainDict | None = None,
    evaluator: str = "training",
) -> None:
    """What a study that trains says beside its steps' sections."""


def _table_keys(
    *,
    table: PlainDict,
    name: str | None = None,
    budget: PlainDict | None = None,
    seeds: tuple[Natural, ...] = (0,),
    space: PlainDict | str | None = None,
    parallel: Count = 1,
    ray: PlainDict | None = None,
) -> None:
    """What a study of a table says beside its steps' sections."""


Located = Callable[[], AbstractContextManager[None]]  # puts faults where they stand
KEYS = {"training": _training_keys, "table": _table_keys}


def kind_of(data: PlainMapping) -> str:
    return "table" if "table" in data else "training"


def study_fields(kind: str) -> dict[str, Field]:
    """The keys of a study's file: its own, and a section for each step that has options."""
    fields = dict(fields_of(KEYS[kind]))
    for step in STEPS[kind]:
        if step.options is not None:
            kinds = fields_of(step.options)[step.listed].types if step.listed else ()
            fields[step.key] = Field(step.key, (*kinds, dict, type(None)), Rule(), None)
    return fields


def load_study(path: str | Path, overrides: PlainMapping | None = None, known_data: Source | None = None) -> Study:
    """Returns the study in the YAML file at `path`.

    Args:
        path: The file, or the name of a study that ships with the package.
        overrides: Keys that are laid over the file's: `{"search.trials": 4}`.
        known_data: The facts of data that was read before and is not read again.

    Raises:
        InputError: With file and line, for anything wrong in the study, in the space that it names, or for columns
            that its table lacks.
    """
    document = read(find_study(path))
    with document.located():
        lay_over(document.data, overrides or {})
        kind = kind_of(document.data)
        # else bounds are on columns, whatever these are called
        networks = kind == "training" or "space" in document.data
        data = _with_profiles(document.data, document.path.parent) if networks else document.data
        data = with_models(data, document.path.parent) if kind == "training" else data
        owner = "a study" if kind == "training" else "a table study"
        keys = check_arguments(owner, study_fields(kind), data)
        if keys.get("evaluator", "training") not in EVALUATORS:
            raise InputError(unknown("evaluator", keys["evaluator"], EVALUATORS), "evaluator")
        if keys.get("task") is not None and keys["task"] not in TASKS:
            raise InputError(unknown("task", keys["task"], TASKS), "task")
        study = _trained(keys, data, document, known_data) if kind == "training" else _looked_up(keys, data, document)
        for step in study.steps:
            step.check(study)
        return replace(study, located=document.located)


def _trained(keys: PlainMapping, data: PlainMapping, document: Document, known_data: Source | None) -> Study:
    space_data, space, located = read_space(data["space"], document.path.parent)
    with located():
        task = _task(keys.get("task"), space)
    sections = _sections("training", keys)
    options: base.Options = sections[base.Options]
    keys = {**keys, "data": located_data(keys.get("data", "digits"), document.path.parent)}
    training = _training(keys, task, sections, known_data)
    data = {**data, "data": keys["data"]} if "data" in data else data
    if keys.get("init"):
        data = {**data, "init": _init(keys["init"], document.path.parent)}
        training = replace(training, init=True)
    measured = MEASURES.get(sections[fidelity.Options].measure)
    study = Study(
        **_common(keys, document, 4),
        steps=(measured,) if measured else STEPS["training"],
        sections=sections,
        space=space,
        training=training,
        objectives=options.costs(training.task.score),
        evaluated_by=keys.get("evaluator", "training"),
        document={**data, "space": space_data},
    )
    with inside("budget"):
        bounds = dict(keys["budget"])
        hours = bounds.pop("hours", 0.0)
        if isinstance(hours, bool) or not isinstance(hours, int | float) or not (0 <= hours < 1e6):
            raise InputError(f"takes a number of hours, got {shown(hours)}", "hours")
        budget = budget_from_dict(bounds, reference_quantities(adapted_zoo(training, data.get("models"))))
        if not budget.bounds:
            raise InputError(f"needs a bound: {', '.join(QUANTITIES)}")
    adapted_strides([], training.resolution)  # images too small for any network
    training = replace(training, timed=budget.profile is not None)
    renamed = {**study.document, "name": study.name}
    study = replace(study, budget=budget, hours=float(hours), training=training, document=renamed)
    with located():
        _check_some_network(study)
    with inside("recipe"):
        training.recipe.frozen_levels(len(space.sample_unchecked(Random(0))[1].stages))
        task.check_recipe(training.recipe)
    return study


def _training(keys: PlainMapping, task: Task, sections: Mapping[type, Any], known_data: Source | None) -> Training:
    """The images are kept at the largest resolution that a member of the family may have: all growth in γ alone."""
    data = known_data or source(keys["data"])
    if data.task != task.name:
        raise InputError(f"{data.name} has labels for {data.task}, and the study is for {task.name}", "data")
    resolution = as_resolution(sides(keys.get("resolution") or data.resolution))
    growth: scale.Options = sections[scale.Options]
    largest = growth.factor ** (max((*sections[family.Options].phi, *growth.phi)) / 2)
    data = known_data or source(
        keys["data"], as_resolution(tuple(math.ceil(side * largest) for side in sides(resolution)))
    )
    return Training(task, data, resolution, recipe_of(keys.get("recipe", "quick")))


def _task(task_name: str | None, space: Space) -> Task:
    """The task that the study names, else what the space's heads are for."""
    arch = space.sample_unchecked(Random(0))[1]  # what its head is for says one that is no network too
    name = head_task(arch) if task_name is None else task_name
    if name not in TASKS:
        raise InputError(f"{arch.name} is for {name}; studies train for {', '.join(TASKS)}", "head")
    return TASKS[name]


def _looked_up(keys: PlainMapping, data: PlainMapping, document: Document) -> Study:
    columns = section(Columns, keys["table"], "table")
    sections = _sections("table", keys)
    common, written, space = _common(keys, document, 1), dict(data), None
    if keys.get("space") is None and not columns.decisions:
        raise InputError(
            "needs the columns that are decisions, or a space whose decisions are columns", "table.decisions"
        )
    if keys.get("space") is not None:
        written["space"], space, _ = read_space(keys["space"], document.path.parent)
        for place in ("decisions", "numbers", "same"):
            if getattr(columns, place):
                raise InputError("is told by the space; leave it out, or leave out the space", f"table.{place}")
    with inside("table"):
        table = read_table(columns.file, document.path.parent)
        for place in ("score", "final"):
            if getattr(columns, place):
                table.column(getattr(columns, place), place)
    written |= {"name": common["name"], "table": {**data["table"], "file": str(table.path.resolve())}}
    options: rows.Options = sections[rows.Options]
    with inside("budget"):
        bounds = keys.get("budget") or {}
        budget = (
            budget_from_dict(bounds)
            if space
            else Budget({key: parse_bound(value, key) for key, value in bounds.items()})
        )
    return Study(
        **common,
        steps=STEPS["table"],
        sections=sections,
        space=space,
        rows=Rows(table, columns),
        budget=budget,
        objectives=options.objective,
        evaluated_by="table",
        document=written,
    )


def _common(keys: PlainMapping, document: Document, parallel: int) -> PlainDict:
    """What every study has."""
    seeds = keys.get("seeds", (0,))
    distinct(seeds, "seeds")
    if not seeds:
        raise InputError("takes a list of at least one seed, got []", "seeds")
    with inside("" if keys.get("name") else "the file's name, which names the study,"):
        name = check_name(keys.get("name") or document.path.stem)
    return {
        "name": name,
        "seeds": seeds,
        "parallel": keys.get("parallel", parallel),
        "ray": section(Resources, keys.get("ray"), "ray"),
    }


def _sections(kind: str, keys: PlainMapping) -> dict[type, Any]:
    return {step.options: step.read(keys.get(step.key)) for step in STEPS[kind] if step.options is not None}


def _check_some_network(study: Study) -> None:
    """Raises `InputError` where the shapes of none of some networks meet, or where they are for another task."""
    drawn = [study.adapted_space.sample(seed)[1] for seed in range(32)]
    study.trained.task.check(drawn[0], "head")
    if all(cost_or_none(arch) is None for arch in drawn):
        cost(drawn[0])


def read_space(value: PlainDict | str, folder: Path) -> tuple[PlainDict, Space, Located]:
    """The space written in the study, or in the file that it names, and what puts its faults where they stand."""
    if isinstance(value, dict):
        with inside("space"):
            return value, space_from_dict(value), lambda: inside("space")
    document = read(folder / value)
    with document.located():
        return document.data, space_from_dict(document.data), document.located


def _init(check_name: str, folder: Path) -> str:
    """The trained network's folder whose weights trainings start from, seen from the study's. Raises `InputError`."""
    path = (folder / Path(check_name).expanduser()).resolve()
    if (folder / "weights" / "init.safetensors").exists():
        return str(path)  # a run has its own copy
    with inside("init"):
        if find_in_folder(path, WEIGHTS) is None or find_in_folder(path, "arch.yaml") is None:
            raise InputError(
                "takes the folder of a trained network (arch.yaml, weights.safetensors), got "
                f"{check_name!r}, which is no folder"
            )
    return str(path)


def recipe_of(value: str | PlainMapping) -> Recipe:
    """The recipe of a name, or one with changes (`{"base": "quick", "epochs": 4}`). Raises `InputError`."""
    options = {"base": value} if isinstance(value, str) else dict(value)
    name = options.pop("base", "quick")
    if not isinstance(name, str) or name not in RECIPES:
        raise InputError(unknown("recipe", name, RECIPES), "recipe" if isinstance(value, str) else "recipe.base")
    with inside("recipe"):
        return replace(RECIPES[name], **check_arguments('"recipe"', fields_of(Recipe), options))


def _with_profiles(data: PlainMapping, folder: Path) -> PlainDict:
    """A study's data with the device profiles that its budgets name, in place of their files' names: a run hangs on
    nothing that may change or move."""
    data = dict(data)
    if isinstance(data.get("scale"), Mapping):
        with inside("scale"):
            data["scale"] = _with_profile(data["scale"], folder)
    return _with_profile(data, folder)


def _with_profile(data: PlainMapping, folder: Path) -> PlainDict:
    budget = data.get("budget")
    if not isinstance(budget, Mapping) or not isinstance(budget.get("device"), str):
        return dict(data)
    with inside("budget"):
        return {**data, "budget": {**budget, "device": read_profile(budget["device"], folder).to_dict()}}
