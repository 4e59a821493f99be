"""Boxes that a detector is trained on: as tensors on the device, moved and mixed as their images are."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from scalesearch.training.augmenting import Moves

LEAST_LEFT = 0.1  # of a box's area must be in the image after it was moved
LEAST_SIDE = 2e-3  # of the image's, that a box must have left


@dataclass(frozen=True)
class Boxes:
    """As `data.Targets`, of tensors: corners `(n, M, 4)` as shares of the image's width and height, classes `(n, M)`,
    -1 where there is no box, and for scoring crowds and areas `(n, M)`, the letterbox's sides in the photo's
    pixels `(n, 2)` and the photo's corners in it `(n, 4)`."""

    boxes: torch.Tensor
    classes: torch.Tensor
    crowd: torch.Tensor
    area: torch.Tensor
    extent: torch.Tensor
    photo: torch.Tensor

    @staticmethod
    def of(raw: Any) -> Boxes:
        return Boxes(*(torch.as_tensor(getattr(raw, field.name)) for field in fields(Boxes)))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: Any) -> Boxes:
        return Boxes(*(getattr(self, field.name)[which] for field in fields(self)))

    def to(self, device: torch.device) -> Boxes:
        return Boxes(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def real(self) -> torch.Tensor:
        """`(n, M)`: where there is a box to be found."""
        return (self.classes >= 0) & ~self.crowd

    def moved(self, moves: Moves) -> Boxes:
        """Where the boxes are after their images were moved, cut at the new image's edges; those of which hardly
        anything is left are gone."""
        n, parts = moves.of.shape
        taken = self[moves.of.flatten().to(self.boxes.device)]
        back = _inverse(moves.matrices.flatten(0, 1).to(taken.boxes))
        old = taken.boxes * 2 - 1  # from -1 to 1, as images are resampled
        corners = torch.stack([old[..., [0, 2, 0, 2]], old[..., [1, 1, 3, 3]]], -1)  # (n · parts, M, 4, 2)
        new = corners @ back[:, None, :, :2].transpose(-1, -2) + back[:, None, None, :, 2]
        whole = torch.cat([new.amin(2), new.amax(2)], -1)
        cut = whole.clamp(-1, 1)
        sides, before = cut[..., 2:] - cut[..., :2], whole[..., 2:] - whole[..., :2]
        left = sides.prod(-1) >= LEAST_LEFT * before.prod(-1)
        stays = left & (sides.amin(-1) > 2 * LEAST_SIDE)
        classes = torch.where(stays, taken.classes, -1)
        each = replace(taken, boxes=(cut + 1) / 2, classes=classes)
        return each._together(n, parts).packed()

    def joined(self, order: torch.Tensor) -> Boxes:
        """Those of two images that were blended, each with another of the batch."""
        both = torch.stack([torch.arange(len(self), device=self.boxes.device), order.to(self.boxes.device)], 1)
        return self[both.flatten()]._together(len(self), 2).packed()

    def _together(self, n: int, parts: int) -> Boxes:
        def rows(t):
            return t.view(n, parts * t.shape[1], *t.shape[2:])

        def first(t):
            return t.view(n, parts, t.shape[1])[:, 0]

        return Boxes(
            rows(self.boxes),
            rows(self.classes),
            rows(self.crowd),
            rows(self.area),
            first(self.extent),
            first(self.photo),
        )

    def packed(self) -> Boxes:
        """Those that are there first, and no more columns than one image needs."""
        there = self.classes >= 0
        most = max(1, int(there.sum(1).max()) if len(there) else 1)
        order = (~there).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]

        def take(t):
            return t.gather(1, order)

        return replace(
            self,
            boxes=self.boxes.gather(1, order[..., None].expand(-1, -1, 4)),
            classes=take(self.classes),
            crowd=take(self.crowd),
            area=take(self.area),
        )


def _inverse(moves: torch.Tensor) -> torch.Tensor:
    """Of 2×3 matrices."""
    linear = torch.linalg.inv(moves[:, :, :2])
    return torch.cat([linear, -linear @ moves[:, :, 2:]], 2)
