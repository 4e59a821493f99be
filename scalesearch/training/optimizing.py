"""The optimizer of a training, and how learning rates change over it."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from scalesearch.arch import expand, operators
from scalesearch.network import Network
from scalesearch.training.muon import Muon
from scalesearch.trials import Recipe, levels


def level_of(name: str, order: list[str]) -> int:
    """Returns the number in `order` of the level that a parameter belongs to.

    Parameters of none of them (auxiliary heads) count as the last level's, the head's.
    """
    return next((i for i, level in enumerate(order) if name.startswith(level + ".")), len(order) - 1)


def build_optimizer(model: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Builds AdamW, SGD with Nesterov momentum (both fused on a GPU) or Muon for a network.

    Weights decay; biases, norms and factors per channel do not. Frozen levels get `requires_grad` False.

    Raises:
        InputError: If `freeze_until` is no level of the network.
    """
    order, rate = levels(len(model.stages)), _learning_rate(model, recipe)
    frozen = recipe.frozen_levels(len(model.stages))
    groups: dict[tuple[int, bool, int], list[nn.Parameter]] = defaultdict(list)
    orthogonal_weights = _orthogonal_weights(model) if recipe.optimizer == "muon" else {}
    for name, parameter in model.named_parameters():
        level = level_of(name, order)
        parameter.requires_grad_(level >= frozen)
        if parameter.requires_grad:
            is_bias = parameter.numel() == max(parameter.shape)  # or a norm or factor per channel
            group_level = level if recipe.layer_decay < 1 or recipe.thaw else 0
            groups[group_level, is_bias, orthogonal_weights.get(parameter, 0)].append(parameter)
    parameter_groups = [
        {
            "params": parameters,
            "weight_decay": 0.0 if is_bias else recipe.weight_decay,
            "level": level,
            "lr": rate * (recipe.layer_decay ** (len(order) - 1 - level) if recipe.layer_decay < 1 else 1.0),
            "matrices": matrices,
            "momentum": recipe.momentum,
        }
        for (level, is_bias, matrices), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    if recipe.optimizer == "muon":
        return Muon(parameter_groups, lr=rate)
    fused = True if next(model.parameters()).is_cuda else None
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameter_groups, lr=rate, fused=fused)
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(parameter_groups, lr=rate, momentum=recipe.momentum, nesterov=nesterov, fused=fused)


def _learning_rate(model: Network, recipe: Recipe) -> float:
    """Returns the recipe's rate, for a network without any norm the share that the recipe gives it."""
    layers = expand(model.arch).layers()
    has_norms = any(isinstance(layer.op, operators.Norm | operators.LayerNorm) for _, layer, _ in layers)
    return recipe.learning_rate * (1.0 if has_norms else recipe.rate_without_norms)


def _orthogonal_weights(model: Network) -> dict[torch.Tensor, int]:
    """Returns the weights that Muon orthogonalises, those of linear layers and convolutions in stem and stages, with
    the number of groups of each: the filters of a group are a matrix of their own.

    The head is left out: its outputs differ in kind.
    """
    return {
        module.weight: getattr(module, "groups", 1)
        for part in (model.stem, model.stages)
        for module in part.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def build_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int, depth: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Builds the schedule: learning rates rise linearly from zero, then fall along a cosine or a line.

    The rates of levels that are not yet thawed are 0.

    Args:
        optimizer: From `build_optimizer`.
        recipe: Its `warmup`, `schedule` and `thaw` are used.
        steps: Optimizer steps of the training.
        depth: Number of the network's levels.
    """

    def factor(level: int) -> Any:
        thaw_step = recipe.thaw * steps * (depth - 1 - level) / max(1, depth - 1) if recipe.thaw else 0.0
        return lambda step: rate_factor(step, steps, recipe.warmup, recipe.schedule) if step >= thaw_step else 0.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, [factor(group["level"]) for group in optimizer.param_groups])


def rate_factor(step: int, steps: int, warmup: float, schedule: str = "cosine") -> float:
    """Returns the share, in [0, 1], of the learning rate that is used at `step`; `warmup` is a share of `steps`."""
    warmup_steps = warmup * steps
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    passed = (step - warmup_steps) / max(1.0, steps - warmup_steps)
    return max(0.0, 1 - passed) if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * passed))
