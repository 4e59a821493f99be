"""Non-maximum suppression in plain torch: image by image, and as a module that can be exported."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from scalesearch.network.decoding import MAX_LOG_SIZE, Decode, decoder
from scalesearch.network.modules import Network
from scalesearch.plain_data import PlainDict

BLOCK = 512  # boxes compared with each other at a time
MAX_CANDIDATES = 30_000  # boxes of an image, highest scores first
ROUNDS = 32
# The settings that average precision is measured with, as in other libraries: every class with a score above 0.001.
AP_SETTINGS: PlainDict = {"confidence": 0.001, "iou": 0.7, "most": 300, "every_class": True}
TIE_BREAK = 1e-13  # smaller than any difference between two float32 scores


class NmsResult(NamedTuple):
    """Holds the boxes that are left of one image, best first.

    They are corners `(k, 4)`, scores `(k,)` and classes `(k,)`.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor


def non_max_suppression(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    confidence: float = 0.25,
    iou: float = 0.7,
    most: int = 300,
    every_class: bool = False,
    only_classes: Sequence[int] | None = None,
) -> list[NmsResult]:
    """Suppresses, image by image, every box that a higher-scored box of its class overlaps by more than `iou`.

    Args:
        boxes: `(n, A, 4)` corners x1, y1, x2, y2.
        scores: `(n, A, classes)`.
        confidence: Only scores above it count.
        iou: Intersection over union in [0, 1] above which the lower-scored box is left out.
        most: At most so many boxes are left per image.
        every_class: Whether a box counts for every class with a score above `confidence`, as for average
            precision, and not only for its best.
        only_classes: If given, boxes of other classes are left out.
    """
    return [
        _suppress_image(image_boxes, image_scores, confidence, iou, most, every_class, only_classes)
        for image_boxes, image_scores in zip(boxes, scores)
    ]


def _suppress_image(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    confidence: float,
    iou: float,
    most: int,
    every_class: bool,
    only_classes: Sequence[int] | None,
) -> NmsResult:
    if every_class:
        rows, classes = (scores > confidence).nonzero(as_tuple=True)
        confidences = scores[rows, classes]
    else:
        confidences, classes = scores.max(-1)
        rows = (confidences > confidence).nonzero().flatten()
        confidences, classes = confidences[rows], classes[rows]
    if only_classes is not None:
        selected = torch.isin(classes, torch.tensor(list(only_classes), device=classes.device))
        rows, confidences, classes = rows[selected], confidences[selected], classes[selected]
    order = confidences.argsort(descending=True, stable=True)[:MAX_CANDIDATES]
    rows, confidences, classes = rows[order], confidences[order], classes[order]
    keep = nms_indices(boxes[rows], classes, iou, most)
    return NmsResult(boxes[rows[keep]], confidences[keep], classes[keep])


