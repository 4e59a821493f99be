"""Fine-tuning helps: a network trained on CIFAR-10, on 500 photos of Imagenette, against the same from nothing."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

import numpy as np
import pytest
from conftest import SHARED

import scalesearch as ss
from scalesearch.arch import adapt
from scalesearch.data import Pixels
from scalesearch.data.sources import load, source
from scalesearch.training.trainer import Trainer
from scalesearch.trials.recipe import RECIPES

CIFAR, PHOTOS = SHARED / "data" / "cifar10", SHARED / "data" / "imagenette128"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CIFAR.exists() and PHOTOS.exists()), reason=f"needs photos, which are no part of the repository: {CIFAR}"
    ),
]


def few(found, count):
    """The first of the training photos, and of the others enough to tell."""
    splits = load(found)
    some = {"train": count, "val": 1000, "test": 2000}

    def parts():
        return {
            split: (Pixels(pixels.store, pixels.rows[: some[split]]), labels[: some[split]])
            for split, (pixels, labels) in shuffled(splits).items()
        }

    return replace(found, load=parts, digest=f"{found.digest}-{count}", sizes=some)


def shuffled(splits):
    rng = np.random.default_rng(0)
    orders = {split: rng.permutation(len(labels)) for split, (_, labels) in splits.items()}
    return {split: (pixels.select(orders[split]), labels[orders[split]]) for split, (pixels, labels) in splits.items()}


def trained(arch, data, recipe, seed, weights=None):
    trainer = Trainer(arch, data, recipe, seed)
    if weights:
        trainer.inherit(weights)
    while not trainer.done:
        trainer.run_epoch()
    return trainer


def test_five_hundred_photos_go_further_from_cifars_weights():
    arch = adapt(ss.load("resnet20_cifar"), resolution=32, classes=10, channels=3)
    before = trained(arch, source(str(CIFAR), 32), replace(RECIPES["cifar"], epochs=2, data_share=0.2), 0).weights()
    body = {name: value for name, value in before.items() if not name.startswith("head.")}
    photos = few(source(str(PHOTOS), 32), 500)
    tuning = replace(RECIPES["finetune"], epochs=8, learning_rate=3e-3)

    def score(weights, seed):
        return trained(arch, photos, tuning, seed, weights).scores("test")["test_accuracy"]

    gains = [score(body, seed) - score(None, seed) for seed in range(2)]
    assert min(gains) > 0, gains
    assert mean(gains) > 0.02, gains
