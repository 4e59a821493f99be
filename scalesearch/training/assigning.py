"""Which of a detector's places are to find which box: by how well they do already, or by anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from scalesearch.training.box_losses import complete_iou

CHOSEN = 10  # places for each box (Feng et al. 2021 take 13, YOLOv8 takes 10)
ALPHA, BETA = 0.5, 6.0  # how much the score and the overlap count
TINIEST = 1e-9


class Assigned(NamedTuple):
    """Of every place `(n, A)`: whether it is to find a box, which of its image's, and how well, from 0 to 1."""

    positive: torch.Tensor
    which: torch.Tensor
    quality: torch.Tensor


@torch.no_grad()
def aligned(
    scores: torch.Tensor,
    boxes: torch.Tensor,
    middles: torch.Tensor,
    truth: torch.Tensor,
    classes: torch.Tensor,
    real: torch.Tensor,
    least: float = 0.0,
) -> Assigned:
    """Task-aligned assignment (Feng et al. 2021, §3.2): each box takes the places in it that score and overlap best.

    `scores` `(n, A, classes)` and `boxes` `(n, A, 4)` are what the network says, `middles` `(A, 2)`; of M true boxes
    these are `truth` `(n, M, 4)`, `classes` and `real` `(n, M)`. A place that several boxes take is the one's that it
    overlaps most.
    Boxes narrower than `least` pixels have the places of one that wide: those between two middles would have none.
    """
    centre, half = (truth[..., :2] + truth[..., 2:]) / 2, (truth[..., 2:] - truth[..., :2]).clamp(min=least) / 2
    low, high = (centre - half)[:, :, None], (centre + half)[:, :, None]
    inside = torch.minimum(middles - low, high - middles).amin(-1) > TINIEST
    inside &= real[..., None]  # (n, M, A)
    said = scores.transpose(1, 2).gather(1, classes.clamp(min=0)[..., None].expand(-1, -1, scores.shape[1]))
    overlaps = complete_iou(truth[:, :, None], boxes[:, None]).clamp(min=0) * inside
    alignment = said.pow(ALPHA) * overlaps.pow(BETA) * inside
    best = alignment.topk(min(CHOSEN, alignment.shape[-1]), -1).indices
    taken = torch.zeros_like(inside).scatter_(-1, best, True) & inside
    several = taken.sum(1, keepdim=True) > 1
    closest = overlaps.masked_fill(~inside, -1).argmax(1, keepdim=True)
    taken = torch.where(several, torch.zeros_like(inside).scatter_(1, closest, True), taken)
    alignment, overlaps = alignment * taken, overlaps * taken
    share = overlaps.amax(-1, keepdim=True) / (alignment.amax(-1, keepdim=True) + TINIEST)
    return Assigned(taken.any(1), taken.to(torch.uint8).argmax(1), (alignment * share).amax(1))


@torch.no_grad()
def by_anchor(
    truth: torch.Tensor,
    real: torch.Tensor,
    anchors: torch.Tensor,
    masks: Sequence[Sequence[int]],
    maps: Sequence[tuple[int, int]],
    sides: tuple[int, int],
) -> Assigned:
    """YOLOv3's assignment (Redmon & Farhadi 2018, §2.1): a box is found by the one anchor of all maps whose shape is
    most like its own, in the cell where its middle lies.

    `truth` `(n, M, 4)` in pixels of the input, whose height and width are `sides`; `anchors` are widths and heights.
    Places are in the order of `Decode.read`. Of boxes that share one place the last is found.
    """
    wanted = truth[..., 2:] - truth[..., :2]
    shared = torch.minimum(wanted[:, :, None], anchors).prod(-1)
    alike = shared / (wanted.prod(-1)[..., None] + anchors.prod(-1) - shared)
    used = torch.zeros(len(anchors), dtype=torch.bool, device=truth.device)
    used[[anchor for mask in masks for anchor in mask]] = True
    likest = alike.masked_fill(~used, -1).argmax(-1)  # (n, M)
    place, first = torch.full_like(likest, -1), 0
    middle = (truth[..., :2] + truth[..., 2:]) / 2
    for mask, (h, w) in zip(masks, maps):
        column = (middle[..., 0] * w / sides[1]).long().clamp(0, w - 1)
        row = (middle[..., 1] * h / sides[0]).long().clamp(0, h - 1)
        for slot, anchor in enumerate(mask):
            place = torch.where(likest == anchor, first + (slot * h + row) * w + column, place)
        first += len(mask) * h * w
    n, most = real.shape
    which = torch.full((n, first + 1), -1, device=truth.device)
    number = torch.arange(most, device=truth.device).expand(n, -1)
    which.scatter_reduce_(1, torch.where(real & (place >= 0), place, first), number, "amax")
    which = which[:, :first]
    positive = which >= 0
    return Assigned(positive, which.clamp(min=0), positive.to(truth.dtype))
