"""Which parameters learn, at which rate, and how rates go over a training."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from scalesearch.network import Network
from scalesearch.training.muon import Muon
from scalesearch.trials import Recipe, levels


def level_of(name: str, order: list[str]) -> int:
    """Which of `levels` a parameter belongs to; what is in none (auxiliary heads) counts as the head."""
    return next((i for i, level in enumerate(order) if name.startswith(level + ".")), len(order) - 1)


def optimizer_of(model: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD with Nesterov's momentum, fused on a GPU, or Muon; weights decay, biases and norms do not.

    Raises `InputError` where `freeze_until` names nothing of the network.
    """
    order = levels(len(model.stages))
    frozen = recipe.frozen(len(model.stages))
    groups: dict[tuple[int, bool, bool], list[nn.Parameter]] = defaultdict(list)
    dense: set[torch.Tensor] = _dense(model) if recipe.optimizer == "muon" else set()
    for name, parameter in model.named_parameters():
        level = level_of(name, order)
        parameter.requires_grad_(level >= frozen)
        if parameter.requires_grad:
            is_weight = parameter.numel() != max(parameter.shape)  # not a bias, norm or factor per channel
            groups[level if recipe.layer_decay < 1 or recipe.thaw else 0, not is_weight, parameter in dense].append(
                parameter
            )
    rows = [
        {
            "params": parameters,
            "weight_decay": 0.0 if is_bias else recipe.weight_decay,
            "level": level,
            "lr": recipe.learning_rate
            * (recipe.layer_decay ** (len(order) - 1 - level) if recipe.layer_decay < 1 else 1.0),
            "orthogonal": orthogonal,
            "momentum": recipe.momentum,
        }
        for (level, is_bias, orthogonal), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    if recipe.optimizer == "muon":
        return Muon(rows, lr=recipe.learning_rate)
    fused = True if next(model.parameters()).is_cuda else None
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(rows, lr=recipe.learning_rate, fused=fused)
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(rows, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, fused=fused)


def _dense(model: Network) -> set[torch.Tensor]:
    """Filters over all channels, and matrices, inside the stages: stem and head see other kinds of numbers, and of
    depthwise filters each is a vector of its own."""
    return {
        module.weight
        for module in model.stages.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and getattr(module, "groups", 1) == 1
    }


def schedule_of(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int, depth: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Up from zero, then down along a cosine; levels that have not thawed yet stand still."""

    def factor(level: int) -> Any:
        thawed = recipe.thaw * steps * (depth - 1 - level) / max(1, depth - 1) if recipe.thaw else 0.0
        return lambda step: share_of_rate(step, steps, recipe.warmup) if step >= thawed else 0.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, [factor(group["level"]) for group in optimizer.param_groups])


def share_of_rate(step: int, steps: int, warmup: float) -> float:
    """Of the recipe's learning rate, at a step."""
    warm = warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))
