"""Reads a study's file into a `Study`; every fault is reported with its place before anything starts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from scalesearch.arch import Strides, adapted_strides, as_resolution, head_task, sides
from scalesearch.budget import QUANTITIES, Budget, budget_from_dict, parse_bound, reference_quantities
from scalesearch.counting import cost, cost_or_none, read_profile
from scalesearch.data import Source, absolute_source as absolute_data, source
from scalesearch.errors import Faults, InputError, as_one, check_distinct, errors_at, format_value, unknown_message
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers import read_table
from scalesearch.signature import Count, Field, Natural, Rule, Sides, check_arguments, fields_of, parse_section
from scalesearch.space import Space, check_name, space_from_dict
from scalesearch.study.document import apply_settings
from scalesearch.study.evaluators import EVALUATORS
from scalesearch.study.models import embed_models
from scalesearch.study.recipes import DEFAULT_RECIPE, embed_recipes, named_recipes, parse_recipe
from scalesearch.study.shipped_studies import find_study
from scalesearch.study.steps import MEASURES, STEPS, base, family, fidelity, rows, scale
from scalesearch.study.study import Resources, Study, adapted_zoo
from scalesearch.study.tables import Columns, Rows
from scalesearch.training import Training
from scalesearch.trials import TASKS, Recipe, Task
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
    strides: Strides = "fitted",
    recipe: PlainDict | str = DEFAULT_RECIPE,
    recipes: PlainDict | None = None,
    seeds: tuple[Natural, ...] = (0,),
    parallel: Count = 4,
    ray: PlainDict | None = None,
    init: str | None = None,
    models: PlainDict | None = None,
    evaluator: str = "training",
) -> None:
    """Declares the keys of a study that trains, beside its steps' sections.

    Args:
        space: The file of the space, or the space itself.
        budget: The bounds that no network may exceed; of `hours` the whole run is planned.
        data: The images: a name, a path, or a mapping with `source` and how it is split.
        name: The name of the family; the file's by default.
        task: What the networks are for; the space's head decides by default.
        resolution: Input resolution in pixels, a side or height and width; the data's by default.
        strides: `fitted` lowers the networks' earliest strides where images are small; `native` keeps them.
        recipe: How networks are trained: a recipe's name, or a mapping with `base` and what differs from it.
        recipes: Recipes of the study's own, by name.
        seeds: The seeds of the family's and the hand-built networks' trainings.
        parallel: How many proposals of a search are open at a time.
        ray: What a trial takes of the machine or the cluster, and limits of the whole run.
        init: The folder of a trained network whose weights trials start from, where they share them.
        models: Networks that the study names, by name, as architectures.
        evaluator: What scores the networks; `training`, or one that is registered.
    """


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
    """Declares the keys of a study of a table, beside its steps' sections.

    Args:
        table: The file of the table and what its columns mean.
        name: The name of the study; the file's by default.
        budget: Bounds on columns that are known without training.
        seeds: The seeds of the searches.
        space: The space that the table's rows are networks of, if any.
        parallel: How many proposals of a search are open at a time.
        ray: Limits of the whole run.
    """


# adds to a fault the file and line, or the section, that it is in
FaultLocator = Callable[[], AbstractContextManager[None]]
STUDY_KEYS: dict[str, Callable[..., object]] = {"training": _training_keys, "table": _table_keys}


def study_kind(data: PlainMapping) -> str:
    """Returns `table` for the data of a study of a table, else `training`."""
    return "table" if "table" in data else "training"


def study_fields(kind: str) -> dict[str, Field]:
    """Returns the keys of a study's file: its own, and a section for each step that has options.

    Args:
        kind: `training` or `table`.
    """
    fields = dict(fields_of(STUDY_KEYS[kind]))
    for step in STEPS[kind]:
        if step.options is not None:
            kinds = fields_of(step.options)[step.list_field].types if step.list_field else ()
            fields[step.key] = Field(step.key, (*kinds, dict, type(None)), Rule(), None)
    return fields


def load_study(path: str | Path, overrides: PlainMapping | None = None, known_data: Source | None = None) -> Study:
    """Returns the study in the YAML file at `path`.

    Args:
        path: The file, or the name of a study that ships with the package.
        overrides: Dotted keys and values that replace the file's: `{"search.trials": 4}`.
        known_data: The facts of the data, if it was read before; it is then not read again.

    Raises:
        InputError: With file and line, for anything wrong in the study or in the space that it names, and for columns
            that its table lacks.
    """
    document = read(find_study(path))
    _check_settings(overrides or {}, study_kind(document.data))
    with document.errors_located():
        apply_settings(document.data, overrides or {})
        kind = study_kind(document.data)
        # otherwise bounds are on columns, and `device` may be one
        has_networks = kind == "training" or "space" in document.data
        data = _embed_profiles(document.data, document.path.parent) if has_networks else document.data
        data = embed_recipes(embed_models(data, document.path.parent)) if kind == "training" else data
        try:
            keys = _check_keys(kind, data)
            if kind == "training":
                study = _training_study(keys, data, document, known_data)
            else:
                study = _table_study(keys, data, document)
            faults = Faults()
            for step in study.steps:
                with faults.part():
                    step.check(study)
            faults.check()
        except InputError as error:
            found = as_one([error, *_faults_of_sections(kind, data, document)])
            raise as_one([_of_setting(fault, overrides or {}) for fault in found.faults]) from None
        return replace(study, located=document.errors_located)


def _check_keys(kind: str, data: PlainMapping) -> PlainDict:
    """Returns the values of a study's keys, each in its own type."""
    faults, keys = Faults(), dict(data)
    with faults.part():
        keys = check_arguments("a study" if kind == "training" else "a table study", study_fields(kind), data)
    for key, names in (("evaluator", EVALUATORS), ("task", TASKS)):
        with faults.part():
            if isinstance(keys.get(key), str) and keys[key] not in names:
                raise InputError(unknown_message(key, keys[key], names), key)
    with faults.part():
        if isinstance(keys.get("seeds"), list | tuple):
            check_distinct(keys["seeds"], "seeds")
            if not keys["seeds"]:
                raise InputError("takes a list of at least one seed, got []", "seeds")
    with faults.part():
        if isinstance(keys.get("name"), str):
            check_name(keys["name"])
    faults.check()
    return keys


