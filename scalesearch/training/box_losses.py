"""How far boxes are off, in numbers with a gradient: complete IoU, and distances as distributions."""

from __future__ import annotations

import math

import torch

TINY = 1e-7


def complete_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Complete intersection over union (Zheng et al. 2020, eq. 10) of corners `(…, 4)`, pair by pair.

    Less by how far the middles are apart, and by how much the aspects differ; that part's weight has no gradient.
    """
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    size_a, size_b = (x[..., 2:] - x[..., :2] for x in (a, b))
    size_a, size_b = (torch.cat([s[..., :1], s[..., 1:] + TINY], -1) for s in (size_a, size_b))
    iou = shared / (size_a.prod(-1) + size_b.prod(-1) - shared + TINY)
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = around.square().sum(-1) + TINY
    apart = (b[..., :2] + b[..., 2:] - a[..., :2] - a[..., 2:]).square().sum(-1) / 4
    angle = torch.atan(size_b[..., 0] / size_b[..., 1]) - torch.atan(size_a[..., 0] / size_a[..., 1])
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        weight = aspect / (aspect - iou + 1 + TINY)
    return iou - apart / diagonal - weight * aspect


def distribution_focal(logits: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the two whole numbers around a distance, by how near each is (Li et al. 2020, eq. 6): logits
    `(…, bins)`, distances `(…)` from 0 to bins − 1."""
    low = distance.long().clamp(max=logits.shape[-1] - 2)
    share = distance - low
    likely = logits.log_softmax(-1)

    def at(place):
        return likely.gather(-1, place[..., None])[..., 0]

    return -(at(low) * (1 - share) + at(low + 1) * share)
