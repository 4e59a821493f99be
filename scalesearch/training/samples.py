"""Images that show how a training went: a batch as the network saw it, and those that it finds hardest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from scalesearch.arch import Arch
from scalesearch.data import Source, load
from scalesearch.network import Network
from scalesearch.training.augmenting import Augmentation
from scalesearch.training.pictures import Normalisation, Pictures, resize_images, uint8_to_float
from scalesearch.trials import Recipe, Task

BATCH = 256  # images at a time
MOST_IMAGES = 2_000  # of a split, evenly spread, among which the hardest are looked for
CPU = torch.device("cpu")


class HardImage(NamedTuple):
    """An image that a classifier finds hard: its pixels `(height, width, channels)`, uint8, the numbers of its class
    and of the predicted one, and the probability in [0, 1] that the network gives to its class.
    """

    pixels: np.ndarray
    actual: int
    predicted: int
    probability: float


def training_batch(source: Source, arch: Arch, recipe: Recipe, task: Task, seed: int, count: int = 16) -> np.ndarray:
    """Returns a batch of training images as the network saw them, uint8 `(count, height, width, channels)`.

    Args:
        source: The images.
        arch: The network.
        recipe: The recipe, whose changes are applied.
        task: What the network is for.
        seed: Of the choice of images and of the changes.
        count: The number of images, at most.
    """
    pixels, labels = load(source)["train"]
    pictures = Pictures(pixels, torch.zeros(len(labels)), CPU)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        which = torch.randperm(len(pictures))[:count]
        images, _ = Augmentation(recipe, source.mirror, task.letterbox)(pictures.images(which), arch.resolution)
    return images.add(1).mul(127.5).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def hardest_images(
    network: Network, source: Source, normal: Normalisation, device: str = "cpu", split: str = "test", count: int = 12
) -> list[HardImage]:
    """Returns the images of a split to whose class a classifier gives the smallest probability, the smallest first.

    They are looked for among at most `MOST_IMAGES`.
    """
    pixels, labels = load(source)[split]
    truth = torch.as_tensor(np.asarray(labels), dtype=torch.int64)
    pictures, network = Pictures(pixels, truth, CPU), network.eval().to(device)
    rows = torch.linspace(0, len(pictures) - 1, min(len(pictures), MOST_IMAGES)).round().long()
    outputs = []
    for part in rows.split(BATCH):
        images = uint8_to_float(resize_images(pictures.images(part), network.arch.resolution))
        outputs.append(network(normal.of(images).to(device)).float().softmax(1).cpu())
    probabilities, truth = torch.cat(outputs), truth[rows]
    own = probabilities.gather(1, truth[:, None])[:, 0]
    return [
        HardImage(
            pictures.images(rows[i][None])[0].permute(1, 2, 0).numpy(),
            int(truth[i]),
            int(probabilities[i].argmax()),
            float(own[i]),
        )
        for i in own.argsort()[:count]
    ]
