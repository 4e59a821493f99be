"""Assigns true boxes to a detector's predictions: by how good these are already, or by anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from scalesearch.training.box_losses import complete_iou

TOP_K = 10  # grid cells per box at most (Feng et al. 2021 take 13, YOLOv8 takes 10)
ALPHA, BETA = 0.5, 6.0  # exponents of the score and of the overlap
EPSILON = 1e-9


class Assignment(NamedTuple):
    """Holds for every prediction, `(n, A)`, which box is assigned to it.

    `positive` is whether there is one, `which` its number among its image's boxes, `quality` how good it is,
    in [0, 1].
    """

    positive: torch.Tensor
    which: torch.Tensor
    quality: torch.Tensor


@torch.no_grad()
def task_aligned_assignment(
    scores: torch.Tensor,
    boxes: torch.Tensor,
    centres: torch.Tensor,
    truth: torch.Tensor,
    classes: torch.Tensor,
    real: torch.Tensor,
    min_side: float = 0.0,
) -> Assignment:
    """Assigns each box to the cells inside it that score and overlap best.

    A cell that several boxes would take goes to the one that it overlaps most.

    Args:
        scores: Predicted scores `(n, A, classes)` in [0, 1].
        boxes: Predicted corners `(n, A, 4)` in pixels.
        centres: The cells' centres `(A, 2)` in pixels.
        truth: True corners `(n, M, 4)` in pixels.
        classes: Their classes `(n, M)`.
        real: Whether there is a box, `(n, M)`.
        min_side: Boxes narrower than so many pixels take cells as if they were that wide; those that lie
            between two centres would have none.

    Source: task-aligned assignment, Feng et al. (2021), §3.2.
    """
    centre, half_size = (truth[..., :2] + truth[..., 2:]) / 2, (truth[..., 2:] - truth[..., :2]).clamp(min=min_side) / 2
    low, high = (centre - half_size)[:, :, None], (centre + half_size)[:, :, None]
    inside = torch.minimum(centres - low, high - centres).amin(-1) > EPSILON
    inside &= real[..., None]  # (n, M, A)
    class_scores = scores.transpose(1, 2).gather(1, classes.clamp(min=0)[..., None].expand(-1, -1, scores.shape[1]))
    overlaps = complete_iou(truth[:, :, None], boxes[:, None]).clamp(min=0) * inside
    alignment = class_scores.pow(ALPHA) * overlaps.pow(BETA) * inside
    best = alignment.topk(min(TOP_K, alignment.shape[-1]), -1).indices
    assigned = torch.zeros_like(inside).scatter_(-1, best, True) & inside
    contested = assigned.sum(1, keepdim=True) > 1
    closest = overlaps.masked_fill(~inside, -1).argmax(1, keepdim=True)
    assigned = torch.where(contested, torch.zeros_like(inside).scatter_(1, closest, True), assigned)
    alignment, overlaps = alignment * assigned, overlaps * assigned
    share = overlaps.amax(-1, keepdim=True) / (alignment.amax(-1, keepdim=True) + EPSILON)
    return Assignment(assigned.any(1), assigned.to(torch.uint8).argmax(1), (alignment * share).amax(1))


@torch.no_grad()
def anchor_assignment(
    truth: torch.Tensor,
    real: torch.Tensor,
    anchors: torch.Tensor,
    masks: Sequence[Sequence[int]],
    maps: Sequence[tuple[int, int]],
    sides: tuple[int, int],
) -> Assignment:
    """Assigns each box to one anchor in one cell, as YOLOv3 does (Redmon & Farhadi 2018, §2.1).

    It is the anchor, of all maps, whose shape overlaps the box's most, in the cell where the box's centre
    lies. Of boxes that share a prediction the last is assigned.

    Args:
        truth: True corners `(n, M, 4)` in pixels.
        real: Whether there is a box, `(n, M)`.
        anchors: Widths and heights `(k, 2)` in pixels.
        masks: The numbers of each map's anchors.
        maps: Height and width of each map.
        sides: Height and width of the input in pixels.

    Returns:
        The assignment, with predictions in the order of `DecodeAnchors.read`.
    """
    sizes = truth[..., 2:] - truth[..., :2]
    intersection = torch.minimum(sizes[:, :, None], anchors).prod(-1)
    shape_iou = intersection / (sizes.prod(-1)[..., None] + anchors.prod(-1) - intersection)
    used = torch.zeros(len(anchors), dtype=torch.bool, device=truth.device)
    used[[anchor for mask in masks for anchor in mask]] = True
    best_anchor = shape_iou.masked_fill(~used, -1).argmax(-1)  # (n, M)
    cell, offset = torch.full_like(best_anchor, -1), 0
    middle = (truth[..., :2] + truth[..., 2:]) / 2
    for mask, (h, w) in zip(masks, maps):
        column = (middle[..., 0] * w / sides[1]).long().clamp(0, w - 1)
        row = (middle[..., 1] * h / sides[0]).long().clamp(0, h - 1)
        for slot, anchor in enumerate(mask):
            cell = torch.where(best_anchor == anchor, offset + (slot * h + row) * w + column, cell)
        offset += len(mask) * h * w
    n, max_boxes = real.shape
    box_index = torch.full((n, offset + 1), -1, device=truth.device)
    box_numbers = torch.arange(max_boxes, device=truth.device).expand(n, -1)
    box_index.scatter_reduce_(1, torch.where(real & (cell >= 0), cell, offset), box_numbers, "amax")
    box_index = box_index[:, :offset]
    positive = box_index >= 0
    return Assignment(positive, box_index.clamp(min=0), positive.to(truth.dtype))
