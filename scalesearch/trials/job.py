"""Jobs: which network to try next, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from scalesearch.arch import Arch
from scalesearch.space import Decisions
from scalesearch.trials.recipe import Recipe
from scalesearch.trials.trial import Key


class Wait(Enum):
    """The type of `WAIT`, which stands among jobs while results are missing that the next job depends on."""

    WAIT = "wait"


WAIT = Wait.WAIT
Jobs = Iterator["Job | Wait"]


@dataclass(frozen=True)
class Job:
    """A network to try, from epoch `start` to epoch `until`; with `until` 0 only its proxies are computed.

    Attributes:
        step: The name of the step that asks for it.
        number: The job's number within its step and seed, from 0.
        name: The trial's name, which files are named after.
        network: The digest that the network must turn out to have.
        decisions: The decisions that lead to the network.
        seed: The seed of the training.
        arch: The network; None for a row of a table.
        cost: The network's counted cost by quantity.
        until: The epoch after which training stops.
        start: The epoch to start from; 0 for a new training.
        of: The epochs of the whole schedule.
        candidate: Which network of a search it is, from 0.
        rung: Which rung of the scheduler it is for, from 0.
        rejected: How many proposals before it were outside the budget or known already.
        parent: The name of the trial whose weights it starts from; empty for none.
        recipe: The recipe of the training; None where nothing is trained.
        final: Whether the network is scored on the test split too.
        proxies: The zero-cost proxies to compute.
        weights: The file in the run's folder for the trained weights; empty for none.
        checkpoint: The file in the run's folder for a checkpoint; empty for none.
        teacher: The network whose outputs it learns from beside the labels; None for none.
        teacher_weights: The file in the run's folder with the teacher's weights.
    """

    step: str
    number: int
    name: str
    network: str
    decisions: Decisions
    seed: int
    arch: Arch | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    until: int = 1
    start: int = 0
    of: int = 1
    candidate: int = 0
    rung: int = 0
    rejected: int = 0
    parent: str = ""
    recipe: Recipe | None = None
    final: bool = False
    proxies: tuple[str, ...] = ()
    weights: str = ""
    checkpoint: str = ""
    teacher: Arch | None = None
    teacher_weights: str = ""

    @property
    def key(self) -> Key:
        """Returns step, seed and number, which no two jobs of a run share."""
        return self.step, self.seed, self.number

    @property
    def needed_files(self) -> list[str]:
        """Returns the files of the run's folder that the training starts from."""
        parent = f"weights/{self.parent}.safetensors" if self.parent else ""
        return [name for name in (parent, self.teacher_weights) if name]

    @property
    def arch_and_recipe(self) -> tuple[Arch, Recipe]:
        """Returns the network and the recipe of a job that trains one."""
        assert self.arch is not None, self.name
        assert self.recipe is not None, self.name
        return self.arch, self.recipe
