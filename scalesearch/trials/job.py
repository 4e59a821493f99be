"""Jobs: what is to be tried next, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from scalesearch.arch import Arch
from scalesearch.space import Decisions
from scalesearch.trials.recipe import Recipe
from scalesearch.trials.trial import Key


class Wait(Enum):
    """Stands among jobs where results are missing that the next one depends on."""

    WAIT = "wait"


WAIT = Wait.WAIT
Jobs = Iterator["Job | Wait"]


@dataclass(frozen=True)
class Job:
    """A network to try, from epoch `start` `until` another; none: its proxies alone.

    `network` is the digest that it must turn out to have, `cost` its counted cost. `candidate` and `rung` say which
    network of a search it is and how far it goes, `of` how many epochs the whole way has, `parent` names the trial
    whose weights it starts from. The rest is for training: the `recipe`, whether the score is `final` and taken on the
    test split too, which `proxies` are computed, the files in the run's folder for `weights` and for a
    `checkpoint`, and the `teacher` whose outputs it learns beside the labels, with the file of its weights.
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
        """Step, seed and number, which no two jobs of a run share."""
        return self.step, self.seed, self.number

    @property
    def needed_files(self) -> list[str]:
        """The files of the run's folder that the training starts from."""
        parent = f"weights/{self.parent}.safetensors" if self.parent else ""
        return [name for name in (parent, self.teacher_weights) if name]

    @property
    def trained(self) -> tuple[Arch, Recipe]:
        """The network and the recipe of a job that trains one."""
        assert self.arch is not None, self.name
        assert self.recipe is not None, self.name
        return self.arch, self.recipe
