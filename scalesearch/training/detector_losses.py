"""Losses of detectors, written from their papers: YOLOv8's, and YOLOv3's with CIoU."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from scalesearch.network import overlap
from scalesearch.training.assigning import Assigned, aligned, by_anchor
from scalesearch.training.box_losses import complete_iou, distribution_focal

# What each part counts for: YOLOv8's; of YOLOv3 ours, as its own squared error is replaced by CIoU.
BOX, CLASS, DISTRIBUTION = 7.5, 0.5, 1.5
V3_BOX, V3_SURE, V3_CLASS = 2.0, 1.0, 0.5
IGNORED = 0.5  # overlap from which a place that is not to find a box isn't told that there is none (YOLOv3, §2.1)


def yolov8_loss(
    decoder: Any,
    out: Any,
    truth: torch.Tensor,
    classes: torch.Tensor,
    real: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """YOLOv8's loss: binary cross-entropy of classes against how well a place is aligned, CIoU and distribution focal
    loss where it is to find a box, all over the sum of what is wanted; images may weigh differently.

    `out` is what the head gives in training, `truth` `(n, M, 4)` in pixels of the input.
    """
    distances, logits, bins = (part.float() for part in out)
    logits, boxes = logits.transpose(1, 2), decoder.corners(distances)
    middles, steps = decoder.grid(boxes)
    steps_of_maps = sorted(decoder.sides[0] / h for h, _ in decoder.maps)
    least = steps_of_maps[min(1, len(steps_of_maps) - 1)]
    found = aligned(logits.detach().sigmoid(), boxes.detach(), middles, truth, classes, real, least)
    wanted = _wanted(found, classes, logits)
    weigh = 1.0 if weights is None else weights.view(-1, 1)
    total = (wanted.sum(-1) * weigh).sum().clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1)
    loss = CLASS * (entropy * weigh).sum()
    rows = found.positive.nonzero(as_tuple=True)
    if len(rows[0]):
        own = truth[rows[0], found.which[rows]]
        weight = (wanted.sum(-1) * weigh)[rows]
        loss = loss + BOX * ((1 - complete_iou(boxes[rows], own)) * weight).sum()
        count = bins.shape[1] // 4
        bins = bins.unflatten(1, (4, count)).permute(0, 3, 1, 2)[rows]  # (k, 4, bins)
        there = torch.cat([middles[rows[1]] - own[:, :2], own[:, 2:] - middles[rows[1]]], -1)
        there = there / steps[rows[1]].repeat(1, 2)
        far = distribution_focal(bins, there.clamp(0, count - 1 - 0.01)).mean(-1)
        loss = loss + DISTRIBUTION * (far * weight).sum()
    return loss / total


def yolo_loss(
    decoder: Any,
    out: Any,
    truth: torch.Tensor,
    classes: torch.Tensor,
    real: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """YOLOv3's loss with CIoU for its squared error: of boxes and classes where a place is to find a box, and
    binary cross-entropy of whether there is one everywhere but where a box is found already; over the number of boxes.
    """
    boxes, sure, logits, _ = (part.float() for part in decoder.read(out))
    sure = sure[..., 0]
    masks = decoder.masks
    scale = decoder.anchors.to(boxes)
    found = by_anchor(truth, real, scale, masks, decoder.maps, decoder.sides)
    covered = torch.where(real[..., None], overlap(truth, boxes.detach()), 0.0).amax(1)
    counts = found.positive | (covered <= IGNORED)
    weigh = torch.ones_like(sure) if weights is None else weights.view(-1, 1).expand_as(sure)
    total = (found.positive * weigh).sum().clamp(min=1)
    objectness = F.binary_cross_entropy_with_logits(sure, found.positive.float(), reduction="none")
    loss = V3_SURE * (objectness * counts * weigh).sum()
    rows = found.positive.nonzero(as_tuple=True)
    if len(rows[0]):
        own, weight = truth[rows[0], found.which[rows]], weigh[rows]
        loss = loss + V3_BOX * ((1 - complete_iou(boxes[rows], own)) * weight).sum()
        named = F.one_hot(classes[rows[0], found.which[rows]], logits.shape[-1]).float()
        entropy = F.binary_cross_entropy_with_logits(logits[rows], named, reduction="none").sum(-1)
        loss = loss + V3_CLASS * (entropy * weight).sum()
    return loss / total


def _wanted(found: Assigned, classes: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Of every place and class the score that is wanted, `(n, A, classes)`."""
    of = classes.clamp(min=0).gather(1, found.which)
    return F.one_hot(of, like.shape[-1]).to(like.dtype) * (found.quality * found.positive)[..., None]
