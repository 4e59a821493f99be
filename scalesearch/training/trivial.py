"""TrivialAugment (Müller & Hutter 2021, the wide space): one change an image, its strength uniformly at random."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from scalesearch.training.pictures import grey

GEOMETRY = ("identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y")
LEVELS = 31  # of strength


class Trivial:
    """What was drawn for a batch: a change and a strength from 0 to 1 for each image, half of them the other way."""

    def __init__(self, n: int):
        self.kind = torch.randint(len(GEOMETRY) + len(COLOURS), (n,))
        self.strength = torch.randint(LEVELS, (n,)) / (LEVELS - 1)
        self.signed = self.strength * torch.where(torch.rand(n) < 0.5, -1.0, 1.0)

    def moved(self, moves: torch.Tensor, tall: float = 1.0) -> torch.Tensor:
        """`moves`, `(n, 2, 3)`, with what changes the geometry of images `tall` times as high as wide laid before
        them."""
        n, of = len(moves), lambda name: torch.where(self.kind == GEOMETRY.index(name), self.signed, 0.0)
        angle = of("rotate") * math.radians(135)
        one, zero = torch.ones(n), torch.zeros(n)
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([cos, -sin * tall, zero, sin / tall, cos, zero, zero, zero, one], 1)
        move = torch.stack(
            [
                one,
                of("shear_x") * 0.99 * tall,
                of("translate_x") * 0.5,
                of("shear_y") * 0.99 / tall,
                one,
                of("translate_y") * 0.5,
                zero,
                zero,
                one,
            ],
            1,
        )
        return moves @ turn.view(n, 3, 3) @ move.view(n, 3, 3)

    def recoloured(self, images: torch.Tensor) -> torch.Tensor:
        """Images from -1 to 1 with what changes the colours."""
        shown = images.clone()
        for number, change in enumerate(COLOURS.values(), len(GEOMETRY)):
            which = torch.nonzero(self.kind == number).flatten()
            if len(which):
                there = which.to(images.device)
                levels = (shown[there].clamp(-1, 1) + 1) / 2
                strength, signed = (
                    drawn[which].view(-1, 1, 1, 1).to(images.device) for drawn in (self.strength, self.signed)
                )
                changed = change(levels, strength, signed)
                shown[there] = changed.clamp(0, 1) * 2 - 1
        return shown


def _contrast(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    middle = grey(x).mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * (1 + 0.99 * signed)


def _saturation(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    light = grey(x)
    return light + (x - light) * (1 + 0.99 * signed)


def _sharpness(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Towards or away from a smoothed image: 3×3, the middle weighing five times as much."""
    kernel = torch.ones(3, 3, device=x.device)
    kernel[1, 1] = 5
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 3, 3)
    smooth = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
    return smooth + (x - smooth) * (1 + 0.99 * signed)


def _posterize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """From 8 bits down to 2."""
    step = 2 ** (strength * 6).round()
    return ((x * 255).round() / step).floor() * step / 255


def _solarize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 1 - strength, 1 - x, x)


def _autocontrast(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-6), x)


def _equalize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Every level of a channel about as frequent as every other; in whole levels, as Pillow does it."""
    n, c, h, w = x.shape
    levels = (x * 255).round().long().view(n * c, h * w)
    counted = levels.new_zeros(n * c, 256).scatter_add_(1, levels, torch.ones_like(levels))
    last = counted.gather(1, levels.amax(1, keepdim=True))
    step = (h * w - last) // 255
    below = counted.cumsum(1) - counted
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    return torch.where((step > 0).view(n, c, 1, 1), table.gather(1, levels).view(n, c, h, w) / 255, x)


COLOURS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "brightness": lambda x, strength, signed: x * (1 + 0.99 * signed),
    "contrast": _contrast,
    "saturation": _saturation,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
assert len(GEOMETRY) + len(COLOURS) == 14
