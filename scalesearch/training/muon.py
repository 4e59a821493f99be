"""Muon: filters and matrices step along their orthogonalised momentum (Jordan et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch

STEPS = 5  # Newton–Schulz iterations; singular values then lie between 0.7 and 1.2
QUINTIC = 3.4445, -4.7750, 2.0315
ADAMW_RMS = 0.2  # root mean square of AdamW's steps in units of the rate (Liu et al. 2025), so that rates carry over


class Muon(torch.optim.AdamW):
    """Steps by Muon in parameter groups with `matrices`, with their `momentum`; by AdamW in others.

    `matrices` is the number of groups of a convolution, 1 for others: the filters of each are one matrix. 0 leaves a
    group to AdamW.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step and clears the gradients of the groups with matrices."""
        for group in (group for group in self.param_groups if group["matrices"]):
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                state = self.state[weight]
                if not state:  # AdamW looks for its step where a state is loaded
                    state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(weight)}
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                nesterov = weight.grad.lerp(state["momentum"], group["momentum"])  # Nesterov's
                direction = orthogonalise(nesterov.flatten(1).unflatten(0, (group["matrices"], -1)))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                rate = group["lr"] * ADAMW_RMS * math.sqrt(max(direction.shape[1:]))
                weight.add_(direction.view_as(weight), alpha=-rate)
                weight.grad = None  # which AdamW passes over
        return super().step(closure)


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """Returns approximately the matrices with the same singular vectors whose singular values are all one.

    It takes `STEPS` Newton–Schulz iterations in float32; a matrix of one row or column is divided by its length. The
    result has the shape `(..., M, N)` and the dtype of `matrices`.
    """
    a, b, c = QUINTIC
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices.float() if wide else matrices.float().mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(STEPS if x.shape[-2] > 1 else 0):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return cast(torch.Tensor, (x if wide else x.mT).to(matrices.dtype))