def _faults_of_sections(kind: str, data: PlainMapping, document: Document) -> list[InputError]:
    """Returns the faults of those sections that can be read without the others."""
    folder = document.path.parent
    readers: dict[str, Callable[[Any], object]] = {
        "budget": lambda bounds: budget_from_dict(
            {key: value for key, value in bounds.items() if key != "hours"}, lambda name, key: math.nan
        ),
        "data": lambda value: source(absolute_data(value, folder)),
        "ray": lambda value: parse_section(Resources, value, "ray"),
        "recipe": lambda value: parse_recipe(value, named_recipes(data.get("recipes"))),
        "recipes": named_recipes,
        "space": lambda value: read_space(value, folder),
    }
    if kind == "table":
        readers = {"ray": readers["ray"], "table": lambda value: parse_section(Columns, value, "table")}
    readers |= {step.key: step.read for step in STEPS[kind] if step.options is not None}
    found, fields = [], study_fields(kind)
    for key, read_section in readers.items():
        try:
            if data.get(key) is not None:
                fields[key].check(data[key])
                with errors_at("budget" if key == "budget" else ""):
                    read_section(data[key])
        except InputError as error:
            found.append(error)
    return found


def _check_settings(settings: PlainMapping, kind: str) -> None:
    """Raises `InputError`, placed at the setting, for a key that no study has; names the sections that have it."""
    fields = study_fields(kind)
    for dotted in settings:
        key = dotted.split(".")[0]
        if key in fields or key in ("preset", "presets"):
            continue
        if places := settings_named(key, kind):
            raise InputError(f"a study has no such key; it has {' and '.join(places)}", f"--set {dotted}")
        raise InputError(unknown_message("key of a study", key, fields), f"--set {dotted}")


def settings_named(key: str, kind: str = "training") -> list[str]:
    """Returns the dotted keys of a study's sections that end in `key`: `recipe.epochs` and others for `epochs`."""
    sections: dict[str, Any] = {step.key: step.options for step in STEPS[kind] if step.options is not None}
    sections |= {"recipe": Recipe, "ray": Resources} if kind == "training" else {"ray": Resources}
    return sorted(f"{name}.{key}" for name, options in sections.items() if key in fields_of(options))