class Detector(nn.Module):
    """Joins a detector with its decoding and non-maximum suppression, in operators that can be exported.

    `forward` returns per image the `most` best boxes as corners `(n, most, 4)` in pixels of the input, scores
    `(n, most)`, which are 0 where fewer are left, and classes `(n, most)`. Each box counts for its best
    class.

    Only the `candidates` highest-scored boxes of an image take part. Suppression runs in rounds: the result
    equals one-by-one suppression for chains of up to `ROUNDS` boxes, each of which covers the next.
    """

    def __init__(
        self,
        network: nn.Module,
        decode: nn.Module,
        confidence: float = 0.25,
        iou: float = 0.7,
        most: int = 300,
        candidates: int = 1_000,
    ):
        super().__init__()
        self.network, self.decode = network, decode
        self.confidence, self.iou, self.most, self.candidates = confidence, iou, most, candidates

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.select(*self.decode(self.network(image)))

    def select(self, boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Suppresses decoded boxes `(n, A, 4)` with scores `(n, A, classes)`; returns what `forward` does."""
        confidences, classes = scores.max(-1)
        confidences = torch.where(confidences > self.confidence, confidences, torch.zeros_like(confidences))
        confidences, rows = _top_scores(confidences, self.candidates)
        boxes, classes = boxes.gather(1, rows[..., None].expand(-1, -1, 4)), classes.gather(1, rows)
        overlaps = overlap(boxes, boxes) > self.iou
        covers = (overlaps & (classes[:, :, None] == classes[:, None])).triu(1)
        is_box = confidences > 0
        keep = is_box
        for _ in range(ROUNDS):
            keep = is_box & ~(covers & keep[:, :, None]).any(1)
        confidences, order = _top_scores(torch.where(keep, confidences, torch.zeros_like(confidences)), self.most)
        return boxes.gather(1, order[..., None].expand(-1, -1, 4)), confidences, classes.gather(1, order)


def detector(network: Network, confidence: float = 0.25, iou: float = 0.7, most: int = 300) -> Detector:
    """Returns `network` joined with its decoding and suppression, in eval mode.

    Raises:
        InputError: If `network` is no detector.
    """
    return Detector(network, decoder(network.arch), confidence, iou, most).eval()


def _top_scores(scores: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the largest scores of each row and their indices; of equal ones the first, on every device."""
    place = torch.arange(scores.shape[1], device=scores.device, dtype=torch.float64)
    rows = (scores.double() - place * TIE_BREAK).topk(min(most, scores.shape[1]), 1).indices
    return scores.gather(1, rows), rows


def nms_indices(boxes: torch.Tensor, classes: torch.Tensor, iou: float, most: int | None = None) -> torch.Tensor:
    """Returns the indices of the boxes that are left by greedy non-maximum suppression.

    `boxes` `(k, 4)` and `classes` `(k,)` are sorted by score, best first. The result is the same as by
    looking at the boxes one by one: within a block, which boxes are left depends on which of those before
    are, so this is repeated until nothing changes.
    """
    keep = torch.zeros(0, dtype=torch.long, device=boxes.device)
    for start in range(0, len(boxes), BLOCK):
        block = torch.arange(start, min(start + BLOCK, len(boxes)), device=boxes.device)
        if len(keep):
            covered = (overlap(boxes[keep], boxes[block]) > iou) & (classes[keep][:, None] == classes[block])
            block = block[~covered.any(0)]
        covers = (overlap(boxes[block], boxes[block]) > iou) & (classes[block][:, None] == classes[block])
        covers = covers.triu(1)
        survives, previous = torch.ones_like(block, dtype=torch.bool), None
        while previous is None or not torch.equal(survives, previous):
            previous, survives = survives, ~(covers & survives[:, None]).any(0)
        keep = torch.cat([keep, block[survives]])
        if most is not None and len(keep) >= most:
            return keep[:most]
    return keep


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Returns the intersection over union `(…, k, m)` of every box of `a` with every one of `b`.

    Both are corners x1, y1, x2, y2: `(…, k, 4)` and `(…, m, 4)`.
    """
    first, second = a[..., :, None, :], b[..., None, :, :]
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    inside = (high - low).clamp(min=0)
    intersection = inside[..., 0] * inside[..., 1]
    return intersection / (_area(first) + _area(second) - intersection).clamp(min=1e-12)


def _area(boxes: torch.Tensor) -> torch.Tensor:
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


CONSTANTS = {"ROUNDS": ROUNDS, "TIE_BREAK": TIE_BREAK, "MAX_LOG_SIZE": MAX_LOG_SIZE}


def detector_sources(*classes: type[nn.Module]) -> list[str]:
    """Returns the source of `classes` and of all that they need but torch: constants, classes and functions."""
    needed: list[Any] = [Decode, *classes, _top_scores, overlap, _area]
    parts = [inspect.getsource(part).rstrip() for part in needed]
    names = {name for part in parts for name in re.findall(r"\b[A-Z_]+\b", part)}
    return ["\n".join(f"{name} = {value!r}" for name, value in CONSTANTS.items() if name in names), *parts]
