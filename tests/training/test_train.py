"""The recipe: repeatable, decaying weights alone, averaging, and stopping on a loss that is not finite."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import TINY_SPACE

from scalesearch.data.sources import load, source
from scalesearch.space.schema import space_from_dict
from scalesearch.training.optimizing import rate_factor
from scalesearch.training.trainer import Trainer, TrainingFailed
from scalesearch.trials.recipe import RECIPES

SHORT = replace(RECIPES["quick"], epochs=2, data_share=0.3)


@pytest.fixture(scope="module")
def arch():
    return space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1).sample(0)[1]


def trained(arch, recipe=SHORT, seed=0):
    trainer = Trainer(arch, source("digits"), recipe, seed)
    while not trainer.done:
        trainer.run_epoch()
    return trainer


def test_digits_are_whole_and_the_splits_apart():
    splits = load(source("digits"))
    assert [len(splits[name][1]) for name in ("train", "val", "test")] == [1077, 360, 360]
    images = {name: {image.tobytes() for image in images.numpy()} for name, (images, _) in splits.items()}
    assert not images["train"] & images["test"]
    assert not images["val"] & images["test"]


def test_same_seed_same_numbers_and_another_seed_others(arch):
    one, same, other = trained(arch), trained(arch), trained(arch, seed=1)
    assert one.scores("val") == same.scores("val") != other.scores("val")
    assert all(torch.equal(a, b) for a, b in zip(one.weights().values(), same.weights().values()))


def test_learns(arch):
    scores = trained(arch, replace(RECIPES["quick"], epochs=6)).scores("test")
    assert scores["test_accuracy"] > 0.8


def test_weight_decay_spares_norms_and_biases(arch):
    trainer = Trainer(arch, source("digits"), SHORT, 0)
    groups = trainer.optimizer.param_groups
    for group in groups:
        is_spared = all(p.ndim == 1 for p in group["params"])
        assert is_spared or all(p.ndim > 1 for p in group["params"])
        assert group["weight_decay"] == (0 if is_spared else SHORT.weight_decay)
    assert sum(len(group["params"]) for group in groups) == len(list(trainer.model.parameters()))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_learning_rate_warms_up_and_falls_to_zero(arch, schedule):
    recipe = replace(SHORT, epochs=10, warmup=0.15, schedule=schedule)
    trainer = Trainer(arch, source("digits"), recipe, 0)
    rates = []
    for _ in range(trainer.steps + 1):
        rates.append(trainer.optimizer.param_groups[0]["lr"] / recipe.learning_rate)
        trainer.optimizer.step()
        trainer.schedule.step()
    assert rates == pytest.approx([rate_factor(i, trainer.steps, 0.15, schedule) for i in range(trainer.steps + 1)])
    top = rates.index(max(rates))
    assert top == pytest.approx(0.15 * trainer.steps, abs=1)
    assert rates[top] == pytest.approx(1, abs=0.05)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 1e-9


def test_the_average_is_scored_and_handed_out(arch):
    trainer = trained(arch, replace(SHORT, ema_span=0.5))
    raw = dict(trainer.model.named_parameters())
    assert set(trainer.weights()) == set(trainer.model.state_dict())
    assert any(not torch.equal(trainer.weights()[name], raw[name].detach()) for name in raw)


def test_a_loss_that_is_not_finite_stops_with_its_place(arch):
    trainer = Trainer(arch, source("digits"), SHORT, 0)
    with torch.no_grad():
        trainer.model.head.linear.weight.fill_(float("nan"))
    with pytest.raises(TrainingFailed, match="the loss became nan in epoch 1 of 2"):
        trainer.run_epoch()
