"""Classification: cross-entropy, and the share of images whose likeliest class is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.arch import Arch
from scalesearch.network import Network
from scalesearch.training.augmenting import Moves
from scalesearch.training.recipe import Recipe

FEW = 5  # classes up to which the five likeliest say nothing
TEMPERATURE = 2.0  # by which both networks' logits are divided where one learns from the other
MOST_SHOWN = 100  # classes up to which it is kept which are taken for which


class Mixed(NamedTuple):
    """The classes of images that are blends of two, the share of the first in each, and which the second ones are."""

    first: torch.Tensor
    second: torch.Tensor
    share: torch.Tensor
    order: torch.Tensor


def check(arch: Arch) -> None:
    """All classifiers are trained."""


def fitted(arch: Arch, labels: torch.Tensor) -> Arch:
    """Nothing of a classifier hangs on its labels but their number, which it has."""
    return arch


def started(model: Network) -> None:
    """Classifiers begin as they are."""


def labels(raw: Any) -> torch.Tensor:
    """The class of every image."""
    return torch.as_tensor(raw)


def importance(labels: torch.Tensor) -> torch.Tensor:
    """What every image weighs where classes are to count alike; 1 on average."""
    counted = torch.bincount(labels).float()
    return (len(labels) / (counted > 0).sum() / counted)[labels]


def loss(arch: Arch, out: Any, labels: Any, recipe: Recipe, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Cross-entropy, that of auxiliary heads added by their weights; images may weigh differently."""
    logits, *others = out if isinstance(out, tuple) else (out,)

    def entropy(x: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(
            x.float(),
            wanted,
            label_smoothing=recipe.label_smoothing,
            reduction="mean" if weights is None and not isinstance(labels, Mixed) else "none",
        )

    def blended(x: torch.Tensor) -> torch.Tensor:
        def weigh(each, weights):
            return each if weights is None else each * weights

        if not isinstance(labels, Mixed):
            return weigh(entropy(x, labels), weights).mean()
        first = weigh(entropy(x, labels.first), weights)
        second = weigh(entropy(x, labels.second), None if weights is None else weights[labels.order])
        return (labels.share * first + (1 - labels.share) * second).mean()

    weighted = (aux.weight * blended(other) for aux, other in zip(arch.auxiliary, others, strict=False))
    return blended(logits) + sum(weighted)


def distilled(out: Any, taught: torch.Tensor) -> torch.Tensor:
    """How far the probabilities are from a teacher's, both softened (Hinton et al. 2015); the gradient's size stays."""
    logits = out[0] if isinstance(out, tuple) else out
    ours, theirs = (x.float() / TEMPERATURE for x in (logits, taught))
    return F.kl_div(ours.log_softmax(1), theirs.softmax(1), reduction="batchmean") * TEMPERATURE**2


def moved(labels: torch.Tensor, moves: Moves) -> torch.Tensor:
    """A class stays what it is, wherever in the image."""
    return labels


def mixed(labels: torch.Tensor, order: torch.Tensor, share: torch.Tensor) -> Mixed:
    """Both classes of every blend."""
    order = order.to(labels.device)
    return Mixed(labels, labels[order], share.to(labels.device), order)


def kept(arch: Arch, out: torch.Tensor, labels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """All of it."""
    return out


def metrics(parts: Sequence[torch.Tensor], labels: torch.Tensor) -> dict[str, float]:
    """Accuracy as a share, cross-entropy in nats."""
    out = torch.cat([*parts]).float()
    return {"accuracy": (out.argmax(1) == labels).float().mean().item(), "loss": F.cross_entropy(out, labels).item()}


def details(parts: Sequence[torch.Tensor], labels: torch.Tensor) -> tuple[dict[str, float], dict[str, Any]]:
    """Further scores (top-5, accuracy with classes counting alike), and by class: recall, and what is taken for what.

    The matrix has a row for each true class and is left out where classes are many.
    """
    out = torch.cat([*parts]).float()
    classes, taken = out.shape[1], out.argmax(1)
    matrix = torch.bincount(labels * classes + taken, minlength=classes * classes).view(classes, classes)
    counted = matrix.sum(1)
    recall = (matrix.diagonal() / counted.clamp(min=1))[counted > 0]
    scores = {"balanced_accuracy": recall.mean().item()}
    if classes > FEW:
        scores["top5"] = (out.topk(5).indices == labels[:, None]).any(1).float().mean().item()
    by_class = [r / c if c else None for r, c in zip(matrix.diagonal().tolist(), counted.tolist())]
    return scores, {"recall": by_class} | ({"confusion": matrix.tolist()} if classes <= MOST_SHOWN else {})
