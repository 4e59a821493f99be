"""The suppression of boxes that say the same, in plain torch: image by image, and as a module that exports."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from scalesearch.network.decoding import LARGEST, Decode, decoder
from scalesearch.network.modules import Network

BLOCK = 512  # boxes that are held against each other at a time
MOST_CONSIDERED = 30_000  # of an image, the likeliest
ROUNDS = 32
# Which boxes average precision is measured on, as the peers do: of every class all that are likelier than a thousandth.
MEASURED: dict[str, Any] = {"confidence": 0.001, "iou": 0.7, "most": 300, "every_class": True}
LAST_BIT = 1e-13  # less than scores in 32 bits differ by, where they do


class Suppressed(NamedTuple):
    """Boxes of an image, the likeliest first: corners `(k, 4)`, scores `(k,)` and classes `(k,)`."""

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor


def suppressed(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    confidence: float = 0.25,
    iou: float = 0.7,
    most: int = 300,
    every_class: bool = False,
    only: Sequence[int] | None = None,
) -> list[Suppressed]:
    """Of each image the boxes that no likelier one of their class covers by more than `iou` (non-maximum suppression).

    `boxes` are `(n, A, 4)` corners, `scores` `(n, A, classes)`. A box is of its likeliest class, or of every one above
    `confidence` with `every_class`, as average precision is measured. Those of `only` some classes are looked at then.
    """
    return [_of_image(own, of, confidence, iou, most, every_class, only) for own, of in zip(boxes, scores)]


def _of_image(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    confidence: float,
    iou: float,
    most: int,
    every_class: bool,
    only: Sequence[int] | None,
) -> Suppressed:
    if every_class:
        rows, classes = (scores > confidence).nonzero(as_tuple=True)
        likely = scores[rows, classes]
    else:
        likely, classes = scores.max(-1)
        rows = (likely > confidence).nonzero().flatten()
        likely, classes = likely[rows], classes[rows]
    if only is not None:
        wanted = torch.isin(classes, torch.tensor(list(only), device=classes.device))
        rows, likely, classes = rows[wanted], likely[wanted], classes[wanted]
    order = likely.argsort(descending=True, stable=True)[:MOST_CONSIDERED]
    rows, likely, classes = rows[order], likely[order], classes[order]
    kept = kept_rows(boxes[rows], classes, iou, most)
    return Suppressed(boxes[rows[kept]], likely[kept], classes[kept])


class Detector(nn.Module):
    """A detector with what follows it inside, for where its outputs are to be boxes: of every image `most`, the
    likeliest first, as corners `(n, most, 4)` in pixels of the input, scores `(n, most)`, which are 0 where there are
    no more, and classes `(n, most)`.

    Of the `considered` likeliest none stays that a likelier one of its class covers by more than `iou`, in operators
    that export: what each box covers is looked at in rounds, and as many as `ROUNDS` boxes in a row may each cover the
    next.
    """

    def __init__(
        self,
        network: nn.Module,
        decode: nn.Module,
        confidence: float = 0.25,
        iou: float = 0.7,
        most: int = 300,
        considered: int = 1_000,
    ):
        super().__init__()
        self.network, self.decode = network, decode
        self.confidence, self.iou, self.most, self.considered = confidence, iou, most, considered

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.chosen(*self.decode(self.network(image)))

    def chosen(self, boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of all boxes and their scores."""
        likely, classes = scores.max(-1)
        likely = torch.where(likely > self.confidence, likely, torch.zeros_like(likely))
        likely, rows = _likeliest(likely, self.considered)
        boxes, classes = boxes.gather(1, rows[..., None].expand(-1, -1, 4)), classes.gather(1, rows)
        over = overlap(boxes, boxes) > self.iou
        covers = (over & (classes[:, :, None] == classes[:, None])).triu(1)
        found = likely > 0
        stays = found
        for _ in range(ROUNDS):
            stays = found & ~(covers & stays[:, :, None]).any(1)
        likely, order = _likeliest(torch.where(stays, likely, torch.zeros_like(likely)), self.most)
        return boxes.gather(1, order[..., None].expand(-1, -1, 4)), likely, classes.gather(1, order)


def detector(network: Network, confidence: float = 0.25, iou: float = 0.7, most: int = 300) -> Detector:
    """`network` with what follows it. Raises `InputError` for no detector."""
    return Detector(network, decoder(network.arch), confidence, iou, most).eval()


def _likeliest(scores: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest of each row and where they are; of equal ones the first, wherever it runs."""
    place = torch.arange(scores.shape[1], device=scores.device, dtype=torch.float64)
    rows = (scores.double() - place * LAST_BIT).topk(min(most, scores.shape[1]), 1).indices
    return scores.gather(1, rows), rows


def kept_rows(boxes: torch.Tensor, classes: torch.Tensor, iou: float, most: int | None = None) -> torch.Tensor:
    """Of boxes with the likeliest first those that stay.

    The same as going through them one by one: within a block, what is kept follows from what was kept of those before,
    so it is looked for until nothing changes.
    """
    kept = torch.zeros(0, dtype=torch.long, device=boxes.device)
    for start in range(0, len(boxes), BLOCK):
        block = torch.arange(start, min(start + BLOCK, len(boxes)), device=boxes.device)
        if len(kept):
            covered = (overlap(boxes[kept], boxes[block]) > iou) & (classes[kept][:, None] == classes[block])
            block = block[~covered.any(0)]
        covers = (overlap(boxes[block], boxes[block]) > iou) & (classes[block][:, None] == classes[block])
        covers = covers.triu(1)
        stays, before = torch.ones_like(block, dtype=torch.bool), None
        while before is None or not torch.equal(stays, before):
            before, stays = stays, ~(covers & stays[:, None]).any(0)
        kept = torch.cat([kept, block[stays]])
        if most is not None and len(kept) >= most:
            return kept[:most]
    return kept


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of every box of `a`, `(…, k, 4)` corners, with every one of `b`, `(…, m, 4)`."""
    first, second = a[..., :, None, :], b[..., None, :, :]
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    inside = (high - low).clamp(min=0)
    shared = inside[..., 0] * inside[..., 1]
    return shared / (_area(first) + _area(second) - shared).clamp(min=1e-12)


def _area(boxes: torch.Tensor) -> torch.Tensor:
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


CONSTANTS = {"ROUNDS": ROUNDS, "LAST_BIT": LAST_BIT, "LARGEST": LARGEST}


def sources(*made: type[nn.Module]) -> list[str]:
    """The source of `Detector` and a decoder with all that they need but torch: constants, classes, functions."""
    needed: list[Any] = [Decode, *made, _likeliest, overlap, _area]
    parts = [inspect.getsource(part).rstrip() for part in needed]
    names = {name for part in parts for name in re.findall(r"\b[A-Z_]+\b", part)}
    return ["\n".join(f"{name} = {value!r}" for name, value in CONSTANTS.items() if name in names), *parts]
