"""How the networks of a task learn: labels, losses, metrics. The contract, and the learner of every task."""

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
K = TypeVar("K")  # what is kept of the outputs for a part of a split


class Learner(Protocol[L, K]):
    """Trains and scores the networks of one task.

    `L` is the type of a split's labels on the device, which have `to(device)`, a length, and indexing by a tensor;
    `K` is what is kept of the outputs for a part of a split until all parts are there.
    """

    def check(self, arch: Arch) -> None:
        """Raises `InputError` for a network that is of the task and cannot be trained."""

    def fitted(self, arch: Arch, labels: L) -> Arch:
        """Returns the network with what in its head depends on the labels of the training split."""

    def initialise(self, model: Network) -> None:
        """Sets a new network's head to where training begins well."""

    def labels(self, raw: Any) -> L:
        """Returns a split's labels as they are trained on, from the arrays that a data source has."""

    def importance(self, labels: L) -> torch.Tensor:
        """Returns the weights `(N,)` of images with which all classes count alike; 1 on average."""

    def loss(
        self, arch: Arch, out: Outputs, labels: Any, recipe: Recipe, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns the loss, a scalar, of a network's outputs in training mode for a batch.

        Args:
            arch: The network at the resolution of the batch.
            out: Its outputs.
            labels: The batch's labels, or what `moved` or `mixed` made of them.
            recipe: For the smoothing of labels.
            weights: `(N,)`, by which images weigh differently.
        """

    def distillation_loss(self, out: Outputs, teacher_out: Outputs) -> torch.Tensor:
        """Returns how far a network's outputs are from its teacher's, a scalar."""

    def moved(self, labels: L, moves: Moves) -> L:
        """Returns a batch's labels after its images were moved by `moves`, as the augmentation gives them."""

    def mixed(self, labels: L, order: torch.Tensor, share: torch.Tensor) -> Any:
        """Returns a batch's labels after each image was blended with that at `order`, `share` being its own part."""

    def kept(self, arch: Arch, out: Outputs, labels: L, recipe: Recipe) -> K:
        """Returns what is kept of the averaged network's outputs for a part of a split."""

    def metrics(self, parts: Sequence[K], labels: L) -> dict[str, float]:
        """Returns the task's score by its name, and `loss`, of what was kept of a split."""

    def details(self, parts: Sequence[K], labels: L) -> tuple[dict[str, float], PlainDict]:
        """Returns further scores of what was kept of a split, and what is written down of a finished network."""


LEARNERS: dict[str, Learner[Any, Any]] = {
    "classification": ClassificationLearner(),
    "detection": DetectionLearner(),
}


def learner_of(task: Task) -> Learner[Any, Any]:
    """Returns the learner of a task."""
    return LEARNERS[task.name]
