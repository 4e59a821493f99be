"""Losses of detectors, written from their papers: YOLOv8's, and YOLOv3's with CIoU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scalesearch.network import overlap
from scalesearch.training.assigning import anchor_assignment, task_aligned_assignment
from scalesearch.training.box_losses import complete_iou, distribution_focal

# Weights of the losses' terms: YOLOv8's own; for YOLOv3 ours, as CIoU replaces its squared error.
BOX, CLASS, DISTRIBUTION = 7.5, 0.5, 1.5
V3_BOX, V3_OBJECTNESS, V3_CLASS = 2.0, 1.0, 0.5
# Predictions that overlap a box by more have no objectness loss unless assigned to it (YOLOv3, §2.1).
IGNORE_ABOVE = 0.5


def yolov8_loss(
    decoder: Any, out: Any, truth: Tensor, classes: Tensor, real: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Returns YOLOv8's loss of a batch, a scalar.

    It is the binary cross-entropy of all classes against the alignment of the assigned box, and CIoU and
    distribution focal loss where a box is assigned; all divided by the sum of the target scores.

    Args:
        decoder: The head's `DecodeDistances`.
        out: The head's outputs in training: distances, logits and the distances' distributions.
        truth: True corners `(n, M, 4)` in pixels of the input.
        classes: `(n, M)`.
        real: Whether there is a box to be found, `(n, M)`.
        weights: Weight of every image, `(n,)`.
    """
    distances, logits, bins = (part.float() for part in out)
    logits, boxes = logits.transpose(1, 2), decoder.corners(distances)
    centres, strides = decoder.grid(boxes)
    map_strides = sorted(decoder.sides[0] / h for h, _ in decoder.maps)
    min_side = map_strides[min(1, len(map_strides) - 1)]
    scores = logits.detach().sigmoid()
    assignment = task_aligned_assignment(scores, boxes.detach(), centres, truth, classes, real, min_side)
    quality = (assignment.quality * assignment.positive)[..., None]
    assigned_classes = classes.clamp(min=0).gather(1, assignment.which)
    target_scores = F.one_hot(assigned_classes, logits.shape[-1]).to(logits.dtype) * quality  # (n, A, classes)
    image_weights = 1.0 if weights is None else weights.view(-1, 1)
    total = (target_scores.sum(-1) * image_weights).sum().clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(logits, target_scores, reduction="none").sum(-1)
    loss = CLASS * (entropy * image_weights).sum()
    rows = assignment.positive.nonzero(as_tuple=True)
    if len(rows[0]):
        matched = truth[rows[0], assignment.which[rows]]
        weight = (target_scores.sum(-1) * image_weights)[rows]
        loss = loss + BOX * ((1 - complete_iou(boxes[rows], matched)) * weight).sum()
        count = bins.shape[1] // 4
        bins = bins.unflatten(1, (4, count)).permute(0, 3, 1, 2)[rows]  # (k, 4, bins)
        offsets = torch.cat([centres[rows[1]] - matched[:, :2], matched[:, 2:] - centres[rows[1]]], -1)
        offsets = offsets / strides[rows[1]].repeat(1, 2)
        distribution_loss = distribution_focal(bins, offsets.clamp(0, count - 1 - 0.01)).mean(-1)
        loss = loss + DISTRIBUTION * (distribution_loss * weight).sum()
    return loss / total


def yolo_loss(
    decoder: Any, out: Any, truth: Tensor, classes: Tensor, real: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Returns YOLOv3's loss of a batch, a scalar, with CIoU instead of its squared error.

    It is CIoU and the binary cross-entropy of the classes where a box is assigned, and the binary
    cross-entropy of objectness everywhere except where an unassigned prediction overlaps a box already; all
    divided by the number of boxes.

    Args:
        decoder: The head's `DecodeAnchors`.
        out: The head's outputs.
        truth: True corners `(n, M, 4)` in pixels of the input.
        classes: `(n, M)`.
        real: Whether there is a box to be found, `(n, M)`.
        weights: Weight of every image, `(n,)`.
    """
    boxes, objectness_logits, logits, _ = (part.float() for part in decoder.read(out))
    objectness_logits = objectness_logits[..., 0]
    assignment = anchor_assignment(truth, real, decoder.anchors.to(boxes), decoder.masks, decoder.maps, decoder.sides)
    covered = torch.where(real[..., None], overlap(truth, boxes.detach()), 0.0).amax(1)
    objectness_mask = assignment.positive | (covered <= IGNORE_ABOVE)
    image_weights = torch.ones_like(objectness_logits) * (1.0 if weights is None else weights.view(-1, 1))
    total = (assignment.positive * image_weights).sum().clamp(min=1)
    objectness = F.binary_cross_entropy_with_logits(objectness_logits, assignment.positive.float(), reduction="none")
    loss = V3_OBJECTNESS * (objectness * objectness_mask * image_weights).sum()
    rows = assignment.positive.nonzero(as_tuple=True)
    if len(rows[0]):
        matched, weight = truth[rows[0], assignment.which[rows]], image_weights[rows]
        loss = loss + V3_BOX * ((1 - complete_iou(boxes[rows], matched)) * weight).sum()
        class_targets = F.one_hot(classes[rows[0], assignment.which[rows]], logits.shape[-1]).float()
        entropy = F.binary_cross_entropy_with_logits(logits[rows], class_targets, reduction="none").sum(-1)
        loss = loss + V3_CLASS * (entropy * weight).sum()
    return loss / total
