"""Images of a split, a batch at a time, as tensors on the device that trains."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.arch import Resolution, sides
from scalesearch.data import Pixels

LIGHT = 0.299, 0.587, 0.114  # ITU-R BT.601: how red, green and blue add up to grey
ON_DEVICE = 0.4  # of a GPU's free memory, at most, holds the images themselves


class Pictures:
    """The images of a split with their labels; all on a GPU where they fit, else read from the disk's cache."""

    def __init__(self, pixels: Pixels, labels: Any, device: torch.device):
        self.device, self.labels = device, labels.to(device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing writes into what is mapped
            self.store = torch.from_numpy(pixels.store)
        self.rows = torch.from_numpy(pixels.rows)
        if device.type == "cuda" and pixels.store[0].nbytes * len(pixels) < ON_DEVICE * torch.cuda.mem_get_info()[0]:
            self.store, self.rows = self.store[self.rows].to(device), torch.arange(len(pixels), device=device)

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, which: torch.Tensor) -> torch.Tensor:
        """Those images, `(n, channels, height, width)` uint8 with channels last in memory."""
        taken = self.store.index_select(0, self.rows[which.to(self.rows.device)])
        return taken.to(self.device, non_blocking=True).permute(0, 3, 1, 2)


def resized(images: torch.Tensor, resolution: Resolution) -> torch.Tensor:
    """Images at another resolution, smoothed where that is smaller; the same rule for training and prediction."""
    if images.shape[-2:] == sides(resolution):
        return images
    kind = images if images.device.type == "cpu" else images.float()
    out = F.interpolate(kind, sides(resolution), mode="bilinear", antialias=True)
    return out if out.dtype == images.dtype else out.round_().to(images.dtype)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """uint8 as floats from -1 to 1."""
    return images.float().div_(127.5).sub_(1)


class Normal(NamedTuple):
    """Mean and standard deviation of every channel, pixels being from 0 to 1, that a network takes for zero and one."""

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def of(self, images: torch.Tensor) -> torch.Tensor:
        """Images from -1 to 1 as the network takes them."""
        if self == Normal():
            return images
        mean, std = (torch.tensor(every_channel(v, images.shape[1])).view(1, -1, 1, 1).to(images) for v in self)
        return (images * 0.5 + 0.5 - mean) / std


def every_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """A value for each channel, the last one's for those that have none."""
    return (*values, *[values[-1]] * channels)[:channels]


def grey(images: torch.Tensor) -> torch.Tensor:
    """Of any number of channels, in one."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = torch.tensor(LIGHT, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)
