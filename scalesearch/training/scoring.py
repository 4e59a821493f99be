"""Scores a network on the images of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from scalesearch.arch import Arch
from scalesearch.counting import peak_memory
from scalesearch.plain_data import PlainDict
from scalesearch.training.learners import Learner
from scalesearch.training.memory import USABLE_SHARE, free_bytes, is_out_of_memory
from scalesearch.training.pictures import Normalisation, Pictures, resize_images, uint8_to_float
from scalesearch.training.precision import autocast
from scalesearch.trials import Recipe

MAX_BATCH = 512  # images


@dataclass(frozen=True)
class Scorer:
    """Scores a network on splits by a task's metrics.

    Attributes:
        network: The network; it is put into eval mode.
        arch: Its architecture.
        learner: Computes the metrics.
        recipe: The training's recipe.
        normal: How the network's input is normalised.
        split: Returns a split's images by its name.
        device: Where to compute.
    """

    network: nn.Module
    arch: Arch
    learner: Learner[Any, Any]
    recipe: Recipe
    normal: Normalisation
    split: Callable[[str], Pictures]
    device: torch.device

    def network_input(self, images: torch.Tensor) -> torch.Tensor:
        """Returns uint8 images as the network takes them: resized, and as normalised floats."""
        return self.normal.of(uint8_to_float(resize_images(images, self.arch.resolution)))

    @cached_property
    def max_batch(self) -> int:
        """The largest number of images at a time that memory holds, a power of two."""
        count, available = MAX_BATCH, USABLE_SHARE * free_bytes(self.device)
        while count > 1 and peak_memory(self.arch, count) > available:
            count //= 2
        return count

    @torch.no_grad()
    def _scored_parts(self, split: str, precision: str) -> Iterator[Any]:
        """Yields the learner's `predictions` batch by batch.

        Batches that do not fit into memory are halved.
        """
        self.network.eval()
        pictures = self.split(split)
        queue = list(torch.arange(len(pictures)).split(self.max_batch))
        while queue:
            part = queue.pop(0)
            try:
                with autocast(self.device, precision):
                    out = self.network(self.network_input(pictures.images(part)))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or len(part) == 1:
                    raise
                queue = [*part.tensor_split(2), *queue]
                continue
            yield self.learner.predictions(self.arch, out, pictures.labels[part.to(self.device)], self.recipe)

    def scores(self, split: str, precision: str) -> dict[str, float]:
        """Returns the metrics of a split by name, with the split in front: `{"val_loss": …}`."""
        values = self.learner.metrics(list(self._scored_parts(split, precision)), self.split(split).labels)
        return {f"{split}_{name}": value for name, value in values.items()}

    def final_scores(self, split: str) -> tuple[dict[str, float], PlainDict]:
        """Returns all scores of a split, and the task's details by class.

        They are computed in 32 bits, as others will run the network.
        """
        parts, labels = list(self._scored_parts(split, "fp32")), self.split(split).labels
        extra, details = self.learner.details(parts, labels)
        values = self.learner.metrics(parts, labels) | extra
        return {f"{split}_{name}": value for name, value in values.items()}, details
