"""What a network gives for the images of a split, and how good that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import nn

from scalesearch.arch import Arch
from scalesearch.counting import peak_memory
from scalesearch.training.learners import Learner
from scalesearch.training.memory import USED, free_on, ran_out
from scalesearch.training.pictures import Normal, Pictures, normalised, resized
from scalesearch.training.precision import autocast
from scalesearch.trials import Recipe

AT_ONCE = 512  # images, at most


class Scorer:
    """Scores `network`, whose architecture is `arch`, on splits by a task's metrics."""

    def __init__(
        self,
        network: nn.Module,
        arch: Arch,
        learner: Learner[Any, Any],
        recipe: Recipe,
        normal: Normal,
        split: Callable[[str], Pictures],
        device: torch.device,
    ):
        self.network, self.arch, self.learner, self.normal = network, arch, learner, normal
        self.recipe, self.split, self.device = recipe, split, device

    def shown(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 images as the network takes them."""
        return self.normal.of(normalised(resized(images, self.arch.resolution)))

    @cached_property
    def _at_once(self) -> int:
        count, room = AT_ONCE, USED * free_on(self.device)
        while count > 1 and peak_memory(self.arch, count) > room:
            count //= 2
        return count

    @torch.no_grad()
    def _kept(self, split: str, precision: str) -> Iterator[Any]:
        """What the task keeps of the outputs, part by part."""
        self.network.eval()
        pictures = self.split(split)
        waiting = list(torch.arange(len(pictures)).split(self._at_once))
        while waiting:
            part = waiting.pop(0)
            try:
                with autocast(self.device, precision):
                    out = self.network(self.shown(pictures.images(part)))
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error) or len(part) == 1:
                    raise
                waiting = [*part.tensor_split(2), *waiting]
                continue
            yield self.learner.kept(self.arch, out, pictures.labels[part.to(self.device)], self.recipe)

    def scores(self, split: str, precision: str) -> dict[str, float]:
        """`{"val_loss": …}` and the task's score, of a split."""
        found = self.learner.metrics(list(self._kept(split, precision)), self.split(split).labels)
        return {f"{split}_{name}": value for name, value in found.items()}

    def final_scores(self, split: str) -> tuple[dict[str, float], dict[str, Any]]:
        """All scores of a split in 32 bits, as others will run the network, and what is kept beside them, by class."""
        parts, labels = list(self._kept(split, "fp32")), self.split(split).labels
        more, details = self.learner.details(parts, labels)
        found = self.learner.metrics(parts, labels) | more
        return {f"{split}_{name}": value for name, value in found.items()}, details
