"""`Study`: everything that a study's file asks for, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, TypeVar, cast

from scalesearch.arch import Arch, Strides, adapt
from scalesearch.budget import Budget
from scalesearch.errors import InputError, errors_at
from scalesearch.notebook import html_table
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers import Problem, SpaceProblem
from scalesearch.signature import Rule
from scalesearch.space import Space, arch_from_dict
from scalesearch.study.document import document_digest
from scalesearch.study.evaluators import EVALUATORS
from scalesearch.study.step import Step
from scalesearch.study.tables import Rows
from scalesearch.training import Training
from scalesearch.trials import RECIPES, Evaluator, Recipe
from scalesearch.zoo import MODELS, Networks

T = TypeVar("T")
AUTO = "auto"  # epochs: as few as rank networks like the full training


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Resources:
    """Holds what one trial takes of the Ray cluster, and limits for the whole run.

    Times are seconds, or text such as 90s, 30m, 2h, 1.5d.

    Attributes:
        cpus_per_trial: CPUs of one trial.
        gpus_per_trial: GPUs of one trial, a part of one or whole ones; several share every batch.
        resources: Amounts of the cluster's custom resources, by name.
        accelerator_type: A type of GPU, by Ray's name for it.
        save_every: Seconds between two checkpoints of a training.
        trial_timeout: The time after which a trial fails.
        max_wall_time: The time after which the run is saved and ends, including the time before a resume.
        max_gpu_hours: The GPU hours after which it does so, including those before a resume.
    """

    cpus_per_trial: Annotated[float, Rule(low=0.1, high=10_000)] = 1.0
    gpus_per_trial: Annotated[float, Rule(low=0, high=1_000)] = 0.0
    resources: PlainDict | None = None
    accelerator_type: str | None = None
    save_every: Annotated[float, Rule(low=0, high=1e6)] = 30.0
    trial_timeout: float | str | None = None
    max_wall_time: float | str | None = None
    max_gpu_hours: Annotated[float, Rule(low=0, high=1e9)] | None = None

    def __post_init__(self) -> None:
        for name in ("trial_timeout", "max_wall_time"):
            parse_seconds(getattr(self, name), name)
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise InputError(f"takes a part of one GPU or whole ones, got {self.gpus_per_trial:g}", "gpus_per_trial")
        for name, amount in (self.resources or {}).items():
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount < 1e9:
                raise InputError(f"takes an amount above 0, got {amount!r}", f"resources.{name}")

    @property
    def amounts(self) -> dict[str, float]:
        """The amounts that a trial takes of one node, by Ray's names."""
        kind = {f"accelerator_type:{self.accelerator_type}": 0.001} if self.accelerator_type else {}
        return {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial, **(self.resources or {}), **kind}

    def reached(self, wall: float, gpu: float) -> str:
        """Returns a phrase that names the limit that is used up; empty if none is.

        Args:
            wall: Seconds that the run has taken.
            gpu: GPU seconds that it has taken.
        """
        limit = parse_seconds(self.max_wall_time, "max_wall_time")
        if limit is not None and wall >= limit:
            return f"max_wall_time ({self.max_wall_time}) is used up"
        if self.max_gpu_hours is not None and gpu >= 3600 * self.max_gpu_hours:
            return f"max_gpu_hours ({self.max_gpu_hours:g}) are used up"
        return ""


def parse_seconds(time: float | str | None, place: str) -> float | None:
    """Returns a time as people write it (90, 90s, 30m, 2h, 1.5d) in seconds; None for None.

    Args:
        time: The time.
        place: The key that an error names.

    Raises:
        InputError: If it is no time, or not above 0.
    """
    if time is None:
        return None
    text = str(time).strip()
    unit = SECONDS.get(text[-1:])
    try:
        value = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e12:
        raise InputError(f"takes seconds, or a time as 90s, 30m, 2h or 1.5d; got {time!r}", place)
    return value


