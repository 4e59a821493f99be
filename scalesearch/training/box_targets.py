"""The boxes that a detector is trained on, as tensors, which are moved and mixed as their images are."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

from scalesearch.training.augmenting import Moves

MIN_VISIBLE = 0.1  # share of a box's area that must be inside the new image
MIN_SIDE = 2e-3  # share of the image's side that the box's visible part must exceed


@dataclass(frozen=True)
class Boxes:
    """Holds the boxes of n images, at most M in one, as `data.Targets` does, but as tensors.

    Attributes:
        boxes: Corners x1, y1, x2, y2 `(n, M, 4)`, as shares of the image's width and height.
        classes: `(n, M)`; -1 where there is no box.
        crowd: Whether a box is a crowd, `(n, M)`, for scoring.
        area: `(n, M)` in pixels of the photo, for scoring.
        extent: Width and height of the letterbox in pixels of the photo, `(n, 2)`.
        photo: The photo's corners in its letterbox, `(n, 4)`.
    """

    boxes: torch.Tensor
    classes: torch.Tensor
    crowd: torch.Tensor
    area: torch.Tensor
    extent: torch.Tensor
    photo: torch.Tensor

    @staticmethod
    def of(raw: object) -> Boxes:
        """Returns the boxes of a `data.Targets`, whose arrays become tensors."""
        return Boxes(*(torch.as_tensor(getattr(raw, field.name)) for field in fields(Boxes)))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: object) -> Boxes:
        return Boxes(*(getattr(self, field.name)[which] for field in fields(self)))

    def to(self, device: torch.device) -> Boxes:
        """Returns the boxes on another device."""
        return Boxes(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def real(self) -> torch.Tensor:
        """Returns where there is a box to be found, `(n, M)`: a box that is no crowd."""
        return (self.classes >= 0) & ~self.crowd

    def moved(self, moves: Moves) -> Boxes:
        """Returns the boxes after their images were moved, cut at the new images' edges.

        Boxes of which too little is left, by area or side, are removed.
        """
        n, parts = moves.of.shape
        sources = self[moves.of.flatten().to(self.boxes.device)]
        inverse = _inverse(moves.matrices.flatten(0, 1).to(sources.boxes))
        old_boxes = sources.boxes * 2 - 1  # from -1 to 1, as images are resampled
        corners = torch.stack([old_boxes[..., [0, 2, 0, 2]], old_boxes[..., [1, 1, 3, 3]]], -1)  # (n · parts, M, 4, 2)
        new_corners = corners @ inverse[:, None, :, :2].transpose(-1, -2) + inverse[:, None, None, :, 2]
        uncut = torch.cat([new_corners.amin(2), new_corners.amax(2)], -1)
        cut = uncut.clamp(-1, 1)
        sides, uncut_sides = cut[..., 2:] - cut[..., :2], uncut[..., 2:] - uncut[..., :2]
        is_visible = sides.prod(-1) >= MIN_VISIBLE * uncut_sides.prod(-1)
        keep = is_visible & (sides.amin(-1) > 2 * MIN_SIDE)
        by_part = replace(sources, boxes=(cut + 1) / 2, classes=torch.where(keep, sources.classes, -1))
        return by_part._merge_parts(n, parts).compact()

    def merge_with(self, order: torch.Tensor) -> Boxes:
        """Returns each image's boxes together with those of the image it was blended with, `order` `(n,)`."""
        both = torch.stack([torch.arange(len(self), device=self.boxes.device), order.to(self.boxes.device)], 1)
        return self[both.flatten()]._merge_parts(len(self), 2).compact()

    def _merge_parts(self, n: int, parts: int) -> Boxes:
        def rows(t: torch.Tensor) -> torch.Tensor:
            return t.view(n, parts * t.shape[1], *t.shape[2:])

        extent, photo = (t.view(n, parts, t.shape[1])[:, 0] for t in (self.extent, self.photo))
        return Boxes(rows(self.boxes), rows(self.classes), rows(self.crowd), rows(self.area), extent, photo)

    def compact(self) -> Boxes:
        """Returns the boxes with the empty places last, and with no more columns than the fullest image needs."""
        is_box = self.classes >= 0
        max_boxes = max(1, int(is_box.sum(1).max()) if len(is_box) else 1)
        order = (~is_box).to(torch.uint8).argsort(dim=1, stable=True)[:, :max_boxes]

        boxes = self.boxes.gather(1, order[..., None].expand(-1, -1, 4))
        classes, crowd, area = (t.gather(1, order) for t in (self.classes, self.crowd, self.area))
        return replace(self, boxes=boxes, classes=classes, crowd=crowd, area=area)


def _inverse(moves: torch.Tensor) -> torch.Tensor:
    """Returns the inverses of affine matrices `(n, 2, 3)`."""
    linear = torch.linalg.inv(moves[:, :, :2])
    return torch.cat([linear, -linear @ moves[:, :, 2:]], 2)
