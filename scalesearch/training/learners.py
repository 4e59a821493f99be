"""The contract of how networks of a task learn and are scored, and the learner of every task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch

from scalesearch.arch import Arch
from scalesearch.network import Network, Outputs
from scalesearch.plain_data import PlainDict
from scalesearch.training.augmenting import Moves
from scalesearch.training.classification import ClassificationLearner
from scalesearch.training.detection import DetectionLearner
from scalesearch.trials import Recipe, Task

L = TypeVar("L")  # the labels of images, on the device, with `to(device)`, a length, and indexing by a tensor
K = TypeVar("K")  # what the metrics need of the outputs for a part of a split


class Learner(Protocol[L, K]):
    """Trains and scores the networks of one task.

    `L` is the type of a split's labels on the device, which have `to(device)`, a length, and indexing by a
    tensor; `K` is the type of what the metrics need of the outputs for a part of a split.
    """

    def check(self, arch: Arch) -> None:
        """Raises `InputError` for a network of the task that cannot be trained."""

    def fit_head(self, arch: Arch, labels: L) -> Arch:
        """Returns the network with those parts of its head that depend on the labels of the training split, as
        anchors.
        """

    def initialise(self, model: Network) -> None:
        """Sets the initial values of a new network's head."""

    def labels(self, raw: Any) -> L:
        """Returns a split's labels in the form that is trained on, from the arrays of a data source."""

    def importance(self, labels: L) -> torch.Tensor:
        """Returns weights `(N,)` of images that give all classes the same total; 1 on average."""

    def loss(
        self, arch: Arch, out: Outputs, labels: Any, recipe: Recipe, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns the loss, a scalar, of a network's outputs in training mode for a batch.

        Args:
            arch: The network at the resolution of the batch.
            out: Its outputs.
            labels: The batch's labels, or what `move_labels` or `mix_labels` made of them.
            recipe: Says how labels are smoothed.
            weights: `(N,)` weights of the images; all equal by default.
        """

    def distillation_loss(self, out: Outputs, teacher_out: Outputs) -> torch.Tensor:
        """Returns how far a network's outputs are from its teacher's, a scalar."""

    def move_labels(self, labels: L, moves: Moves) -> L:
        """Returns a batch's labels after the augmentation has moved its images by `moves`."""

    def mix_labels(self, labels: L, order: torch.Tensor, share: torch.Tensor) -> Any:
        """Returns a batch's labels after each image was blended with another one.

        Args:
            labels: The labels before.
            order: `(N,)` indices of the other images.
            share: `(N,)` shares of the images themselves in the blends, in [0, 1].
        """

    def predictions(self, arch: Arch, out: Outputs, labels: L, recipe: Recipe) -> K:
        """Returns what the metrics need of a network's outputs in eval mode for a part of a split."""

    def metrics(self, parts: Sequence[K], labels: L) -> dict[str, float]:
        """Returns the task's score by its name, and `loss`, from the `predictions` of all parts of a split and
        its labels.
        """

    def chance(self, labels: L) -> float:
        """Returns the largest score that guessing reaches by luck on a split with these labels."""

    def details(self, parts: Sequence[K], labels: L) -> tuple[dict[str, float], PlainDict]:
        """Returns further scores, and the details that are saved of a finished network, from the `predictions`
        of a split.
        """


LEARNERS: dict[str, Learner[Any, Any]] = {
    "classification": ClassificationLearner(),
    "detection": DetectionLearner(),
}


def learner_of(task: Task) -> Learner[Any, Any]:
    """Returns the learner of a task."""
    return LEARNERS[task.name]