def _of_setting(fault: InputError, settings: PlainMapping) -> InputError:
    """Returns a fault of a value that `--set` has given, placed there and not in the file; others as they are."""
    given = any(re.match(re.escape(key) + r"(?![^.\[])", fault.place) for key in settings)
    return fault.in_file("--set") if given and not fault.in_a_file else fault


def _training_study(keys: PlainMapping, data: PlainMapping, document: Document, known_data: Source | None) -> Study:
    space_data, space, locate_faults = read_space(data["space"], document.path.parent)
    with locate_faults():
        task = _task(keys.get("task"), space)
    sections = _sections("training", keys)
    options: base.Options = sections[base.Options]
    keys = {**keys, "data": absolute_data(keys.get("data", "digits"), document.path.parent)}
    recipes = named_recipes(keys.get("recipes"))
    training = _training(keys, task, sections, recipes, known_data)
    data = {**data, "data": keys["data"]} if "data" in data else data
    if keys.get("init"):
        data = {**data, "init": _init_folder(keys["init"], document.path.parent)}
        training = replace(training, init=True)
    single_step = MEASURES.get(sections[fidelity.Options].measure)
    study = Study(
        **_common_fields(keys, document, 4),
        steps=(single_step,) if single_step else STEPS["training"],
        sections=sections,
        space=space,
        training=training,
        objectives=options.costs(training.task.score),
        evaluated_by=keys.get("evaluator", "training"),
        strides=keys.get("strides", "fitted"),
        recipes=recipes,
        document={**data, "space": space_data},
    )
    with errors_at("budget"):
        bounds = dict(keys["budget"])
        hours = bounds.pop("hours", 0.0)
        if isinstance(hours, bool) or not isinstance(hours, int | float) or not (0 <= hours < 1e6):
            raise InputError(f"takes a number of hours, got {format_value(hours)}", "hours")
        networks = adapted_zoo(training, data.get("models"), study.strides)
        budget = budget_from_dict(bounds, reference_quantities(networks))
        if not budget.bounds:
            raise InputError(f"needs a bound: {', '.join(QUANTITIES)}")
    adapted_strides([], training.resolution)  # images too small for any network
    training = replace(training, timed=budget.profile is not None)
    named_document = {**study.document, "name": study.name}
    study = replace(study, budget=budget, hours=float(hours), training=training, document=named_document)
    with locate_faults():
        _check_networks(study)
    with errors_at("recipe"):
        training.recipe.frozen_levels(len(space.sample_unchecked(Random(0))[1].stages))
        task.check_recipe(training.recipe)
    return study


def _training(
    keys: PlainMapping,
    task: Task,
    sections: Mapping[type, Any],
    recipes: Mapping[str, Recipe],
    known_data: Source | None,
) -> Training:
    """Returns how the study trains.

    Images are stored at the largest resolution that a member of the family may need: where resolution alone grows.
    """
    data = known_data or source(keys["data"])
    if data.task != task.name:
        raise InputError(f"{data.name} has labels for {data.task}, and the study is for {task.name}", "data")
    resolution = as_resolution(sides(keys.get("resolution") or data.resolution))
    growth: scale.Options = sections[scale.Options]
    largest = growth.factor ** (max((*sections[family.Options].phi, *growth.phi)) / 2)
    stored_resolution = as_resolution(tuple(math.ceil(side * largest) for side in sides(resolution)))
    data = known_data or source(keys["data"], stored_resolution)
    return Training(task, data, resolution, parse_recipe(keys.get("recipe", DEFAULT_RECIPE), recipes))


def _task(task_name: str | None, space: Space) -> Task:
    """Returns the task that the study names, else the one that the space's heads are for."""
    arch = space.sample_unchecked(Random(0))[1]  # even if its shapes do not fit
    name = head_task(arch) if task_name is None else task_name
    if name not in TASKS:
        raise InputError(f"{arch.name} is for {name}; studies train for {', '.join(TASKS)}", "head")
    return TASKS[name]


