"""The timing of a few steps leaves nothing behind in the process."""

from __future__ import annotations

import numpy as np
import torch

import scalesearch as ss
from scalesearch.arch import adapt
from scalesearch.data import load, source
from scalesearch.training import Training, seconds_per_image
from scalesearch.trials import RECIPES, TASKS


def test_timing_leaves_the_images_of_the_data_alone():
    """Made-up images of the same data set must not be taken for its own by the trainings that follow."""
    data = source("digits", 16)
    arch = adapt(ss.load("resnet20_cifar"), resolution=16, classes=10, channels=1)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert 0 < seconds_per_image(arch, Training(TASKS["classification"], data, 16, RECIPES["quick"]), 1) < 1
    pixels, labels = load(data)["train"]
    assert (len(pixels), len(labels)) == (data.sizes["train"],) * 2
    fresh, _ = source("digits", 16).load()["train"]
    assert np.array_equal(pixels.store[pixels.rows].transpose(0, 3, 1, 2), fresh)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
