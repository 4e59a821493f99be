"""From a detector's outputs to boxes, in plain torch: decoding, and the suppression of boxes that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from scalesearch.arch import BOX_VALUES, Arch, expand
from scalesearch.errors import InputError
from scalesearch.network.modules import Network

DETECTORS = ("yolov8", "yolo", "yolov1")  # heads
BLOCK = 512  # boxes that are held against each other at a time
MOST_CONSIDERED = 30_000  # of an image, the likeliest
ROUNDS = 32
LAST_BIT = 1e-13  # less than scores in 32 bits differ by, where they do
LARGEST = 10.0  # logarithm of how many times its anchor a box is: beyond it, numbers only overflow


class Decode(nn.Module):
    """What a detector's outputs say: boxes `(n, A, 4)`, the first corner and the last in pixels of the input, and the
    scores `(n, A, classes)` of every class, from 0 to 1.

    Heads: YOLOv8 (distances to the four sides), YOLOv3 and v4 (anchors; also with `new_coords` and `scale_xy`), v2
    (`region`), Gaussian YOLOv3 and YOLOv1, as Darknet reads them. Raises `InputError` for another head.
    """

    def __init__(self, arch: Arch):
        super().__init__()
        if arch.head.kind not in DETECTORS:
            raise InputError(f"{arch.name} is no detector: its head is {arch.head.kind}", "head")
        self.head, self.classes, self.sides = arch.head, arch.classes, arch.sides
        self.maps = [shape[1:] for shape in expand(arch).head.in_shapes]
        self.register_buffer("anchors", torch.tensor(arch.head.get("anchors", ())).float(), persistent=False)

    anchors: torch.Tensor

    def forward(self, outputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        several = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        match self.head.kind:
            case "yolov8":
                return self._yolov8(several)
            case "yolo":
                return self._yolo(several)
        return self._yolov1(several[0])

    def grid(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of every place of every map the middle, and the pixels from one to the next: `(A, 2)` each, across and
        down."""
        places = [self._places(shape, like) for shape in self.maps]
        steps = [self._stride(shape, like).expand(len(place), 2) for place, shape in zip(places, self.maps)]
        return torch.cat([(place + 0.5) * step for place, step in zip(places, steps)]), torch.cat(steps)

    def corners(self, distances: torch.Tensor) -> torch.Tensor:
        """Boxes `(n, A, 4)` of distances from every place to the four sides, `(n, 4, A)`, in steps of its map."""
        middles, steps = self.grid(distances)
        distances = distances.transpose(1, 2)
        before, after = distances[..., :2] * steps, distances[..., 2:] * steps
        return torch.cat([middles - before, middles + after], -1)

    def _yolov8(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.corners(outputs[0]), outputs[1].transpose(1, 2).sigmoid()

    def _yolo(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        boxes, sure, logits, trust = self.read(outputs)
        if self.head.get("new_coords", False):
            return boxes, sure * logits
        shares = logits.softmax(-1) if self.head.get("softmax", False) else logits.sigmoid()
        return boxes, sure.sigmoid() * shares * trust

    def read(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Of a head with anchors, map by map, anchor by anchor, row by row: boxes `(n, A, 4)`, how sure it is that
        there is one `(n, A, 1)` and classes `(n, A, classes)`, as the head gives them, and what its deviations leave of
        both."""
        reach = self.head.get("scale_xy", ()) or [1.0] * len(outputs)
        found = [self._map(out, list(mask), by) for out, mask, by in zip(outputs, self.head.get("masks"), reach)]
        return tuple(torch.cat(part, 1) for part in zip(*found))

    def _map(self, out: torch.Tensor, mask: list[int], reach: float) -> tuple[torch.Tensor, ...]:
        """Of one map, `(n, anchors · values, h, w)`."""
        n, _, h, w = out.shape
        kind, as_is = self.head.get("boxes", "yolo"), self.head.get("new_coords", False)
        values = out.view(n, len(mask), BOX_VALUES[kind] + self.classes, h, w).permute(0, 1, 3, 4, 2)
        own = values[..., : BOX_VALUES[kind] - 1]
        trust = torch.ones_like(own[..., :1])
        if kind == "gaussian":  # its deviations say how little
            own, trust = own[..., 0::2], 1 - own[..., 1::2].sigmoid().mean(-1, keepdim=True)
        sure, logits = values[..., BOX_VALUES[kind] - 1 : BOX_VALUES[kind]], values[..., BOX_VALUES[kind] :]
        anchors = self.anchors[mask].view(1, len(mask), 1, 1, 2)
        stride = self._stride((h, w), out)
        if as_is:
            centre, size = own[..., :2], 4 * own[..., 2:] ** 2
        else:
            centre, size = own[..., :2].sigmoid(), own[..., 2:].clamp(max=LARGEST).exp()
        centre = centre * reach - (reach - 1) / 2 + self._places((h, w), out).view(1, 1, h, w, 2)
        middle = centre * stride
        half = size * anchors * (stride if kind == "region" else 1.0) / 2
        boxes = torch.cat([middle - half, middle + half], -1)
        return tuple(part.flatten(1, 3) for part in (boxes, sure, logits, trust))

    def _yolov1(self, out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        side, count = self.head.get("side", 7), self.head.get("boxes", 2)
        shares, sure, boxes = out.split([side**2 * self.classes, side**2 * count, side**2 * count * 4], 1)
        shares = shares.view(-1, side**2, 1, self.classes)
        shares = shares.softmax(-1) if self.head.get("softmax", False) else shares
        boxes = boxes.view(-1, side**2, count, 4)
        middle = (boxes[..., :2] + self._places((side, side), out).view(1, side**2, 1, 2)) / side
        size = boxes[..., 2:] ** 2 if self.head.get("sqrt", True) else boxes[..., 2:]
        scale = self._pixels(out)
        found = torch.cat([middle - size / 2, middle + size / 2], -1) * torch.cat([scale, scale])
        return found.flatten(1, 2), (shares * sure.view(-1, side**2, count, 1)).flatten(1, 2)

    def _places(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """`(h · w, 2)`: column and row of every place of a map."""
        rows, columns = (torch.arange(side, device=like.device, dtype=like.dtype) for side in shape)
        return torch.stack([columns.expand(len(rows), -1), rows[:, None].expand(-1, len(columns))], -1).flatten(0, 1)

    def _pixels(self, like: torch.Tensor) -> torch.Tensor:
        """Width and height of the input."""
        return torch.tensor(self.sides[::-1], device=like.device, dtype=like.dtype)

    def _stride(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Pixels of the input to one of a map, across and down."""
        return self._pixels(like) / torch.tensor(list(shape)[::-1], device=like.device, dtype=like.dtype)


class Suppressed(NamedTuple):
    """Boxes of an image, the likeliest first: corners `(k, 4)`, scores `(k,)` and classes `(k,)`."""

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor


def suppressed(boxes: torch.Tensor, scores: torch.Tensor, confidence: float = 0.25, iou: float = 0.7, most: int = 300,
               every_class: bool = False, only: Sequence[int] | None = None) -> list[Suppressed]:
    """Of each image the boxes that no likelier one of their class covers by more than `iou` (non-maximum suppression).

    `boxes` are `(n, A, 4)` corners, `scores` `(n, A, classes)`. A box is of its likeliest class, or of every one above
    `confidence` with `every_class`, as average precision is measured. Those of `only` some classes are looked at then.
    """
    return [_of_image(own, of, confidence, iou, most, every_class, only) for own, of in zip(boxes, scores)]


def _of_image(boxes: torch.Tensor, scores: torch.Tensor, confidence: float, iou: float, most: int,
              every_class: bool, only: Sequence[int] | None) -> Suppressed:
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

    The same boxes as `suppressed` finds among the `considered` likeliest, in operators that export: what each box
    covers is looked at in rounds, and as many as `ROUNDS` boxes in a row may each cover the next.
    """

    def __init__(self, network: Network, confidence: float = 0.25, iou: float = 0.7, most: int = 300,
                 considered: int = 1_000):
        super().__init__()
        self.network, self.decode, self.arch = network, Decode(network.arch), network.arch
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
