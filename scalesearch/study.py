"""`Study`: what a person asks for in one YAML file, checked whole before anything starts; and the trial log of its run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from scalesearch import yamlfile, zoo
from scalesearch.adapting import adapt, adapted_strides
from scalesearch.arch import Arch
from scalesearch.blocks import BLOCKS
from scalesearch.counting import Cost, cost, possible_cost
from scalesearch.data import SOURCES, Source, source
from scalesearch.errors import InputError, unknown
from scalesearch.leaves import inside
from scalesearch.recipe import RECIPES, Recipe
from scalesearch.scaling import MOST_FACTOR
from scalesearch.schema import named, space_from_dict
from scalesearch.search import searcher
from scalesearch.signature import Count, Natural, Resolution, Rule, check_arguments, fields_of
from scalesearch.space import Space
from scalesearch.trial import Trial

STEPS = ("base", "scale", "family", "compare")
Amount = Annotated[int, Rule(low=1, high=10**18)]


@dataclass(frozen=True)
class Budget:
    """Upper bounds of the base network's counted cost; nothing above them is ever trained."""

    macs: Amount | None = None
    params: Amount | None = None
    acts: Amount | None = None

    def broken_by(self, counted: Cost) -> bool:
        return any(bound is not None and getattr(counted, key) > bound for key, bound in asdict(self).items())

    def __str__(self) -> str:
        return ", ".join(f"{key} ≤ {bound:,}" for key, bound in asdict(self).items() if bound is not None)


@dataclass(frozen=True)
class Search:
    """The search for the base network: `with` which searcher, over how many trained trials of how many epochs."""

    with_: str = "evolution"
    trials: Count = 24
    epochs: Count | None = None


@dataclass(frozen=True)
class Scale:
    """The search for α, β, γ: the growth per unit of φ, and within which share of it a network counts as on budget."""

    factor: Annotated[float, Rule(low=1.1, high=16)] = 2.0
    with_: str = "tpe"
    trials: Count = 18
    tolerance: Annotated[float, Rule(low=0, high=0.5)] = 0.02
    epochs: Count | None = None


