"""Random changes of a batch of images on the device that trains: one resampling for all geometry, then colours.

Chance is drawn on the CPU, so that equal seeds change images alike on every device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.arch import Resolution, sides
from scalesearch.data import LETTERBOX
from scalesearch.training.pictures import grey, normalised, resized
from scalesearch.training.trivial import Trivial
from scalesearch.trials import Recipe

ASPECTS = 3 / 4, 4 / 3  # of random crops
GREY = LETTERBOX / 127.5 - 1
ERASED = 0.02, 1 / 3  # smallest and largest share of the area


def _uniform(n: int, low: float | torch.Tensor = 0.0, high: float | torch.Tensor = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(n)


class Moves(NamedTuple):
    """How the parts of each new image were moved: `matrices` from places in it to those in old ones `(n, parts, 2, 3)`,
    on coordinates from -1 to 1, and `of` which images of the batch these are `(n, parts)`."""

    matrices: torch.Tensor
    of: torch.Tensor


class Augmentation:
    """What a recipe does to images before a network sees them, at its resolution. What lies beyond a letterbox is grey,
    beyond other images their border."""

    def __init__(self, recipe: Recipe, mirror: bool, letterbox: bool = False):
        self.recipe, self.flips, self.letterbox = recipe, recipe.flip and mirror, letterbox
        r = recipe
        self.moves_images = bool(r.shift or r.rotate or r.zoom or r.crop < 1 or r.trivial or self.flips)

    def __call__(self, images: torch.Tensor, resolution: Resolution, late: bool = False) -> tuple[torch.Tensor, Moves]:
        """`(n, channels, h, w)` uint8 as floats from -1 to 1 at `resolution`, and how they were moved. `late` in a
        training there are no mosaics."""
        height, width = sides(resolution)
        trivial = Trivial(len(images)) if self.recipe.trivial else None
        moves = self._moves(len(images), height / width)
        if trivial:
            moves = trivial.moved(moves, height / width)
        moves = moves.to(images.device)
        if self.recipe.mosaic and not late and float(torch.rand(())) < self.recipe.mosaic:
            shown, moved = self._mosaic(images, moves, resolution)
        else:
            moved = Moves(moves[:, None], torch.arange(len(images))[:, None])
            still = not self.moves_images
            shown = normalised(resized(images, resolution)) if still else self._moved(images, moves, resolution)
        if trivial:
            shown = trivial.recoloured(shown)
        if self.recipe.colour and shown.shape[1] in (1, 3):
            shown = self._recoloured(shown)
        if self.recipe.hue and shown.shape[1] == 3:
            shown = self._turned_in_hue(shown)
        if self.recipe.erase:
            shown = self._erased(shown)
        return shown.contiguous(memory_format=torch.channels_last), moved

    def _moves(self, n: int, tall: float) -> torch.Tensor:
        """Of images `tall` times as high as wide: turned as pixels are, not as shares of the sides."""
        r = self.recipe
        angle = _uniform(n, -1, 1) * math.radians(r.rotate)
        scale = 1 + _uniform(n, -1, 1) * r.zoom
        flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if self.flips else torch.ones(n)
        right, down = (_uniform(n, -1, 1) * 2 * r.shift for _ in range(2))
        wide = high = torch.ones(n)
        if r.crop < 1:
            area = _uniform(n, r.crop, 1)
            aspect = _uniform(n, math.log(ASPECTS[0]), math.log(ASPECTS[1])).exp()
            wide, high = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
            right, down = right + _uniform(n, -1, 1) * (1 - wide), down + _uniform(n, -1, 1) * (1 - high)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        rows = [cos * flip * wide, -sin * wide * tall, right, sin * flip * high / tall, cos * high, down]
        return torch.stack(rows, 1).view(n, 2, 3)

    def _moved(self, images: torch.Tensor, moves: torch.Tensor, resolution: Resolution) -> torch.Tensor:
        return self._sampled(self._small(images, resolution), moves, resolution)

    def _small(self, images: torch.Tensor, resolution: Resolution) -> torch.Tensor:
        """Images much larger than wanted are smoothed down first, as far as the smallest crops allow."""
        height, width = (math.ceil(side / math.sqrt(max(self.recipe.crop, 0.25))) for side in sides(resolution))
        larger = images.shape[-2] > height and images.shape[-1] > width
        return normalised(resized(images, (height, width)) if larger else images)

    def _sampled(self, images: torch.Tensor, moves: torch.Tensor, resolution: Resolution) -> torch.Tensor:
        grid = F.affine_grid(moves, [len(moves), images.shape[1], *sides(resolution)], align_corners=False)
        if not self.letterbox:
            return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        return F.grid_sample(images - GREY, grid, padding_mode="zeros", align_corners=False) + GREY

    def _mosaic(self, images: torch.Tensor, moves: torch.Tensor, resolution: Resolution) -> tuple[torch.Tensor, Moves]:
        """Each image with three others of the batch about a point of it, seen at the scale of one of them."""
        n = len(images)
        of = torch.stack([torch.arange(n), *(torch.randperm(n) for _ in range(3))], 1)
        of = of.gather(1, torch.rand(n, 4).argsort(1))
        small = self._small(images, resolution)

        def part(i):
            return small[of[:, i].to(images.device)]

        canvas = torch.cat([torch.cat([part(0), part(1)], -1), torch.cat([part(2), part(3)], -1)], -2)
        centre = (_uniform(n, -0.5, 0.5), _uniform(n, -0.5, 0.5))
        window = moves.clone()
        window[:, :, :2] *= 0.5
        window[:, :, 2] = window[:, :, 2] * 0.5 + torch.stack(centre, 1).to(moves)
        # From the canvas to one of its quarters, from -1 to 1 in both.
        quarters = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], device=moves.device)
        matrices = window[:, None].repeat(1, 4, 1, 1) * 2
        matrices[..., 2] += quarters
        return self._sampled(canvas, window, resolution), Moves(matrices, of)

    def _recoloured(self, images: torch.Tensor) -> torch.Tensor:
        n, by = len(images), self.recipe.colour
        bright, contrast, colourful = (
            _uniform(n, 1 - by, 1 + by).view(-1, 1, 1, 1).to(images.device) for _ in range(3)
        )
        images = (images + 1) * bright - 1
        middle = grey(images).mean((1, 2, 3), keepdim=True)
        images = middle + (images - middle) * contrast
        light = grey(images)
        return (light + (images - light) * colourful).clamp_(-1, 1)

    def _turned_in_hue(self, images: torch.Tensor) -> torch.Tensor:
        """A turn about the axis of greys, which stay."""
        angle = (_uniform(len(images), -1, 1) * 2 * math.pi * self.recipe.hue).to(images.device)
        cos, sin = angle.cos(), angle.sin() / math.sqrt(3)
        same, other = cos + (1 - cos) / 3, (1 - cos) / 3
        rows = [same, other - sin, other + sin, other + sin, same, other - sin, other - sin, other + sin, same]
        turn = torch.stack(rows, 1).view(-1, 3, 3)
        return torch.einsum("nij,njhw->nihw", turn, images).clamp_(-1, 1)

    def _erased(self, images: torch.Tensor) -> torch.Tensor:
        n = len(images)
        wide, high = _shares(_uniform(n, *ERASED))
        inside = _rectangles(wide, high, images)
        inside &= (torch.rand(n) < self.recipe.erase).to(images.device).view(-1, 1, 1)
        noise = torch.randn(n, images.shape[1], 1, 1).to(images.device).expand_as(images)
        return torch.where(inside[:, None], noise, images)

    def mixed(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Images blended with others of the batch, which those are, and the share of the first; None where none are."""
        wanted = [name for name in ("mixup", "cutmix") if getattr(self.recipe, name)]
        if not wanted:
            return None
        name = wanted[int(torch.randint(len(wanted), ()))]
        alpha = torch.tensor(float(getattr(self.recipe, name)))
        share = torch.distributions.Beta(alpha, alpha).sample((len(images),))
        order = torch.randperm(len(images))
        other = images[order.to(images.device)]
        if name == "mixup":
            part = share.view(-1, 1, 1, 1).to(images.device)
            return images * part + other * (1 - part), order, share
        wide, high = ((1 - share).sqrt(),) * 2
        inside = _rectangles(wide, high, images)
        return torch.where(inside[:, None], other, images), order, 1 - inside.float().mean((1, 2))


def _shares(area: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    aspect = _uniform(len(area), math.log(0.3), math.log(1 / 0.3)).exp()
    return (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)


def _rectangles(wide: torch.Tensor, high: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Masks `(n, height, width)` of rectangles of these shares of the sides, anywhere inside."""
    (height, width), device = images.shape[-2:], images.device
    across, down = (torch.rand(len(wide)) * (1 - length) for length in (wide, high))
    wide, high, across, down = (drawn[:, None].to(device) for drawn in (wide, high, across, down))
    x, y = ((torch.arange(side, device=device) + 0.5) / side for side in (width, height))
    columns = (x >= across) & (x < across + wide)
    rows = (y >= down) & (y < down + high)
    return rows[:, :, None] & columns[:, None, :]
