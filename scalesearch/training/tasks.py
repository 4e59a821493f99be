"""What a network is for: the name and direction of its score, the heads it takes, losses, metrics. A row each."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from scalesearch.arch import Arch, task_of
from scalesearch.errors import InputError

if TYPE_CHECKING:
    import torch

    from scalesearch.data import Source
    from scalesearch.network import Network
    from scalesearch.training.augmenting import Moves
    from scalesearch.training.recipe import Recipe


@dataclass(frozen=True)
class Score:
    """The number that tries are compared by: its `key` among a try's scores, and the one that tells ties apart, small
    being good.

    `larger` says whether a large score is the good one.
    """

    key: str
    tie: str = ""
    larger: bool = True

    def of(self, scores: Mapping[str, float]) -> float | None:
        """The score, turned so that large is good; None where there is none."""
        value = scores.get(self.key)
        return value if value is None else self.turned(value)

    def turned(self, value: float) -> float:
        """What `of` gave, as it was; and the other way round."""
        return value if self.larger else -value

    def rank(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """Sorts tries of one fidelity, those without a score first."""
        value = self.of(scores)
        return (float("-inf") if value is None else value), -scores.get(self.tie, float("inf"))


def shown_score(value: float | None, percent: bool) -> str:
    """A score as people read it."""
    return "–" if value is None else f"{value:.2%}" if percent else f"{value:.4g}"


class Behaviour(Protocol):
    """What the file of a task defines; `labels` are what its data has beside the images, on the device."""

    def check(self, arch: Arch) -> None:
        """Raises `InputError` for a network that is of the task and cannot be trained."""

    def fitted(self, arch: Arch, labels: Any) -> Arch:
        """The network with what in it hangs on the labels of the training split."""

    def started(self, model: Network) -> None:
        """Set a new network's head to where training begins well."""

    def labels(self, raw: Any) -> Any:
        """A split's labels as they are trained on, with `to(device)`, a length, and indexing by a tensor."""

    def importance(self, labels: Any) -> torch.Tensor:
        """What every image weighs where its labels are to count alike."""

    def loss(
        self, arch: Arch, out: Any, labels: Any, recipe: Recipe, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Of what the network in training mode gives for a batch, whose images may weigh differently."""

    def distilled(self, out: Any, taught: Any) -> torch.Tensor:
        """How far a network's output is from its teacher's."""

    def moved(self, labels: Any, moves: Moves) -> Any:
        """A batch's labels where its images were moved by `moves`, as the trainer's augmentation gives them."""

    def mixed(self, labels: Any, order: torch.Tensor, share: torch.Tensor) -> Any:
        """A batch's labels where its images were blended with others of it, `share` of the first in each."""

    def kept(self, arch: Arch, out: Any, labels: Any, recipe: Recipe) -> Any:
        """What is kept of the averaged network's outputs for a part of a split, until all are there."""

    def metrics(self, parts: Sequence[Any], labels: Any) -> dict[str, float]:
        """Of what was kept of a split: the score by its name, and `loss`."""

    def details(self, parts: Sequence[Any], labels: Any) -> tuple[dict[str, float], dict[str, Any]]:
        """Of the same: further scores, and what is kept of a finished network beside them."""


@dataclass(frozen=True)
class Task:
    """A row of the table. `score` names what is compared, as reports and objectives say it; shares are shown as
    percents.

    What it does is in the file of its name beside this one.
    """

    name: str
    score: str
    larger: bool = True
    percent: bool = True
    share_of_images: bool = True  # which finitely many images then tell no better than so
    letterbox: bool = False  # whether images are shown whole, and what is beyond them is grey
    without: tuple[str, ...] = ()  # keys of recipes that make no sense of its labels
    teaches: bool = True  # whether networks can learn from others' outputs
    title: str = ""  # of the score, where it isn't its name
    hint: str = ""  # what to write instead of a network that is for something else

    @property
    def searched(self) -> Score:
        """What searches compare: on the validation split, which training does not see."""
        return Score(self.key("val"), "val_loss", self.larger)

    @property
    def tested(self) -> Score:
        """What is compared in the end: on the test split, which no search sees."""
        return Score(self.key("test"), "test_loss", self.larger)

    def key(self, split: str) -> str:
        return f"{split}_{self.score}"

    def shown(self, value: float) -> str:
        return shown_score(value, self.percent)

    def images(self, data: Source, split: str) -> int | None:
        """How many images its score is a share of; None where it is none."""
        return data.examples(split) if self.share_of_images else None

    def takes(self, arch: Arch) -> bool:
        return task_of(arch) == self.name

    def check(self, arch: Arch, place: str) -> None:
        """Raises `InputError` for a network whose head is for something else."""
        if not self.takes(arch):
            kind = task_of(arch)
            hint = f"; {self.hint.format(arch.name)}" if self.hint and not arch.taps else ""
            raise InputError(f"{arch.name} is for {kind}, and the study for {self.name}{hint}", place)

    def check_recipe(self, recipe: Recipe) -> None:
        """Raises `InputError` for what makes no sense of this task's labels."""
        if used := next((key for key in self.without if getattr(recipe, key)), None):
            raise InputError(f"makes no sense for {self.name}; set it to 0, or take a recipe without it", used)

    @property
    def behaviour(self) -> Behaviour:
        return cast(Behaviour, importlib.import_module(f"scalesearch.training.{self.name}"))


TASKS = {
    "classification": Task("classification", score="accuracy"),
    "detection": Task(
        "detection",
        score="ap",
        share_of_images=False,
        letterbox=True,
        without=("cutmix",),
        teaches=False,
        title="Average precision",
        hint="{0}+yolov8 is a detector on it",
    ),
}
