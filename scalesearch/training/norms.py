"""Batch-norm statistics, measured on training images with the weights that are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import nn

BatchNorm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm


def batch_norms(model: nn.Module, frozen: Iterable[str] = ()) -> list[BatchNorm]:
    """Returns the batch norms of a network, except those inside the submodules named in `frozen`."""
    prefixes = tuple(f"{name}." for name in frozen)
    named = model.named_modules()
    return [module for name, module in named if isinstance(module, BatchNorm) and not f"{name}.".startswith(prefixes)]


@torch.no_grad()
def measure_norms(model: nn.Module, norms: list[BatchNorm], batches: Iterable[torch.Tensor]) -> None:
    """Sets the running statistics of batch norms to their mean over `batches`, each normalised as in training.

    The running averages of a training lag behind its weights, the more so the shorter it is, and those of averaged
    weights are not averages at all. The network is left in eval mode, and nothing else of it changes. It needs no
    other process, also where norms are shared between several.

    Args:
        model: The network.
        norms: Its batch norms, from `batch_norms`.
        batches: Images as the network takes them, `(N, C, H, W)` each; of equal numbers, as they weigh the same.
    """
    statistics = {norm: _statistics(norm) for norm in norms}
    totals = {
        norm: (torch.zeros_like(mean), torch.zeros_like(variance)) for norm, (mean, variance) in statistics.items()
    }

    def use_own_statistics(norm: BatchNorm) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def measure(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            values = inputs[0].float().transpose(0, 1).flatten(1)
            variance, mean = torch.var_mean(values, 1, correction=0)
            statistics[norm][0].copy_(mean)
            statistics[norm][1].copy_(variance)
            totals[norm][0].add_(mean)
            totals[norm][1].add_(variance * (values.shape[1] / max(1, values.shape[1] - 1)))

        return measure

    model.eval()
    hooks = [norm.register_forward_pre_hook(use_own_statistics(norm)) for norm in norms]
    count = 0
    try:
        for images in batches:
            model(images)
            count += 1
    finally:
        for hook in hooks:
            hook.remove()
    for norm, found in totals.items():
        for statistic, total in zip(statistics[norm], found, strict=True):
            statistic.copy_(total / max(1, count))


def _statistics(norm: BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var
