"""How classifiers learn and are scored: cross-entropy, accuracy, recall by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.arch import Arch
from scalesearch.network import Network, Outputs
from scalesearch.plain_data import PlainDict
from scalesearch.training.augmenting import Moves
from scalesearch.trials import Recipe

TOP5_MIN_CLASSES = 5  # top-5 accuracy is given for more classes than this
TEMPERATURE = 2.0  # by which the logits of teacher and student are divided in distillation
MAX_CONFUSION_CLASSES = 100  # classes up to which the confusion matrix is saved


class MixedLabels(NamedTuple):
    """Labels of images that are blends of two.

    Attributes:
        first: `(N,)` classes of the first images.
        second: `(N,)` classes of the second images.
        share: `(N,)` shares of the first images in the blends, in [0, 1].
        order: `(N,)` indices of the second images in the batch.
    """

    first: torch.Tensor
    second: torch.Tensor
    share: torch.Tensor
    order: torch.Tensor


class ClassificationLearner:
    """Trains and scores classifiers by the cross-entropy of each image's class."""

    def check(self, arch: Arch) -> None:
        """Accepts every classifier."""

    def fit_head(self, arch: Arch, labels: torch.Tensor) -> Arch:
        """Returns the network as it is: its head depends on the number of classes alone."""
        return arch

    def initialise(self, model: Network) -> None:
        """Leaves a classifier as it was built."""

    def labels(self, raw: object) -> torch.Tensor:
        """Returns the class of every image, `(N,)`, as integers."""
        return torch.as_tensor(raw)

    def importance(self, labels: torch.Tensor) -> torch.Tensor:
        """Returns weights `(N,)` of images that give all classes the same total; 1 on average."""
        counts = torch.bincount(labels).float()
        return (len(labels) / (counts > 0).sum() / counts)[labels]

    def loss(
        self,
        arch: Arch,
        out: Outputs,
        labels: torch.Tensor | MixedLabels,
        recipe: Recipe,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Returns the cross-entropy in nats, that of auxiliary heads added by their weights."""
        logits, *auxiliary_logits = (out,) if isinstance(out, torch.Tensor) else out

        def entropy(x: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
            reduction = "mean" if weights is None and not isinstance(labels, MixedLabels) else "none"
            losses = F.cross_entropy(x.float(), classes, label_smoothing=recipe.label_smoothing, reduction=reduction)
            return losses if weights is None else losses * weights

        def mean_loss(x: torch.Tensor) -> torch.Tensor:
            if not isinstance(labels, MixedLabels):
                return entropy(x, labels, weights).mean()
            first = entropy(x, labels.first, weights)
            second = entropy(x, labels.second, None if weights is None else weights[labels.order])
            return (labels.share * first + (1 - labels.share) * second).mean()

        return mean_loss(logits) + sum(aux.weight * mean_loss(x) for aux, x in zip(arch.auxiliary, auxiliary_logits))

    def distillation_loss(self, out: Outputs, teacher_out: Outputs) -> torch.Tensor:
        """Returns the divergence, in nats, of the network's softened probabilities from its teacher's.

        It is multiplied by the square of the temperature, so that the gradient keeps its size.
        Source: Hinton et al. (2015).
        """
        student, teacher = (_logits(x).float() / TEMPERATURE for x in (out, teacher_out))
        return F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean") * TEMPERATURE**2

    def move_labels(self, labels: torch.Tensor, moves: Moves) -> torch.Tensor:
        """Returns the labels as they are: a class does not depend on where in the image it is."""
        return labels

    def mix_labels(self, labels: torch.Tensor, order: torch.Tensor, share: torch.Tensor) -> MixedLabels:
        """Returns both classes of every blend; see `Learner.mix_labels`."""
        order = order.to(labels.device)
        return MixedLabels(labels, labels[order], share.to(labels.device), order)

    def predictions(self, arch: Arch, out: Outputs, labels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
        """Returns the logits `(N, classes)`."""
        return _logits(out)

    def metrics(self, parts: Sequence[torch.Tensor], labels: torch.Tensor) -> dict[str, float]:
        """Returns the accuracy as a share in [0, 1] and the cross-entropy in nats."""
        out = torch.cat([*parts]).float()
        accuracy = (out.argmax(1) == labels).float().mean().item()
        return {"accuracy": accuracy, "loss": F.cross_entropy(out, labels).item()}

    def chance(self, labels: torch.Tensor) -> float:
        """Returns the share of the most frequent class and two standard errors more, in [0, 1]."""
        share = torch.bincount(labels).max().item() / len(labels)
        return min(1.0, share + 2 * math.sqrt(share * (1 - share) / len(labels)))

    def details(self, parts: Sequence[torch.Tensor], labels: torch.Tensor) -> tuple[dict[str, float], PlainDict]:
        """Returns further scores (top-5 accuracy, mean recall), and by class the recall and the confusion matrix.

        The matrix has a row for each true class and a column for each predicted one; it is left out for many classes.
        """
        out = torch.cat([*parts]).float()
        classes, predicted = out.shape[1], out.argmax(1)
        matrix = torch.bincount(labels * classes + predicted, minlength=classes * classes).view(classes, classes)
        counts = matrix.sum(1)
        recall = (matrix.diagonal() / counts.clamp(min=1))[counts > 0]
        scores = {"balanced_accuracy": recall.mean().item()}
        if classes > TOP5_MIN_CLASSES:
            scores["top5"] = (out.topk(5).indices == labels[:, None]).any(1).float().mean().item()
        by_class = [r / c if c else None for r, c in zip(matrix.diagonal().tolist(), counts.tolist())]
        confusion = {"confusion": matrix.tolist()} if classes <= MAX_CONFUSION_CLASSES else {}
        return scores, {"recall": by_class, **confusion}


def _logits(out: Outputs) -> torch.Tensor:
    """Returns the main head's logits `(N, classes)`, without those of auxiliary heads."""
    return out if isinstance(out, torch.Tensor) else out[0]
