"""`Study`: what a person asks for in one YAML file, checked whole before anything starts; and the trial log of its run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from scalesearch import yamlfile
from scalesearch.zoo import MODELS, Networks
from scalesearch.arch import adapt, adapted_strides
from scalesearch.arch import Arch
from scalesearch.arch import BLOCKS
from scalesearch.budget import QUANTITIES, Budget, budget_of, relative_to
from scalesearch.counting import cost, possible_cost
from scalesearch.data import SOURCES, Source, source
from scalesearch.errors import InputError, shown, unknown
from scalesearch.searchers import Scheduler
from scalesearch.space import inside
from scalesearch.counting import profile_in
from scalesearch.training import PROXIES, RECIPES, Recipe
from scalesearch.scaling import MOST_FACTOR
from scalesearch.space import named, space_from_dict
from scalesearch.searchers import DEFAULT, check_searcher
from scalesearch.signature import Count, Natural, Resolution, Rule, check_arguments, fields_of
from scalesearch.space import Space

OBJECTIVES = ("accuracy", *QUANTITIES)


@dataclass(frozen=True)
class Search:
    """The search for the base network: `with` which searcher, over how many networks, trained for how many epochs.

    `objective` is accuracy, alone or beside counted quantities to be small. `proxies` are computed of every network before
    it is trained; `screen` so many networks are drawn first and judged by proxies alone, and the best of them are trained
    first. With `inherit`, a network starts from the weights of the blocks that it shares with an earlier one.
    """

    with_: str = DEFAULT
    trials: Count = 24
    epochs: Count | None = None
    objective: tuple[str, ...] = ("accuracy",)
    scheduler: dict | None = None
    proxies: tuple[str, ...] = PROXIES
    screen: Natural = 0
    inherit: bool = False

    @property
    def halving(self) -> Scheduler:
        return section(Scheduler, self.scheduler, "scheduler")

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives beside accuracy."""
        return tuple(name for name in self.objective if name != "accuracy")

    def check(self) -> None:
        """Raises `InputError` for a searcher, scheduler, objective or proxy that there is not."""
        for i, name in enumerate(self.objective):
            if name not in OBJECTIVES:
                raise InputError(unknown("objective", name, OBJECTIVES), f"objective[{i}]")
        if "accuracy" not in self.objective:
            raise InputError("must hold accuracy, alone or beside quantities to be small", "objective")
        distinct(self.objective, "objective")
        with inside("with"):
            check_searcher(self.with_, len(self.objective))
        for i, name in enumerate(self.proxies):
            if name not in PROXIES:
                raise InputError(unknown("proxy", name, PROXIES), f"proxies[{i}]")
        if self.screen and not self.proxies:
            raise InputError("needs proxies to judge by", "screen")
        halving = self.halving
        with inside("scheduler"):
            halving.check()


@dataclass(frozen=True)
class Finalists:
    """The `top` networks of the base search, trained again under the final recipe with each of `seeds`; the best mean becomes
    the base."""

    top: Natural = 2
    seeds: tuple[Natural, ...] = (0, 1)


