"""Statistics of batch norms, measured again before a network is scored."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import scalesearch as ss
from scalesearch.arch import adapt
from scalesearch.data.sources import source
from scalesearch.training.norms import batch_norms, measure_norms
from scalesearch.training.trainer import Trainer
from scalesearch.trials.recipe import RECIPES


def test_statistics_are_those_of_a_network_in_training_mode():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5))
    batches = [3 + 2 * torch.randn(8, 3, 9, 9) for _ in range(5)]
    expected = nn.Sequential(*model)
    for norm in batch_norms(expected):
        norm.reset_running_stats()
        norm.momentum = None  # torch then keeps the plain mean over batches
    expected.train()
    with torch.no_grad():
        for images in batches:
            expected(images)
    wanted = {name: value.clone() for name, value in expected.state_dict().items() if "running" in name}
    for norm in batch_norms(model):
        norm.reset_running_stats()
    measure_norms(model, batch_norms(model), batches)
    for name, value in wanted.items():
        assert torch.allclose(model.state_dict()[name], value, rtol=1e-4, atol=1e-5), name
    assert not model.training
    assert batch_norms(model, ["4"]) == [model[1]]


def trainer_of(**changes):
    arch = adapt(ss.load("resnet20_cifar"), resolution=8, classes=10, channels=1)
    recipe = replace(RECIPES["quick"], **({"epochs": 2, "data_share": 0.3, "norm_images": 128} | changes))
    return Trainer(arch, source("digits"), recipe, 0)


def trained(**changes):
    trainer = trainer_of(**changes)
    while not trainer.done:
        trainer.run_epoch()
    return trainer


def test_a_short_training_scores_with_statistics_of_its_own_weights():
    lagging, measured = trained(norm_images=0), trained()
    for (name, a), (_, b) in zip(lagging.model.named_parameters(), measured.model.named_parameters(), strict=True):
        assert torch.equal(a, b), name  # the training is the same
    assert measured.scores("val")["val_loss"] < lagging.scores("val")["val_loss"]


def test_scoring_twice_gives_the_same_and_a_resumed_training_goes_on_to_the_bit():
    whole, first = trained(), trainer_of()
    first.run_epoch()
    state = first.state()
    second = trainer_of()
    second.load_state(state)
    second.run_epoch()
    assert second.scores("val") == whole.scores("val") == whole.scores("val")


def test_norms_of_frozen_stages_keep_their_statistics():
    trainer = trainer_of(freeze_until="stages.0")
    before = {name: value.clone() for name, value in trainer.average.module.state_dict().items() if "running" in name}
    trainer.run_epoch()
    trainer.scores("val")
    for name, value in trainer.average.module.state_dict().items():
        if "running" in name:
            frozen = name.startswith(("stem.", "stages.0."))
            assert torch.equal(value, before[name]) == frozen, name


@pytest.mark.parametrize("name", ["vgg11", "convnext_tiny"])
def test_networks_without_batch_norms_are_scored_as_they_are(name):
    assert not batch_norms(ss.build(ss.load(name, resolution=64)))
