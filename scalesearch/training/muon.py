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
    """Steps by Muon in parameter groups that are `orthogonal`, with their `momentum`; by AdamW in others."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step and clears the gradients of the orthogonal groups."""
        for group in (group for group in self.param_groups if group["orthogonal"]):
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                state = self.state[weight]
                if not state:  # AdamW looks for its step where a state is loaded
                    state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(weight)}
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                nesterov = weight.grad.lerp(state["momentum"], group["momentum"])  # Nesterov's
                direction = orthogonalise(nesterov.flatten(1))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(direction.view_as(weight), alpha=-group["lr"] * ADAMW_RMS * math.sqrt(max(direction.shape)))
                weight.grad = None  # which AdamW passes over
        return super().step(closure)


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Returns approximately the matrix with the same singular vectors whose singular values are all one.

    It takes `STEPS` Newton–Schulz iterations in float32; the result has the shape `(M, N)` and the dtype of `matrix`.
    """
    a, b, c = QUINTIC
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix.float() if wide else matrix.float().T
    x = x / (x.norm() + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return cast(torch.Tensor, (x if wide else x.T).to(matrix.dtype))
