"""Classification: cross-entropy, and the share of images whose likeliest class is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from scalesearch.arch import Arch
from scalesearch.training.recipe import Recipe


def labels(raw: Any) -> torch.Tensor:
    """The class of every image."""
    return torch.from_numpy(raw)


def loss(arch: Arch, out: Any, labels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Cross-entropy, that of auxiliary heads added by their weights."""
    logits, *others = out if isinstance(out, tuple) else (out,)

    def entropy(x: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(x.float(), labels, label_smoothing=recipe.label_smoothing)

    weighted = (aux.weight * entropy(other) for aux, other in zip(arch.auxiliary, others, strict=False))
    return entropy(logits) + sum(weighted)


def moved(labels: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """A class stays what it is, wherever in the image."""
    return labels


def metrics(outs: Sequence[torch.Tensor], labels: torch.Tensor) -> dict[str, float]:
    """Accuracy as a share, cross-entropy in nats."""
    out = torch.cat([*outs]).float()
    return {"accuracy": (out.argmax(1) == labels).float().mean().item(), "loss": F.cross_entropy(out, labels).item()}
