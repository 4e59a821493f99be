"""From a detector's outputs to boxes, in plain torch: one class a kind of head, which is also printed into exports."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from scalesearch.arch import BOX_VALUES, Arch, expand
from scalesearch.errors import InputError

LARGEST = 10.0  # logarithm of how many times its anchor a box is: beyond it, numbers only overflow


class Decode(nn.Module):
    """What a detector's outputs say: boxes `(n, A, 4)`, the first corner and the last in pixels of the input, and the
    scores `(n, A, classes)` of every class, from 0 to 1. `sides` are the input's height and width, `maps` those of the
    maps that a head looks at."""

    def __init__(self, sides: Sequence[int], maps: Sequence[Sequence[int]], classes: int):
        super().__init__()
        self.sides, self.maps, self.classes = sides, maps, classes

    def grid(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of every place of every map the middle, and the pixels from one to the next: `(A, 2)` each, across and
        down."""
        places = [self.places(shape, like) for shape in self.maps]
        steps = [self.stride(shape, like).expand(len(place), 2) for place, shape in zip(places, self.maps)]
        return torch.cat([(place + 0.5) * step for place, step in zip(places, steps)]), torch.cat(steps)

    def places(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """`(h · w, 2)`: column and row of every place of a map."""
        rows, columns = (torch.arange(side, device=like.device, dtype=like.dtype) for side in shape)
        return torch.stack([columns.expand(len(rows), -1), rows[:, None].expand(-1, len(columns))], -1).flatten(0, 1)

    def pixels(self, like: torch.Tensor) -> torch.Tensor:
        """Width and height of the input."""
        return torch.tensor(self.sides[::-1], device=like.device, dtype=like.dtype)

    def stride(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Pixels of the input to one of a map, across and down."""
        return self.pixels(like) / torch.tensor(shape[::-1], device=like.device, dtype=like.dtype)


class DecodeDistances(Decode):
    """Of YOLOv8's head: distances to the four sides."""

    def forward(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.corners(outputs[0]), outputs[1].transpose(1, 2).sigmoid()

    def corners(self, distances: torch.Tensor) -> torch.Tensor:
        """Boxes `(n, A, 4)` of distances from every place to the four sides, `(n, 4, A)`, in steps of its map."""
        middles, steps = self.grid(distances)
        distances = distances.transpose(1, 2)
        before, after = distances[..., :2] * steps, distances[..., 2:] * steps
        return torch.cat([middles - before, middles + after], -1)


class DecodeAnchors(Decode):
    """Of heads with anchors, as Darknet reads them: YOLOv3 and v4 (also with `new_coords` and `scale_xy`), v2
    (`region`) and Gaussian YOLOv3. `values` are those of an anchor that are no class."""

    def __init__(
        self,
        sides: Sequence[int],
        maps: Sequence[Sequence[int]],
        classes: int,
        anchors: Sequence[Sequence[float]],
        masks: Sequence[Sequence[int]],
        values: int,
        boxes: str = "yolo",
        new_coords: bool = False,
        scale_xy: Sequence[float] = (),
        softmax: bool = False,
    ):
        super().__init__(sides, maps, classes)
        self.masks, self.values, self.boxes = [list(mask) for mask in masks], values, boxes
        self.new_coords, self.softmax, self.scale_xy = new_coords, softmax, scale_xy or [1.0] * len(masks)
        self.register_buffer("anchors", torch.tensor(anchors).float(), persistent=False)

    anchors: torch.Tensor

    def forward(self, outputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        boxes, sure, logits, trust = self.read([outputs] if isinstance(outputs, torch.Tensor) else outputs)
        if self.new_coords:
            return boxes, sure * logits
        shares = logits.softmax(-1) if self.softmax else logits.sigmoid()
        return boxes, sure.sigmoid() * shares * trust

    def read(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Map by map, anchor by anchor, row by row: boxes `(n, A, 4)`, how sure the head is that there is one
        `(n, A, 1)` and classes `(n, A, classes)`, as the head gives them, and what its deviations leave of both."""
        found = [self.read_map(out, mask, by) for out, mask, by in zip(outputs, self.masks, self.scale_xy)]
        return tuple(torch.cat(part, 1) for part in zip(*found))

    def read_map(self, out: torch.Tensor, mask: list[int], reach: float) -> tuple[torch.Tensor, ...]:
        """Of one map, `(n, anchors · values, h, w)`."""
        n, _, h, w = out.shape
        values = out.view(n, len(mask), self.values + self.classes, h, w).permute(0, 1, 3, 4, 2)
        own = values[..., : self.values - 1]
        trust = torch.ones_like(own[..., :1])
        if self.boxes == "gaussian":  # its deviations say how little
            own, trust = own[..., 0::2], 1 - own[..., 1::2].sigmoid().mean(-1, keepdim=True)
        sure, logits = values[..., self.values - 1 : self.values], values[..., self.values :]
        anchors = self.anchors[mask].view(1, len(mask), 1, 1, 2)
        stride = self.stride((h, w), out)
        if self.new_coords:
            centre, size = own[..., :2], 4 * own[..., 2:] ** 2
        else:
            centre, size = own[..., :2].sigmoid(), own[..., 2:].clamp(max=LARGEST).exp()
        centre = centre * reach - (reach - 1) / 2 + self.places((h, w), out).view(1, 1, h, w, 2)
        middle = centre * stride
        half = size * anchors * (stride if self.boxes == "region" else 1.0) / 2
        boxes = torch.cat([middle - half, middle + half], -1)
        return tuple(part.flatten(1, 3) for part in (boxes, sure, logits, trust))


class DecodeCells(Decode):
    """Of YOLOv1's head, as Darknet reads it: `boxes` of each of `side` × `side` cells."""

    def __init__(
        self,
        sides: Sequence[int],
        maps: Sequence[Sequence[int]],
        classes: int,
        side: int = 7,
        boxes: int = 2,
        softmax: bool = False,
        sqrt: bool = True,
    ):
        super().__init__(sides, maps, classes)
        self.side, self.boxes, self.softmax, self.sqrt = side, boxes, softmax, sqrt

    def forward(self, out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cells, count = self.side**2, self.boxes
        shares, sure, boxes = out.split([cells * self.classes, cells * count, cells * count * 4], 1)
        shares = shares.view(-1, cells, 1, self.classes)
        shares = shares.softmax(-1) if self.softmax else shares
        boxes = boxes.view(-1, cells, count, 4)
        middle = (boxes[..., :2] + self.places((self.side, self.side), out).view(1, cells, 1, 2)) / self.side
        size = boxes[..., 2:] ** 2 if self.sqrt else boxes[..., 2:]
        scale = self.pixels(out)
        found = torch.cat([middle - size / 2, middle + size / 2], -1) * torch.cat([scale, scale])
        return found.flatten(1, 2), (shares * sure.view(-1, cells, count, 1)).flatten(1, 2)


DECODERS: dict[str, type[Decode]] = {"yolov8": DecodeDistances, "yolo": DecodeAnchors, "yolov1": DecodeCells}


def decoder_call(arch: Arch) -> tuple[type[Decode], dict[str, Any]]:
    """What decodes the outputs of `arch`, and the arguments that make it. Raises `InputError` for no detector."""
    head = arch.head
    if head.kind not in DECODERS:
        raise InputError(f"{arch.name} is no detector: its head is {head.kind}", "head")
    made = DECODERS[head.kind]
    maps = tuple(shape[1:] for shape in expand(arch).head.in_shapes)
    given = {"sides": arch.sides, "maps": maps, "classes": arch.classes, **dict(head.args)}
    if head.kind == "yolo":
        given["values"] = BOX_VALUES[head.get("boxes", "yolo")]
    taken = inspect.signature(made).parameters
    return made, {name: given[name] for name in taken if name in given}


def decoder(arch: Arch) -> Decode:
    """What decodes the outputs of `arch`. Raises `InputError` for no detector."""
    made, arguments = decoder_call(arch)
    return made(**arguments)