@dataclass(frozen=True)
class Scale:
    """The search for α, β, γ: the growth per unit of φ, and within which share of it a network counts as on budget.

    `phi` beyond 1 trains `transfer` of the ways that were tried at φ = 1 at those sizes too, to see whether the choice
    carries over. `budget` are further bounds on the networks at φ = 1, relative ones as `1.5x base`.
    """

    factor: Annotated[float, Rule(low=1.1, high=16)] = 2.0
    with_: str = DEFAULT
    trials: Count = 18
    tolerance: Annotated[float, Rule(low=0, high=0.5)] = 0.02
    epochs: Count | None = None
    phi: tuple[Annotated[float, Rule(low=1, high=10)], ...] = (1.0,)
    transfer: Annotated[int, Rule(low=3, high=1000)] = 5
    budget: dict | None = None

    def check(self) -> None:
        """Raises `InputError` for a searcher that there is not, and too few trials for the presets."""
        with inside("with"):
            check_searcher(self.with_)
        if self.trials < 4:
            raise InputError(f"must be at least 4, got {self.trials}: EfficientNet's coefficients, depth, width and resolution "
                             "alone are always among them", "trials")
        if 1 not in self.phi:
            raise InputError("must hold 1, where the coefficients are searched", "phi")
        distinct(self.phi, "phi")


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
    finalists: Finalists
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
        searching = ("screen", "base", "control")
        epochs = self.search.epochs if step in searching else self.scale.epochs if step in ("scale", "transfer") else None
        return replace(self.recipe, epochs=epochs) if epochs else self.recipe

    @cached_property
    def hand_built(self) -> dict[str, Arch]:
        """The architectures to compare with, each brought to the data by the same rule."""
        return {name: self.networks[name] for name in self.compare}

    @property
    def networks(self) -> Mapping[str, Arch]:
        """The zoo brought to the data: what a relative bound may name."""
        return _adapted_zoo(self.resolution, self.data)

    @cached_property
    def adapted_space(self) -> Space:
        return self.space.adapted(resolution=self.resolution, classes=self.data.classes, channels=self.data.channels)

    @property
    def planned(self) -> dict[str, int]:
        """Most trials that each step trains; fewer where a space has no more distinct networks."""
        search, scale, seeds = self.search, self.scale, len(self.seeds)
        promoted = sum(search.trials // search.halving.eta**k for k in range(1, len(self.rungs)))
        return {"screen": search.screen, "base": search.trials + promoted, "control": self.controls,
                "finalists": self.finalists.top * len(self.finalists.seeds), "scale": scale.trials,
                "transfer": scale.transfer * (len(scale.phi) - 1), "family": seeds * len(self.family.phi),
                "compare": seeds * len(self.hand_built)}

    @property
    def total_trials(self) -> int:
        return sum(self.planned.values())

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which the base search compares."""
        return self.search.halving.rungs(self.recipe_of("base").epochs)

    @property
    def controls(self) -> int:
        """Networks of a search with inherited weights that are trained from nothing too."""
        return max(3, min(8, self.search.trials // 2)) if self.search.inherit else 0


def document_digest(document: Mapping[str, Any]) -> str:
    """16 hex digits that name what a study asks for, wherever it runs."""
    asked = {key: value for key, value in document.items() if key != "ray"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def document_difference(there: Any, wanted: Any, place: str = "") -> str:
    """Where two documents first differ, in words."""
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys([*there, *wanted]):
            if key != "ray" and there.get(key) != wanted.get(key):
                return document_difference(there.get(key), wanted.get(key), f"{place}.{key}".lstrip("."))
    return f"{place} was {shown(there)}, is {shown(wanted)}"


def study_keys(*, space: dict | str, budget: dict, data: str = "digits", name: str | None = None, resolution: Resolution | None = None,
           search: dict | None = None, finalists: dict | None = None, scale: dict | None = None, family: dict | None = None,
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
            override(document.data, dotted, value)
        data = _with_profiles(document.data, document.path.parent)
        given = check_arguments("a study", fields_of(study_keys), data)
        space_data, space, located = read_space(data["space"], document.path.parent)
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


def read_space(value: dict[str, Any] | str, folder: Path) -> tuple[dict[str, Any], Space, Callable]:
    """The space written in the study, or in the file that it names, and what puts its faults where they stand."""
    if isinstance(value, dict):
        with inside("space"):
            return value, space_from_dict(value), lambda: inside("space")
    document = yamlfile.read(folder / value)
    with document.located():
        return document.data, space_from_dict(document.data), document.located


def override(data: dict[str, Any], dotted: str, value: Any) -> None:
    *outer, last = dotted.split(".")
    for key in outer:
        if key == "recipe" and isinstance(data.get(key), str):
            data[key] = {"base": data[key]}
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise InputError(f'--set {dotted}: "{key}" is not a mapping')
    data[last] = value


def section(kind: type, data: Mapping[str, Any] | None, name: str) -> Any:
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


def distinct(values: tuple, place: str) -> None:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise InputError(f"{value} stands there twice", f"{place}[{i}]")


def _adapted_zoo(resolution: int, data: Source) -> Mapping[str, Arch]:
    """The zoo by name, each network brought to the data."""
    return Networks(lambda arch: adapt(arch, resolution=resolution, classes=data.classes, channels=data.channels))


def _with_profiles(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A study's data with the device profiles that its budgets name, in place of their files' names: a run hangs on nothing
    that may change or move."""
    data = dict(data)
    if isinstance(data.get("scale"), Mapping):
        with inside("scale"):
            data["scale"] = _with_profile(data["scale"], folder)
    return _with_profile(data, folder)


def _with_profile(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    budget = data.get("budget")
    if not isinstance(budget, Mapping) or not isinstance(budget.get("device"), str):
        return dict(data)
    with inside("budget"):
        return {**data, "budget": {**budget, "device": profile_in(budget["device"], folder).to_dict()}}


def _assemble(given: dict[str, Any], document: dict[str, Any], space: Space, stem: str) -> Study:
    data = source(_named("data set", given.get("data", "digits"), SOURCES, "data"))
    search = section(Search, given.get("search"), "search")
    scale = section(Scale, given.get("scale"), "scale")
    finalists = section(Finalists, given.get("finalists"), "finalists")
    for checked, name in ((search, "search"), (scale, "scale")):
        with inside(name):
            checked.check()
    if finalists.top and not finalists.seeds:
        raise InputError("takes a list of at least one seed, got []", "finalists.seeds")
    distinct(finalists.seeds, "finalists.seeds")
    compare = given.get("compare", ())
    for i, name in enumerate(compare):
        _named("model", name, MODELS, f"compare[{i}]")
    seeds, family = given.get("seeds", (0,)), section(Family, given.get("family"), "family")
    for place, values in (("seeds", seeds), ("compare", compare), ("family.phi", family.phi)):
        distinct(values, place)
    largest = scale.factor ** max(family.phi, default=0)
    if largest > MOST_FACTOR:
        raise InputError(f"the largest member would have {largest:,.0f} times the base's MACs; at most {MOST_FACTOR:,} times",
                         "family.phi")
    if not seeds:
        raise InputError("takes a list of at least one seed, got []", "seeds")
    resolution = given.get("resolution") or data.resolution
    with inside("" if given.get("name") else "the file's name, which names the study,"):
        name = named(given.get("name") or stem)
    networks = _adapted_zoo(resolution, data)
    with inside("budget"):
        budget = budget_of(given["budget"], relative_to(networks))
    if not budget.bounds:
        raise InputError(f"needs a bound: {', '.join(QUANTITIES)}", "budget")
    with inside("search.objective"):
        budget.check_measurable(search.costs)
    with inside("scale.budget"):  # what the base counts is known when it is found
        budget_of(scale.budget or {}, lambda name, key: 1.0 if name == "base" else relative_to(networks)(name, key))
    study = Study(
        name, space, data, resolution, budget, search, finalists, scale,
        family, compare, _recipe(given.get("recipe", "quick")), seeds,
        given.get("parallel", 4), section(Resources, given.get("ray"), "ray"), {**document, "name": name})
    adapted_strides([], resolution)  # images too small for any network
    return study
