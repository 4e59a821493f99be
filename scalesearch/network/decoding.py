"""Decodes a detector's outputs into boxes, in plain torch.

There is one class for each kind of head; its source is also printed into exports.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import nn

from scalesearch.arch import BOX_VALUES, Arch, expand
from scalesearch.errors import InputError
from scalesearch.plain_data import PlainDict

MAX_LOG_SIZE = 10.0  # log of a box's side over its anchor's; clamped here, as larger values overflow


class Decode(nn.Module):
    """Turns a detector's outputs into boxes and scores.

    `forward` returns boxes `(n, A, 4)`, as corners x1, y1, x2, y2 in pixels of the input, and scores `(n, A,
    classes)`; A counts the predictions of all maps.

    Args:
        sides: Height and width of the input in pixels.
        maps: Height and width of each map that the head takes.
        classes: Number of classes.
    """

    def __init__(self, sides: Sequence[int], maps: Sequence[Sequence[int]], classes: int):
        super().__init__()
        self.sides, self.maps, self.classes = sides, maps, classes

    def grid(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the centre of every cell of every map, and its stride.

        Both are `(A, 2)`: x and y in pixels of the input.
        """
        cells = [self.cell_indices(shape, like) for shape in self.maps]
        strides = [self.stride(shape, like).expand(len(map_cells), 2) for map_cells, shape in zip(cells, self.maps)]
        return torch.cat([(map_cells + 0.5) * step for map_cells, step in zip(cells, strides)]), torch.cat(strides)

    def cell_indices(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Returns column and row of every cell of a map, `(h · w, 2)`, row by row."""
        rows, columns = (torch.arange(side, device=like.device, dtype=like.dtype) for side in shape)
        return torch.stack([columns.expand(len(rows), -1), rows[:, None].expand(-1, len(columns))], -1).flatten(0, 1)

    def input_size(self, like: torch.Tensor) -> torch.Tensor:
        """Returns width and height of the input in pixels, `(2,)`."""
        return torch.tensor(self.sides[::-1], device=like.device, dtype=like.dtype)

    def stride(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Returns the pixels of the input per pixel of a map, across and down, `(2,)`."""
        return self.input_size(like) / torch.tensor(shape[::-1], device=like.device, dtype=like.dtype)


class DecodeDistances(Decode):
    """Decodes YOLOv8's head, which predicts distances to a box's four sides.

    `outputs` are distances `(n, 4, A)` in strides and logits `(n, classes, A)`. Scores are in [0, 1].
    """

    def forward(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.corners(outputs[0]), outputs[1].transpose(1, 2).sigmoid()

    def corners(self, distances: torch.Tensor) -> torch.Tensor:
        """Returns boxes `(n, A, 4)` in pixels from `distances` `(n, 4, A)`.

        These lead from each cell's centre to the left, top, right and bottom side, in strides of its map.
        """
        centres, strides = self.grid(distances)
        distances = distances.transpose(1, 2)
        to_top_left, to_bottom_right = distances[..., :2] * strides, distances[..., 2:] * strides
        return torch.cat([centres - to_top_left, centres + to_bottom_right], -1)


class DecodeAnchors(Decode):
    """Decodes heads with anchors as Darknet does.

    These are YOLOv3's and v4's (also with `new_coords` and `scale_xy`), v2's (`region`) and Gaussian
    YOLOv3's. An output is `(n, anchors · (values + classes), h, w)`: `values` is how many numbers of an
    anchor are no class scores.
    """

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
        boxes, objectness, logits, certainty = self.read([outputs] if isinstance(outputs, torch.Tensor) else outputs)
        if self.new_coords:
            return boxes, objectness * logits
        probabilities = logits.softmax(-1) if self.softmax else logits.sigmoid()
        return boxes, objectness.sigmoid() * probabilities * certainty

    def read(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Decodes the boxes, and returns objectness and classes as the head gives them.

        Predictions are ordered map by map, anchor by anchor, row by row.

        Returns:
            Boxes `(n, A, 4)` in pixels, objectness `(n, A, 1)`, class values `(n, A, classes)`, and certainty
            `(n, A, 1)`, by which Gaussian YOLOv3's deviations reduce the scores; it is 1 for other heads.
        """
        decoded = [self.read_map(out, mask, scale) for out, mask, scale in zip(outputs, self.masks, self.scale_xy)]
        return tuple(torch.cat(part, 1) for part in zip(*decoded))

    def read_map(self, out: torch.Tensor, mask: list[int], scale_xy: float) -> tuple[torch.Tensor, ...]:
        """Returns what `read` does for one map, `(n, anchors · (values + classes), h, w)`."""
        n, _, h, w = out.shape
        values = out.view(n, len(mask), self.values + self.classes, h, w).permute(0, 1, 3, 4, 2)
        box_values = values[..., : self.values - 1]
        certainty = torch.ones_like(box_values[..., :1])
        if self.boxes == "gaussian":  # its deviations say how little
            box_values, certainty = box_values[..., 0::2], 1 - box_values[..., 1::2].sigmoid().mean(-1, keepdim=True)
        objectness, logits = values[..., self.values - 1 : self.values], values[..., self.values :]
        anchors = self.anchors[mask].view(1, len(mask), 1, 1, 2)
        stride = self.stride((h, w), out)
        if self.new_coords:
            centre, size = box_values[..., :2], 4 * box_values[..., 2:] ** 2
        else:
            centre, size = box_values[..., :2].sigmoid(), box_values[..., 2:].clamp(max=MAX_LOG_SIZE).exp()
        centre = centre * scale_xy - (scale_xy - 1) / 2 + self.cell_indices((h, w), out).view(1, 1, h, w, 2)
        centre_pixels = centre * stride
        half = size * anchors * (stride if self.boxes == "region" else 1.0) / 2
        boxes = torch.cat([centre_pixels - half, centre_pixels + half], -1)
        return tuple(part.flatten(1, 3) for part in (boxes, objectness, logits, certainty))


class DecodeCells(Decode):
    """Decodes YOLOv1's head as Darknet does: `boxes` boxes in each of `side` × `side` cells.

    Scores are products of the head's numbers and not limited to [0, 1].
    """

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
        probabilities, objectness, boxes = out.split([cells * self.classes, cells * count, cells * count * 4], 1)
        probabilities = probabilities.view(-1, cells, 1, self.classes)
        probabilities = probabilities.softmax(-1) if self.softmax else probabilities
        boxes = boxes.view(-1, cells, count, 4)
        centre = (boxes[..., :2] + self.cell_indices((self.side, self.side), out).view(1, cells, 1, 2)) / self.side
        size = boxes[..., 2:] ** 2 if self.sqrt else boxes[..., 2:]
        scale = self.input_size(out)
        corners = torch.cat([centre - size / 2, centre + size / 2], -1) * torch.cat([scale, scale])
        return corners.flatten(1, 2), (probabilities * objectness.view(-1, cells, count, 1)).flatten(1, 2)


DECODERS: dict[str, type[Decode]] = {"yolov8": DecodeDistances, "yolo": DecodeAnchors, "yolov1": DecodeCells}


def decoder_call(arch: Arch) -> tuple[type[Decode], PlainDict]:
    """Returns the class that decodes the outputs of `arch`, and the arguments of its constructor.

    Raises:
        InputError: If `arch` is no detector.
    """
    head = arch.head
    if head.kind not in DECODERS:
        raise InputError(f"{arch.name} is no detector: its head is {head.kind}", "head")
    decoder_class = DECODERS[head.kind]
    maps = tuple(shape[1:] for shape in expand(arch).head.in_shapes)
    available = {"sides": arch.sides, "maps": maps, "classes": arch.classes, **dict(head.args)}
    if head.kind == "yolo":
        available["values"] = BOX_VALUES[head.get("boxes", "yolo")]
    accepted = inspect.signature(decoder_class).parameters
    return decoder_class, {name: available[name] for name in accepted if name in available}


def decoder(arch: Arch) -> Decode:
    """Builds the module that decodes the outputs of `arch`.

    Raises:
        InputError: If `arch` is no detector.
    """
    decoder_class, arguments = decoder_call(arch)
    return decoder_class(**arguments)