def _table_study(keys: PlainMapping, data: PlainMapping, document: Document) -> Study:
    columns = parse_section(Columns, keys["table"], "table")
    sections = _sections("table", keys)
    common, study_document, space = _common_fields(keys, document, 1), dict(data), None
    if keys.get("space") is None and not columns.decisions:
        raise InputError(
            "needs the columns that are decisions, or a space whose decisions are columns", "table.decisions"
        )
    if keys.get("space") is not None:
        study_document["space"], space, _ = read_space(keys["space"], document.path.parent)
        for place in ("decisions", "numbers", "same"):
            if getattr(columns, place):
                raise InputError("is given by the space; leave it out, or leave out the space", f"table.{place}")
    with errors_at("table"):
        table = read_table(columns.file, document.path.parent)
        for place in ("score", "final"):
            if getattr(columns, place):
                table.column(getattr(columns, place), place)
    study_document |= {"name": common["name"], "table": {**data["table"], "file": str(table.path.resolve())}}
    options: rows.Options = sections[rows.Options]
    with errors_at("budget"):
        bounds = keys.get("budget") or {}
        if space:
            budget = budget_from_dict(bounds)
        else:
            budget = Budget({key: parse_bound(value, key) for key, value in bounds.items()})
    return Study(
        **common,
        steps=STEPS["table"],
        sections=sections,
        space=space,
        rows=Rows(table, columns),
        budget=budget,
        objectives=options.objective,
        evaluated_by="table",
        document=study_document,
    )


def _common_fields(keys: PlainMapping, document: Document, parallel: int) -> PlainDict:
    """Returns the fields that every study has."""
    with errors_at("" if keys.get("name") else "the file's name, which names the study,"):
        name = check_name(keys.get("name") or document.path.stem)
    return {
        "name": name,
        "seeds": keys.get("seeds", (0,)),
        "parallel": keys.get("parallel", parallel),
        "ray": parse_section(Resources, keys.get("ray"), "ray"),
    }


def _sections(kind: str, keys: PlainMapping) -> dict[type, Any]:
    return {step.options: step.read(keys.get(step.key)) for step in STEPS[kind] if step.options is not None}


def _check_networks(study: Study) -> None:
    """Raises `InputError` if networks drawn from the space are for another task, or if none of them can be counted."""
    archs = [study.adapted_space.sample(seed)[1] for seed in range(32)]
    study.trained.task.check(archs[0], "head")
    if all(cost_or_none(arch) is None for arch in archs):
        cost(archs[0])


def read_space(value: PlainDict | str, folder: Path) -> tuple[PlainDict, Space, FaultLocator]:
    """Returns the space of a study: its data, the space, and a context manager that locates faults in it.

    Args:
        value: The space as a mapping, or the path of its file relative to `folder`.
        folder: The folder of the study's file.

    Raises:
        InputError: With its place, for anything wrong in the space.
    """
    if isinstance(value, dict):
        with errors_at("space"):
            return value, space_from_dict(value), lambda: errors_at("space")
    document = read(folder / value)
    with document.errors_located():
        return document.data, space_from_dict(document.data), document.errors_located


def _init_folder(init: str, folder: Path) -> str:
    """Returns the absolute path of the trained network's folder whose weights trainings start from.

    Raises `InputError` if it is no such folder.
    """
    path = (folder / Path(init).expanduser()).resolve()
    if (folder / "weights" / "init.safetensors").exists():
        return str(path)  # a run has its own copy
    with errors_at("init"):
        if find_in_folder(path, WEIGHTS) is None or find_in_folder(path, "arch.yaml") is None:
            expected = "takes the folder of a trained network (arch.yaml, weights.safetensors)"
            raise InputError(f"{expected}, got {init!r}, which is no folder")
    return str(path)


def _embed_profiles(data: PlainMapping, folder: Path) -> PlainDict:
    """Returns a study's data with device profiles in place of the names of their files.

    A run then does not depend on files that may change or move.
    """
    data = dict(data)
    if isinstance(data.get("scale"), Mapping):
        with errors_at("scale"):
            data["scale"] = _embed_profile(data["scale"], folder)
    return _embed_profile(data, folder)


def _embed_profile(data: PlainMapping, folder: Path) -> PlainDict:
    budget = data.get("budget")
    if not isinstance(budget, Mapping) or not isinstance(budget.get("device"), str):
        return dict(data)
    with errors_at("budget"):
        return {**data, "budget": {**budget, "device": read_profile(budget["device"], folder).to_dict()}}
