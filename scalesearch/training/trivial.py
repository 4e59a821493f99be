"""TrivialAugment (Müller & Hutter 2021, the wide space).

Each image has one change, with a uniformly random strength.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from scalesearch.training.pictures import with_contrast, with_saturation

GEOMETRY = ("identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y")
LEVELS = 31  # of strength


class TrivialAugment:
    """Holds what was drawn for a batch of `n` images: a change each, and its strength from 0 to 1.

    `signed` is the strength with a random sign.
    """

    def __init__(self, n: int):
        self.kind = torch.randint(len(GEOMETRY) + len(COLOURS), (n,))
        self.strength = torch.randint(LEVELS, (n,)) / (LEVELS - 1)
        self.signed = self.strength * torch.where(torch.rand(n) < 0.5, -1.0, 1.0)

    def apply_geometry(self, moves: torch.Tensor, height_ratio: float = 1.0) -> torch.Tensor:
        """Returns `moves`, `(n, 2, 3)`, preceded by the drawn changes of geometry.

        The images are `height_ratio` times as high as wide.
        """
        n, strength_of = len(moves), lambda name: torch.where(self.kind == GEOMETRY.index(name), self.signed, 0.0)
        angle = strength_of("rotate") * math.radians(135)
        one, zero = torch.ones(n), torch.zeros(n)
        cos, sin = angle.cos(), angle.sin()
        rotation = torch.stack([cos, -sin * height_ratio, zero, sin / height_ratio, cos, zero, zero, zero, one], 1)
        shear_x = strength_of("shear_x") * 0.99 * height_ratio
        shear_y = strength_of("shear_y") * 0.99 / height_ratio
        shift_x, shift_y = strength_of("translate_x") * 0.5, strength_of("translate_y") * 0.5
        shear_and_shift = torch.stack([one, shear_x, shift_x, shear_y, one, shift_y, zero, zero, one], 1)
        return moves @ rotation.view(n, 3, 3) @ shear_and_shift.view(n, 3, 3)

    def apply_colours(self, images: torch.Tensor) -> torch.Tensor:
        """Returns images from -1 to 1 after the drawn changes of colour."""
        augmented = images.clone()
        for number, change in enumerate(COLOURS.values(), len(GEOMETRY)):
            rows = torch.nonzero(self.kind == number).flatten()
            if len(rows):
                device_rows = rows.to(images.device)
                levels = (augmented[device_rows].clamp(-1, 1) + 1) / 2
                strength, signed = (
                    values[rows].view(-1, 1, 1, 1).to(images.device) for values in (self.strength, self.signed)
                )
                augmented[device_rows] = change(levels, strength, signed).clamp(0, 1) * 2 - 1
        return augmented


def _sharpness(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Blends with a smoothed image or away from it: 3×3, the centre weighing five times as much."""
    kernel = torch.ones(3, 3, device=x.device)
    kernel[1, 1] = 5
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 3, 3)
    smooth = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
    return smooth + (x - smooth) * (1 + 0.99 * signed)


def _posterize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Reduces 8 bits per channel to as few as 2."""
    step = 2 ** (strength * 6).round()
    return ((x * 255).round() / step).floor() * step / 255


def _solarize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 1 - strength, 1 - x, x)


def _autocontrast(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-6), x)


def _equalize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Makes all levels of a channel about equally frequent; in 256 whole levels, as Pillow does."""
    n, c, h, w = x.shape
    levels = (x * 255).round().long().view(n * c, h * w)
    histogram = levels.new_zeros(n * c, 256).scatter_add_(1, levels, torch.ones_like(levels))
    last = histogram.gather(1, levels.amax(1, keepdim=True))
    step = (h * w - last) // 255
    below = histogram.cumsum(1) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    return torch.where((step > 0).view(n, c, 1, 1), table.gather(1, levels).view(n, c, h, w) / 255, x)


COLOURS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "brightness": lambda x, strength, signed: x * (1 + 0.99 * signed),
    "contrast": lambda x, strength, signed: with_contrast(x, 1 + 0.99 * signed),
    "saturation": lambda x, strength, signed: with_saturation(x, 1 + 0.99 * signed),
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
assert len(GEOMETRY) + len(COLOURS) == 14