@dataclass(frozen=True)
class Family:
    """The members to emit, by φ."""

    phi: tuple[Annotated[float, Rule(low=0, high=10)], ...] = (0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Resources:
    """What one trial takes of the Ray cluster."""

    cpus_per_trial: Annotated[float, Rule(low=0.1, high=10_000)] = 1.0
    gpus_per_trial: Annotated[float, Rule(low=0, high=1_000)] = 0.0


@dataclass(frozen=True)
class Study:
    """A base search, a scaling search, a family and a comparison, under one recipe on one data set.

    `parallel` proposals are asked for before the result of the first of them must be known. It belongs to the study and
    not to the machine, so that a study's outcome does not depend on how many trials run at a time.
    """

    name: str
    space: Space
    data: Source
    resolution: int
    budget: Budget
    search: Search
    scale: Scale
    family: Family
    compare: tuple[str, ...]
    recipe: Recipe
    seeds: tuple[int, ...]
    parallel: int
    ray: Resources
    document: dict[str, Any] = field(repr=False)

    @property
    def digest(self) -> str:
        return document_digest(self.document)

    def recipe_of(self, step: str) -> Recipe:
        """The recipe of a step: searches may train for fewer epochs."""
        epochs = {"base": self.search.epochs, "scale": self.scale.epochs}.get(step)
        return replace(self.recipe, epochs=epochs) if epochs else self.recipe

    @cached_property
    def hand_built(self) -> dict[str, Arch]:
        """The architectures to compare with, each brought to the data by the same rule."""
        return {name: adapt(zoo.model(name), resolution=self.resolution, classes=self.data.classes,
                            channels=self.data.channels) for name in self.compare}

    @cached_property
    def adapted_space(self) -> Space:
        return self.space.adapted(resolution=self.resolution, classes=self.data.classes, channels=self.data.channels)

    @property
    def total_trials(self) -> int:
        """Most trials the study trains; fewer where a space has no more distinct networks."""
        return (self.search.trials + self.scale.trials
                + len(self.seeds) * (len(self.family.phi) + len(self.hand_built)))


def document_digest(document: Mapping[str, Any]) -> str:
    """16 hex digits that name what a study asks for, wherever it runs."""
    asked = {key: value for key, value in document.items() if key != "ray"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def study_keys(*, space: dict | str, budget: dict, data: str = "digits", name: str | None = None, resolution: Resolution | None = None,
           search: dict | None = None, scale: dict | None = None, family: dict | None = None,
           compare: tuple[str, ...] = (), recipe: dict | str = "quick", seeds: tuple[Natural, ...] = (0,),
           parallel: Count = 4, ray: dict | None = None) -> None:
    """The keys of a study file."""


def load_study(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """The study in the YAML file at `path`, with `overrides` (`{"search.trials": 4}`) laid over it.

    Raises `InputError` with file and line for anything wrong in the study or in the space that it names.
    """
    document = yamlfile.read(path)
    with document.located():
        for dotted, value in (overrides or {}).items():
            _override(document.data, dotted, value)
        data = document.data
        given = check_arguments("a study", fields_of(study_keys), data)
        space_data, space, located = _space(data["space"], document.path.parent)
        study = _assemble(given, {**data, "space": space_data}, space, document.path.stem)
        with located():
            _check_some_network(study.adapted_space)
        for name, arch in study.hand_built.items():
            _check_task(arch, f"compare: {name}")
            cost(arch)
        return study


def _check_some_network(space: Space) -> None:
    """Raises `InputError` where the shapes of none of some networks meet, or where they are no classifiers."""
    drawn = [space.sample(seed)[1] for seed in range(32)]
    _check_task(drawn[0], "head")
    if all(possible_cost(arch) is None for arch in drawn):
        cost(drawn[0])


def _check_task(arch: Arch, place: str) -> None:
    if BLOCKS[arch.head.kind].task != "classification":
        raise InputError(f"{arch.name} is a detector; studies train classifiers", place)


def _space(value: dict[str, Any] | str, folder: Path) -> tuple[dict[str, Any], Space, Callable]:
    """The space written in the study, or in the file that it names, and what puts its faults where they stand."""
    if isinstance(value, dict):
        with inside("space"):
            return value, space_from_dict(value), lambda: inside("space")
    document = yamlfile.read(folder / value)
    with document.located():
        return document.data, space_from_dict(document.data), document.located


def _override(data: dict[str, Any], dotted: str, value: Any) -> None:
    *outer, last = dotted.split(".")
    for key in outer:
        if key == "recipe" and isinstance(data.get(key), str):
            data[key] = {"base": data[key]}
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise InputError(f'--set {dotted}: "{key}" is not a mapping')
    data[last] = value


def _section(kind: type, data: Mapping[str, Any] | None, name: str) -> Any:
    """A dataclass out of its mapping; `with_` is written `with` in YAML."""
    with inside(name):
        fields = {key.rstrip("_"): field for key, field in fields_of(kind).items()}
        given = check_arguments(f'"{name}"', fields, data or {})
        return kind(**{key + "_" * (key == "with"): value for key, value in given.items()})


def _recipe(value: str | Mapping[str, Any]) -> Recipe:
    options = {"base": value} if isinstance(value, str) else dict(value)
    base = options.pop("base", "quick")
    if not isinstance(base, str) or base not in RECIPES:
        raise InputError(unknown("recipe", base, RECIPES), "recipe" if isinstance(value, str) else "recipe.base")
    with inside("recipe"):
        return replace(RECIPES[base], **check_arguments('"recipe"', fields_of(Recipe), options))


def _named(what: str, name: str, known: Any, place: str) -> str:
    if name not in known:
        raise InputError(unknown(what, name, known), place)
    return name


def _distinct(values: tuple, place: str) -> None:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise InputError(f"{value} stands there twice", f"{place}[{i}]")


def _assemble(given: dict[str, Any], document: dict[str, Any], space: Space, stem: str) -> Study:
    data = source(_named("data set", given.get("data", "digits"), SOURCES, "data"))
    search = _section(Search, given.get("search"), "search")
    scale = _section(Scale, given.get("scale"), "scale")
    for section, name in ((search, "search"), (scale, "scale")):
        with inside(f"{name}.with"):
            searcher(section.with_)
    if scale.trials < 4:
        raise InputError(f"must be at least 4, got {scale.trials}: EfficientNet's coefficients, depth, width and resolution "
                         "alone are always among them", "scale.trials")
    budget = _section(Budget, given["budget"], "budget")
    if budget == Budget():
        raise InputError("needs a bound: macs, params or acts", "budget")
    compare = given.get("compare", ())
    for i, name in enumerate(compare):
        _named("model", name, zoo.MODELS, f"compare[{i}]")
    seeds, family = given.get("seeds", (0,)), _section(Family, given.get("family"), "family")
    for place, values in (("seeds", seeds), ("compare", compare), ("family.phi", family.phi)):
        _distinct(values, place)
    largest = scale.factor ** max(family.phi, default=0)
    if largest > MOST_FACTOR:
        raise InputError(f"the largest member would have {largest:,.0f} times the base's MACs; at most {MOST_FACTOR:,} times",
                         "family.phi")
    if not seeds:
        raise InputError("takes a list of at least one seed, got []", "seeds")
    resolution = given.get("resolution") or data.resolution
    with inside("" if given.get("name") else "the file's name, which names the study,"):
        name = named(given.get("name") or stem)
    study = Study(
        name, space, data, resolution, budget, search, scale,
        family, compare, _recipe(given.get("recipe", "quick")), seeds,
        given.get("parallel", 4), _section(Resources, given.get("ray"), "ray"), {**document, "name": name})
    adapted_strides([], resolution)  # images too small for any network
    return study


class TrialLog:
    """`trials.jsonl`: one line per trial, appended and synced to disk before anybody acts on it.

    A last line cut off by a kill is dropped when the log is opened again (`repair`), and passed over by a mere reader.
    """

    def __init__(self, path: Path, repair: bool = True):
        self.path = path
        self.trials: dict[tuple[str, int], Trial] = {}
        if path.exists():
            self._read(repair)

    def _read(self, repair: bool) -> None:
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        for i, line in enumerate(whole[:end].splitlines()):
            try:
                trial = Trial(**json.loads(line))
                if trial.step not in STEPS:
                    raise ValueError(trial.step)
            except (ValueError, TypeError):
                raise yamlfile.fault("is no trial; the log was edited or is of another version", self.path, i + 1) from None
            self.trials[trial.step, trial.number] = trial
        if repair and end < len(whole):
            with open(self.path, "r+b") as file:
                file.truncate(end)

    def append(self, trial: Trial) -> None:
        with open(self.path, "ab") as file:
            whole = file.tell()
            try:
                file.write(json.dumps(trial.to_dict(), ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError:  # a full disk must not leave half a line for the next one to follow
                file.truncate(whole)
                raise
        self.trials[trial.step, trial.number] = trial

    def of(self, step: str) -> list[Trial]:
        """The step's trials in the order of their numbers."""
        return sorted((t for t in self.trials.values() if t.step == step), key=lambda t: t.number)

    def __iter__(self) -> Iterator[Trial]:
        return iter(sorted(self.trials.values(), key=lambda t: (STEPS.index(t.step), t.number)))

