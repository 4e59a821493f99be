"""Images of a split as tensors on the training device, a batch at a time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.arch import Resolution, sides
from scalesearch.data import Pixels

LUMA = 0.299, 0.587, 0.114  # ITU-R BT.601: how red, green and blue add up to grey
MAX_GPU_SHARE = 0.4  # largest share of a GPU's free memory that may hold the images


class Pictures:
    """Holds the images of a split and their labels: on the GPU if they fit, else read from the cache on disk."""

    def __init__(self, pixels: Pixels, labels: Any, device: torch.device):
        self.device, self.labels = device, labels.to(device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing writes into what is mapped
            self.store = torch.from_numpy(pixels.store)
        self.rows = torch.from_numpy(pixels.rows)
        size = pixels.store[:1].nbytes * len(pixels)  # bytes
        if device.type == "cuda" and size < MAX_GPU_SHARE * torch.cuda.mem_get_info()[0]:
            self.store, self.rows = self.store[self.rows].to(device), torch.arange(len(pixels), device=device)

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, which: torch.Tensor) -> torch.Tensor:
        """Returns images by index, `(n, channels, height, width)` uint8 with channels last in memory."""
        pixels = self.store.index_select(0, self.rows[which.to(self.rows.device)])
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)


def resize_images(images: torch.Tensor, resolution: Resolution) -> torch.Tensor:
    """Returns images `(n, channels, h, w)` at another resolution, smoothed where that is smaller.

    The dtype stays. Training and prediction both use it.
    """
    if images.shape[-2:] == sides(resolution):
        return images
    source = images if images.device.type == "cpu" else images.float()
    out = F.interpolate(source, sides(resolution), mode="bilinear", antialias=True)
    return out if out.dtype == images.dtype else out.round_().to(images.dtype)


def uint8_to_float(images: torch.Tensor) -> torch.Tensor:
    """Returns uint8 images `(N, C, H, W)` as floats from -1 to 1."""
    return images.float().div_(127.5).sub_(1)


class Normalisation(NamedTuple):
    """Holds each channel's mean and standard deviation, of pixels from 0 to 1, to normalise with."""

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def of(self, images: torch.Tensor) -> torch.Tensor:
        """Returns images from -1 to 1, normalised for the network."""
        if self == Normalisation():
            return images
        mean, std = (torch.tensor(values_per_channel(v, images.shape[1])).view(1, -1, 1, 1).to(images) for v in self)
        return (images * 0.5 + 0.5 - mean) / std


def values_per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Returns one value per channel; the last value stands for the channels that have none."""
    return (*values, *[values[-1]] * channels)[:channels]


def to_grey(images: torch.Tensor) -> torch.Tensor:
    """Returns images `(N, C, H, W)` in grey `(N, 1, H, W)`: by luma for three channels, else their mean."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = torch.tensor(LUMA, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def with_contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Returns images `(N, C, H, W)` whose distance from their mean grey is multiplied by `factor`, `(N, 1, 1, 1)`."""
    mean_grey = to_grey(images).mean((1, 2, 3), keepdim=True)
    return mean_grey + (images - mean_grey) * factor


def with_saturation(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Returns images `(N, C, H, W)` whose pixels' distance from grey is multiplied by `factor`, `(N, 1, 1, 1)`."""
    luminance = to_grey(images)
    return luminance + (images - luminance) * factor
