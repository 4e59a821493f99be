"""Augments batches of images on the training device.

There is one resampling for all changes of geometry; then colours are changed. Random numbers are drawn on
the CPU, so that equal seeds give equal images on every device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.arch import Resolution, sides
from scalesearch.data import LETTERBOX
from scalesearch.training.pictures import resize_images, uint8_to_float, with_contrast, with_saturation
from scalesearch.training.trivial import TrivialAugment
from scalesearch.trials import Recipe

CROP_ASPECTS = 3 / 4, 4 / 3  # of random crops
GREY = LETTERBOX / 127.5 - 1
ERASED_AREA = 0.02, 1 / 3  # smallest and largest share of the area
ERASED_ASPECTS = 0.3, 1 / 0.3


def _uniform(n: int, low: float | torch.Tensor = 0.0, high: float | torch.Tensor = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(n)


class Moves(NamedTuple):
    """Holds how the parts of each new image were moved.

    `matrices` `(n, parts, 2, 3)` lead from coordinates in the new image to those in the old one, both from -1
    to 1; `of` `(n, parts)` are the old images' indices in the batch.
    """

    matrices: torch.Tensor
    of: torch.Tensor


class Augmentation:
    """Applies a recipe's random changes to images before a network takes them.

    Args:
        recipe: What to change, and how much.
        mirror: Whether the data may be mirrored.
        letterbox: Whether the area outside an image is filled with grey; else its border is repeated.
    """

    def __init__(self, recipe: Recipe, mirror: bool, letterbox: bool = False):
        self.recipe, self.flips, self.letterbox = recipe, recipe.flip and mirror, letterbox
        r = recipe
        self.moves_images = bool(r.shift or r.rotate or r.zoom or r.crop < 1 or r.trivial or self.flips)

    def __call__(
        self, images: torch.Tensor, resolution: Resolution, without_mosaic: bool = False
    ) -> tuple[torch.Tensor, Moves]:
        """Augments a batch.

        Args:
            images: `(n, channels, h, w)` uint8.
            resolution: Side, or height and width, of the new images in pixels.
            without_mosaic: Makes no mosaics, as late in a training.

        Returns:
            The images as floats from -1 to 1, channels last in memory, and how they were moved.
        """
        height, width = sides(resolution)
        trivial = TrivialAugment(len(images)) if self.recipe.trivial else None
        moves = self._random_matrices(len(images), height / width)
        if trivial:
            moves = trivial.apply_geometry(moves, height / width)
        moves = moves.to(images.device)
        if self.recipe.mosaic and not without_mosaic and float(torch.rand(())) < self.recipe.mosaic:
            augmented, geometry = self._mosaic(images, moves, resolution)
        else:
            geometry = Moves(moves[:, None], torch.arange(len(images))[:, None])
            if self.moves_images:
                augmented = self._sample(self._downsample(images, resolution), moves, resolution)
            else:
                augmented = uint8_to_float(resize_images(images, resolution))
        if trivial:
            augmented = trivial.apply_colours(augmented)
        if self.recipe.colour and augmented.shape[1] in (1, 3):
            augmented = self._jitter_colours(augmented)
        if self.recipe.hue and augmented.shape[1] == 3:
            augmented = self._rotate_hue(augmented)
        if self.recipe.erase:
            augmented = self._erase(augmented)
        return augmented.contiguous(memory_format=torch.channels_last), geometry

    def _random_matrices(self, n: int, height_ratio: float) -> torch.Tensor:
        """Draws matrices `(n, 2, 3)` for images that are `height_ratio` times as high as wide.

        Rotations are right in pixels, not in coordinates from -1 to 1.
        """
        r = self.recipe
        angle = _uniform(n, -1, 1) * math.radians(r.rotate)
        scale = 1 + _uniform(n, -1, 1) * r.zoom
        flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if self.flips else torch.ones(n)
        right, down = (_uniform(n, -1, 1) * 2 * r.shift for _ in range(2))
        width_share = height_share = torch.ones(n)
        if r.crop < 1:
            width_share, height_share = _side_shares(_uniform(n, r.crop, 1), CROP_ASPECTS)
            right, down = right + _uniform(n, -1, 1) * (1 - width_share), down + _uniform(n, -1, 1) * (1 - height_share)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        first_row = cos * flip * width_share, -sin * width_share * height_ratio, right
        second_row = sin * flip * height_share / height_ratio, cos * height_share, down
        return torch.stack([*first_row, *second_row], 1).view(n, 2, 3)

    def _downsample(self, images: torch.Tensor, resolution: Resolution) -> torch.Tensor:
        """Downsamples images much larger than needed, as far as the smallest crops allow, to avoid aliasing."""
        height, width = (math.ceil(side / math.sqrt(max(self.recipe.crop, 0.25))) for side in sides(resolution))
        larger = images.shape[-2] > height and images.shape[-1] > width
        return uint8_to_float(resize_images(images, (height, width)) if larger else images)

    def _sample(self, images: torch.Tensor, moves: torch.Tensor, resolution: Resolution) -> torch.Tensor:
        grid = F.affine_grid(moves, [len(moves), images.shape[1], *sides(resolution)], align_corners=False)
        if not self.letterbox:
            return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        return F.grid_sample(images - GREY, grid, padding_mode="zeros", align_corners=False) + GREY

    def _mosaic(self, images: torch.Tensor, moves: torch.Tensor, resolution: Resolution) -> tuple[torch.Tensor, Moves]:
        """Joins each image with three others of the batch around a random point, at the scale of a single image."""
        n = len(images)
        source_images = torch.stack([torch.arange(n), *(torch.randperm(n) for _ in range(3))], 1)
        source_images = source_images.gather(1, torch.rand(n, 4).argsort(1))
        small = self._downsample(images, resolution)

        parts = [small[source_images[:, i].to(images.device)] for i in range(4)]
        canvas = torch.cat([torch.cat(parts[:2], -1), torch.cat(parts[2:], -1)], -2)
        centre = (_uniform(n, -0.5, 0.5), _uniform(n, -0.5, 0.5))
        window = moves * 0.5
        window[:, :, 2] += torch.stack(centre, 1).to(moves)
        # From the canvas to one of its quarters, from -1 to 1 in both.
        quarters = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], device=moves.device)
        matrices = window[:, None].repeat(1, 4, 1, 1) * 2
        matrices[..., 2] += quarters
        return self._sample(canvas, window, resolution), Moves(matrices, source_images)

    def _jitter_colours(self, images: torch.Tensor) -> torch.Tensor:
        n, strength = len(images), self.recipe.colour
        brightness, contrast, saturation = (
            _uniform(n, 1 - strength, 1 + strength).view(-1, 1, 1, 1).to(images.device) for _ in range(3)
        )
        images = (images + 1) * brightness - 1
        return with_saturation(with_contrast(images, contrast), saturation).clamp_(-1, 1)

    def _rotate_hue(self, images: torch.Tensor) -> torch.Tensor:
        """Rotates colours about the grey axis, so that greys stay as they are."""
        angle = (_uniform(len(images), -1, 1) * 2 * math.pi * self.recipe.hue).to(images.device)
        cos, sin = angle.cos(), angle.sin() / math.sqrt(3)
        same, other = cos + (1 - cos) / 3, (1 - cos) / 3
        rows = [same, other - sin, other + sin, other + sin, same, other - sin, other - sin, other + sin, same]
        turn = torch.stack(rows, 1).view(-1, 3, 3)
        return torch.einsum("nij,njhw->nihw", turn, images).clamp_(-1, 1)

    def _erase(self, images: torch.Tensor) -> torch.Tensor:
        n = len(images)
        width_share, height_share = _side_shares(_uniform(n, *ERASED_AREA), ERASED_ASPECTS)
        inside = _rectangles(width_share, height_share, images)
        inside &= (torch.rand(n) < self.recipe.erase).to(images.device).view(-1, 1, 1)
        noise = torch.randn(n, images.shape[1], 1, 1).to(images.device).expand_as(images)
        return torch.where(inside[:, None], noise, images)

    def mixed(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Blends images with others of the batch, by mixup or cutmix as the recipe says.

        Returns:
            The blended images, the indices `(n,)` of their partners, and the share `(n,)` of the first image in
            [0, 1]; None if the recipe has neither.
        """
        methods = [name for name in ("mixup", "cutmix") if getattr(self.recipe, name)]
        if not methods:
            return None
        name = methods[int(torch.randint(len(methods), ()))]
        alpha = torch.tensor(float(getattr(self.recipe, name)))
        share = torch.distributions.Beta(alpha, alpha).sample((len(images),))
        order = torch.randperm(len(images))
        partners = images[order.to(images.device)]
        if name == "mixup":
            weight = share.view(-1, 1, 1, 1).to(images.device)
            return images * weight + partners * (1 - weight), order, share
        width_share, height_share = ((1 - share).sqrt(),) * 2
        inside = _rectangles(width_share, height_share, images)
        return torch.where(inside[:, None], partners, images), order, 1 - inside.float().mean((1, 2))


def _side_shares(area: torch.Tensor, aspects: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    aspect = _uniform(len(area), *map(math.log, aspects)).exp()
    return (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)


def _rectangles(width_share: torch.Tensor, height_share: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Draws masks `(n, height, width)` of rectangles with these shares of the sides, anywhere inside the image."""

    def inside(side: int, share: torch.Tensor) -> torch.Tensor:
        start = (torch.rand(len(share)) * (1 - share))[:, None].to(images.device)
        position = (torch.arange(side, device=images.device) + 0.5) / side
        return (position >= start) & (position < start + share[:, None].to(images.device))

    columns, rows = inside(images.shape[-1], width_share), inside(images.shape[-2], height_share)
    return rows[:, :, None] & columns[:, None, :]
