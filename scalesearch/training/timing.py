"""Times training steps on made-up images, for estimates made before a study begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from scalesearch.arch import Arch
from scalesearch.data import Source, Split
from scalesearch.training.trainer import Trainer
from scalesearch.training.training import Training

STEPS = 3  # timed after as many that warm up


def seconds_per_image(arch: Arch, training: Training, threads: int) -> float:
    """Returns the seconds that one image of a training epoch takes on the CPU, at the recipe's batch size.

    Args:
        arch: A classifier, adapted to the data.
        training: How it is trained; its images are replaced by random ones.
        threads: CPU threads to compute with.
    """
    previous_threads, batch = torch.get_num_threads(), training.recipe.batch_size
    recipe = replace(training.recipe, epochs=2, data_share=1.0, patience=0)
    count = STEPS * batch
    made_up = f"random {count} of {arch.sides}"  # so that nothing takes them for the data's own images
    source = replace(training.data, load=_random_images(training.data, arch, count), digest=made_up)
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            trainer = Trainer(arch, source, recipe, 0, "cpu", training.task)
            trainer.run_epoch()
            started = time.perf_counter()
            trainer.run_epoch()
            return (time.perf_counter() - started) / (STEPS * batch)
    finally:
        torch.set_num_threads(previous_threads)


def _random_images(data: Source, arch: Arch, count: int) -> Callable[[], dict[str, Split]]:
    """Returns a loader of `count` random images for training and one for each other split."""

    def load() -> dict[str, Split]:
        rng = np.random.default_rng(0)

        def split(images: int) -> Split:
            pixels = rng.integers(0, 256, (images, data.channels, *arch.sides), dtype=np.uint8)
            return pixels, rng.integers(0, data.classes, images)

        return {"train": split(count), "val": split(1), "test": split(1)}

    return load
