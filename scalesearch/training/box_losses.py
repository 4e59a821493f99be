"""Losses of boxes: complete IoU, and distances as distributions."""

from __future__ import annotations

import math

import torch

TINY = 1e-7


def complete_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Returns the complete intersection over union `(…)` of corners `a` and `b`, both `(…, 4)`, pair by pair.

    It is the IoU less the squared distance of the centres over the squared diagonal of the enclosing box,
    less a weighted difference of the aspect ratios; that weight has no gradient.

    Source: Zheng et al. (2020), eq. 10.
    """
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    size_a, size_b = (x[..., 2:] - x[..., :2] for x in (a, b))
    size_a, size_b = (torch.cat([s[..., :1], s[..., 1:] + TINY], -1) for s in (size_a, size_b))
    iou = intersection / (size_a.prod(-1) + size_b.prod(-1) - intersection + TINY)
    enclosing = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = enclosing.square().sum(-1) + TINY
    centre_distance = (b[..., :2] + b[..., 2:] - a[..., :2] - a[..., 2:]).square().sum(-1) / 4
    angle = torch.atan(size_b[..., 0] / size_b[..., 1]) - torch.atan(size_a[..., 0] / size_a[..., 1])
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        weight = aspect / (aspect - iou + 1 + TINY)
    return iou - centre_distance / diagonal - weight * aspect


def distribution_focal(logits: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """Returns the cross-entropy `(…)` with the two whole numbers next to a distance, the nearer weighing more.

    Args:
        logits: `(…, bins)`, for the distances 0, 1, 2, ….
        distance: `(…)`, from 0 to bins − 1.

    Source: Li et al. (2020), eq. 6.
    """
    low = distance.long().clamp(max=logits.shape[-1] - 2)
    share = distance - low
    log_probabilities = logits.log_softmax(-1)

    def at_bin(place: torch.Tensor) -> torch.Tensor:
        return log_probabilities.gather(-1, place[..., None])[..., 0]

    return -(at_bin(low) * (1 - share) + at_bin(low + 1) * share)
