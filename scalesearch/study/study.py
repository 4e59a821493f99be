"""`Study`: what a person asks for, checked whole before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, TypeVar

from scalesearch.arch import Arch, adapt
from scalesearch.budget import Budget
from scalesearch.errors import InputError, inside
from scalesearch.searchers import Evaluator, Problem, SpaceProblem, SpaceTableProblem, TableProblem, column
from scalesearch.signature import Rule
from scalesearch.space import Space, arch_from_dict
from scalesearch.study.document import document_digest
from scalesearch.study.step import Step
from scalesearch.study.tables import Rows
from scalesearch.training import Recipe, Training
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
    resources: dict | None = None
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
    def wanted(self) -> dict[str, float]:
        """What a trial asks of one node, by Ray's names."""
        kind = {f"accelerator_type:{self.accelerator_type}": 0.001} if self.accelerator_type else {}
        return {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial, **(self.resources or {}), **kind}

    def reached(self, wall: float, gpu: float) -> str:
        """Which limit so many seconds, and GPU seconds, have reached, in words."""
        limit = seconds(self.max_wall_time, "max_wall_time")
        if limit is not None and wall >= limit:
            return f"max_wall_time ({self.max_wall_time}) is used up"
        if self.max_gpu_hours is not None and gpu >= 3600 * self.max_gpu_hours:
            return f"max_gpu_hours ({self.max_gpu_hours:g}) are used up"
        return ""


def seconds(told: float | str | None, place: str) -> float | None:
    """Of a time as people write it (90, 90s, 30m, 2h, 1.5d). Raises `InputError` for anything else."""
    if told is None:
        return None
    text = str(told).strip()
    unit = SECONDS.get(text[-1:])
    try:
        found = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e12:
        raise InputError(f"takes seconds, or a time as 90s, 30m, 2h or 1.5d; got {told!r}", place)
    return found


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
    document: dict[str, Any] = field(repr=False)
    seeds: tuple[int, ...] = (0,)
    parallel: int = 1
    ray: Resources = field(default_factory=Resources)
    objectives: tuple[str, ...] = ()
    space: Space | None = None
    budget: Budget = field(default_factory=Budget)
    training: Training | None = None
    rows: Rows | None = None
    hours: float = 0.0

    @property
    def digest(self) -> str:
        return document_digest(self.document)

    def options(self, kind: type[T]) -> T:
        """What the file tells of one section, by its type."""
        return self.sections[kind]

    @cached_property
    def problem(self) -> Problem:
        """What its search tries. Raises `InputError` for columns that the table lacks, and for empty bounds."""
        if self.rows is not None:
            return self.rows.problem(self.space, self.budget, self.objectives)
        return SpaceProblem(self.adapted_space, self.budget, self.objectives)

    @cached_property
    def evaluator(self) -> Evaluator:
        """What its tries score."""
        if self.training is not None:
            return self.training
        assert isinstance(self.problem, TableProblem | SpaceTableProblem)
        return column(self.problem)

    def recipe_of(self, step: str) -> Recipe:
        """The recipe of a step, as far as it is known before anything runs: searches may train for fewer epochs."""
        epochs = next((s.epochs(self) for s in self.steps if s.name == step), None)
        return replace(self.trained.recipe, epochs=epochs) if isinstance(epochs, int) else self.trained.recipe

    @property
    def trained(self) -> Training:
        """How it trains, of a study that does."""
        assert self.training is not None
        return self.training

    @cached_property
    def networks(self) -> Mapping[str, Arch]:
        """The zoo brought to the data: what is compared with, and what a relative bound may name."""
        return adapted_zoo(self.trained, self.document.get("models"))

    @cached_property
    def adapted_space(self) -> Space:
        """The space brought to the data."""
        assert self.space is not None
        data = self.trained.data
        return self.space.adapted(resolution=self.trained.resolution, classes=data.classes, channels=data.channels)

    def planned(self, base_macs: float) -> dict[str, list[float]]:
        """By step, what each network that it tries at most may count; fewer where a space has no more."""
        return {step.name: step.macs(self, base_macs) for step in self.steps}


def adapted_zoo(training: Training, models: Mapping[str, Any] | None = None) -> Mapping[str, Arch]:
    """The zoo by name and a study's own `models`, each network brought to the data. Raises `InputError` for a model
    whose name is taken, or that is none."""
    at = training.resolution, training.data.classes, training.data.channels
    own = {}
    for name, said in (models or {}).items():
        with inside(f"models.{name}"):
            if name in MODELS or name == "base":
                raise InputError("is a network's name already; give another one")
            own[name] = arch_from_dict({**said, "name": name} if isinstance(said, dict) else said)
    return Networks(lambda arch: adapt(arch, resolution=at[0], classes=at[1], channels=at[2]), own)