@dataclass(frozen=True, repr=False)
class Study:
    """Holds a checked study: what may be tried, what scores it, and the steps with their options.

    What may be tried is a `space`, or the `rows` of a table, inside the budget; `training`, or the table, scores it.

    Attributes:
        name: The name of the study.
        steps: The steps, in order.
        sections: The options of the steps, by their type.
        document: The study as plain data.
        seeds: The seeds; the first is that of searches.
        parallel: How many proposals are made before the result of the first of them must be known. It belongs to the
            study and not to the machine, so that the outcome does not depend on how many trials run at a time.
        ray: What a trial takes of the cluster, and the run's limits.
        objectives: Quantities to be minimised beside the score.
        space: The space that is searched.
        budget: The bounds on networks.
        training: How networks are trained; None for a study of a table.
        rows: The table that is searched; None for a study that trains.
        hours: The hours that the whole run may take, from which trials and epochs are planned; 0 for no such limit.
        evaluated_by: The name of the evaluator.
        strides: Whether the space and the hand-built networks are fitted to small images.
        recipes: The recipes that may be named: the presets, and those of the study's document.
    """

    name: str
    steps: tuple[Step, ...]
    sections: Mapping[type, Any] = field(repr=False)
    document: PlainDict = field(repr=False)
    seeds: tuple[int, ...] = (0,)
    parallel: int = 1
    ray: Resources = field(default_factory=Resources)
    objectives: tuple[str, ...] = ()
    space: Space | None = None
    budget: Budget = field(default_factory=Budget)
    training: Training | None = None
    rows: Rows | None = None
    hours: float = 0.0
    evaluated_by: str = "training"
    strides: Strides = "fitted"
    recipes: Mapping[str, Recipe] = field(default_factory=lambda: RECIPES, repr=False)
    located: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False, compare=False)

    def __repr__(self) -> str:
        what = f"rows of {self.rows.table.path.name}" if self.rows is not None else f"networks of {self.space_name}"
        data = f" on {self.training.data.name}" if self.training is not None else ""
        steps = ", ".join(step.name for step in self.steps if step.trials(self))
        return f"<Study {self.name!r}: {what}{data}; budget {self.budget or 'none'}; {steps}>"

    def _repr_html_(self) -> str:
        rows = [
            {"step": step.name, "networks": step.networks(self), "what": step.description(self)}
            for step in self.steps
            if step.trials(self)
        ]
        return html_table(repr(self)[1:-1], rows)

    @property
    def space_name(self) -> str:
        """The name of the space; empty for a study without one."""
        return self.space.name if self.space is not None else ""

    @property
    def digest(self) -> str:
        """16 hex digits that identify what the study asks for; the section `ray` has no part in them."""
        return document_digest(self.document)

    def options(self, kind: type[T]) -> T:
        """Returns the options of one section of the file, by their type."""
        return cast(T, self.sections[kind])

    @cached_property
    def problem(self) -> Problem:
        """The problem that its search solves. Raises `InputError` for missing columns and for empty bounds."""
        if self.rows is not None:
            return self.rows.problem(self.space, self.budget, self.objectives)
        return SpaceProblem(self.adapted_space, self.budget, self.objectives)

    @cached_property
    def evaluator(self) -> Evaluator:
        """The evaluator that the study names, which scores its jobs."""
        return EVALUATORS[self.evaluated_by](self)

    def recipe_of(self, step: str) -> Recipe:
        """Returns the recipe of a step, with the step's epochs unless these are `auto`."""
        epochs = next((s.epochs(self) for s in self.steps if s.name == step), None)
        return replace(self.trained.recipe, epochs=epochs) if isinstance(epochs, int) else self.trained.recipe

    @property
    def trained(self) -> Training:
        """The training of a study that trains; fails for a study of a table."""
        assert self.training is not None
        return self.training

    @cached_property
    def networks(self) -> Mapping[str, Arch]:
        """The zoo and the study's own models, adapted to the data, by name: `compare` and bounds refer to them."""
        return self.networks_with(self.strides)

    def networks_with(self, strides: Strides) -> Mapping[str, Arch]:
        """Returns the zoo and the study's own models as `networks` does, with fitted or native strides."""
        return adapted_zoo(self.trained, self.document.get("models"), strides)

    @cached_property
    def adapted_space(self) -> Space:
        """The space adapted to the resolution, classes and channels of the data."""
        assert self.space is not None
        data = self.trained.data
        return self.space.adapted(
            resolution=self.trained.resolution,
            classes=data.classes,
            channels=data.channels,
            strides=self.strides,
        )


def adapted_zoo(
    training: Training, models: PlainMapping | None = None, strides: Strides = "fitted"
) -> Mapping[str, Arch]:
    """Returns the zoo and a study's own models, by name, each network adapted to the data.

    Args:
        training: How the study trains, with its data and resolution.
        models: The architectures of the study's own models, as plain data by name.
        strides: Whether networks are fitted to small images, or keep their strides.

    Raises:
        InputError: With its place, for a model whose name is taken, or that is no network.
    """
    own_models = {}
    for name, spec in (models or {}).items():
        with errors_at(f"models.{name}"):
            if name in MODELS or name == "base":
                raise InputError("is a network's name already; give another one")
            own_models[name] = arch_from_dict({**spec, "name": name} if isinstance(spec, dict) else spec)

    def adapt_to_data(arch: Arch) -> Arch:
        data = training.data
        return adapt(
            arch,
            resolution=training.resolution,
            classes=data.classes,
            channels=data.channels,
            strides=strides,
        )

    return Networks(adapt_to_data, own_models)
