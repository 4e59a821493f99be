"""`Study`: what a person asks for, checked whole before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, TypeVar, cast

from scalesearch.arch import Arch, adapt
from scalesearch.budget import Budget
from scalesearch.errors import InputError, inside
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers import Problem, SpaceProblem
from scalesearch.signature import Rule
from scalesearch.space import Space, arch_from_dict
from scalesearch.study.document import document_digest
from scalesearch.study.evaluators import EVALUATORS
from scalesearch.study.step import Step
from scalesearch.study.tables import Rows
from scalesearch.training import Training
from scalesearch.trials import Evaluator, Recipe
from scalesearch.zoo import MODELS, Networks

T = TypeVar("T")
AUTO = "auto"  # epochs: as few as rank networks like the whole training


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Resources:
    """What one trial takes of the Ray cluster, and what all of them may take together.

    Of several GPUs each trains on its part of every batch. `resources` are those of a cluster's own making, by name,
    `accelerator_type` is a kind of GPU by Ray's name for it.
    A training is saved on the way every `save_every` seconds; a trial that takes longer than `trial_timeout` fails. A
    run ends, saved, when it has taken `max_wall_time` or `max_gpu_hours`, those before a resume counted in. Times are
    seconds, or 90s, 30m, 2h, 1.5d.
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
            seconds(getattr(self, name), name)
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise InputError(f"takes a part of one GPU or whole ones, got {self.gpus_per_trial:g}", "gpus_per_trial")
        for name, amount in (self.resources or {}).items():
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount < 1e9:
                raise InputError(f"takes an amount above 0, got {amount!r}", f"resources.{name}")

    @property
    def amounts(self) -> dict[str, float]:
        """What a trial takes of one node, by Ray's names."""
        kind = {f"accelerator_type:{self.accelerator_type}": 0.001} if self.accelerator_type else {}
        return {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial, **(self.resources or {}), **kind}

    def reached(self, wall: float, gpu: float) -> str:
        """Returns which limit so many seconds, and GPU seconds, have reached, in words; nothing for none."""
        limit = seconds(self.max_wall_time, "max_wall_time")
        if limit is not None and wall >= limit:
            return f"max_wall_time ({self.max_wall_time}) is used up"
        if self.max_gpu_hours is not None and gpu >= 3600 * self.max_gpu_hours:
            return f"max_gpu_hours ({self.max_gpu_hours:g}) are used up"
        return ""


def seconds(time: float | str | None, place: str) -> float | None:
    """Returns the seconds of a time as people write it (90, 90s, 30m, 2h, 1.5d). Raises `InputError` for none."""
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


@dataclass(frozen=True)
class Study:
    """What may be tried (a `space` or the `rows` of a table, inside a budget), what a try scores (`training`, or the
    table), the steps that do it and their options.

    `objectives` are quantities to be small beside the score. `parallel` proposals are asked for before the result of
    the first of them must be known. It belongs to the study and not to the machine, so that a study's outcome does not
    depend on how many trials run at a time. In `hours` all of it is to be done: trials and epochs are then planned by
    the pace that is measured.
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
    located: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """16 hex digits that name what the study asks for, wherever it runs."""
        return document_digest(self.document)

    def options(self, kind: type[T]) -> T:
        """Returns the options of one section of the file, by their type."""
        return cast(T, self.sections[kind])

    @cached_property
    def problem(self) -> Problem:
        """What its search tries. Raises `InputError` for columns that the table lacks, and for empty bounds."""
        if self.rows is not None:
            return self.rows.problem(self.space, self.budget, self.objectives)
        return SpaceProblem(self.adapted_space, self.budget, self.objectives)

    @cached_property
    def evaluator(self) -> Evaluator:
        """What scores its jobs: the row of the table of evaluators that the study names."""
        return EVALUATORS[self.evaluated_by](self)

    def recipe_of(self, step: str) -> Recipe:
        """Returns the recipe of a step as far as it is known beforehand: searches may train for fewer epochs."""
        epochs = next((s.epochs(self) for s in self.steps if s.name == step), None)
        return replace(self.trained.recipe, epochs=epochs) if isinstance(epochs, int) else self.trained.recipe

    @property
    def trained(self) -> Training:
        """How a study that trains does so."""
        assert self.training is not None
        return self.training

    @cached_property
    def networks(self) -> Mapping[str, Arch]:
        """The zoo adapted to the data: what is compared with, and what a relative bound may name."""
        return adapted_zoo(self.trained, self.document.get("models"))

    @cached_property
    def adapted_space(self) -> Space:
        """The space adapted to the data."""
        assert self.space is not None
        data = self.trained.data
        return self.space.adapted(resolution=self.trained.resolution, classes=data.classes, channels=data.channels)


def adapted_zoo(training: Training, models: PlainMapping | None = None) -> Mapping[str, Arch]:
    """Returns the zoo by name and a study's own `models`, each network adapted to the data.

    Raises `InputError` for a model
    whose name is taken, or that is none."""
    own = {}
    for name, spec in (models or {}).items():
        with inside(f"models.{name}"):
            if name in MODELS or name == "base":
                raise InputError("is a network's name already; give another one")
            own[name] = arch_from_dict({**spec, "name": name} if isinstance(spec, dict) else spec)

    def adapted(arch: Arch) -> Arch:
        data = training.data
        return adapt(arch, resolution=training.resolution, classes=data.classes, channels=data.channels)

    return Networks(adapted, own)
