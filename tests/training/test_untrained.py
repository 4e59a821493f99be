"""Trainings that taught their network nothing are told from those that did."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import invoke

from scalesearch.training.classification import ClassificationLearner
from scalesearch.training.untrained import untrained_reason
from scalesearch.trials import TASKS

TASK = TASKS["classification"]


def history(losses, scores):
    return [
        {"epoch": i + 1, "train_loss": loss, "val_accuracy": score}
        for i, (loss, score) in enumerate(zip(losses, scores, strict=True))
    ]


@pytest.mark.parametrize(
    ("losses", "scores", "reason"),
    [
        ([2.3, 2.0, 1.5], [0.2, 0.4, 0.6], ""),
        ([2.3, 2.0, 1.5], [0.2, 0.4, 0.11], "no better than guessing"),
        ([2.3, 2.31, 2.29, 2.3], [0.2, 0.2, 0.2, 0.2], "the training loss never fell (2.3 to 2.3)"),
        ([2.3] * 4 + [2.2, 1.8], [0.1] * 4 + [0.2, 0.3], "nothing was learned in the first 3 of 6 epochs"),
        ([2.3, 2.2, 2.1, 2.0, 1.9, 1.8], [0.1] * 4 + [0.2, 0.3], ""),  # an average of weights may lag behind
        ([2.3], [0.3], ""),
    ],
)
def test_reasons(losses, scores, reason):
    assert reason in untrained_reason(TASK, {"val_accuracy": scores[-1]}, history(losses, scores), 0.12)
    assert bool(reason) == bool(untrained_reason(TASK, {"val_accuracy": scores[-1]}, history(losses, scores), 0.12))


def test_guessing_reaches_the_largest_class_and_two_standard_errors():
    labels = torch.tensor([0] * 60 + [1] * 40)
    assert ClassificationLearner().chance(labels) == pytest.approx(0.6 + 2 * (0.6 * 0.4 / 100) ** 0.5)
    assert ClassificationLearner().chance(torch.zeros(9, dtype=torch.int64)) == 1.0


def test_train_says_that_it_taught_nothing(tmp_path):
    result = invoke(
        *("train", "resnet20_cifar", "--data", "digits", "--resolution", "8", "--recipe", "quick", "--epochs", "1"),
        *("--batch", "256", "--lr", "1e-9", "--set", "data_share=0.2", "--out", str(tmp_path / "out")),
    )
    assert result.exit_code == 0, result.output
    assert "resnet20_cifar did not train: " in result.stderr
    assert "is no better than guessing" in json.loads((tmp_path / "out/summary.json").read_text())["untrained"]
    assert "The network did not train" in (tmp_path / "out/card.md").read_text()


@pytest.mark.parametrize("rate", ["1e8", "1e12"])
def test_numbers_that_are_not_finite_fail_the_training(rate, tmp_path):
    result = invoke(
        *("train", "resnet20_cifar", "--data", "digits", "--resolution", "8", "--recipe", "quick", "--epochs", "2"),
        *("--lr", rate, "--set", "data_share=0.3", "--out", str(tmp_path / "out")),
    )
    assert result.exit_code == 1, result.output
    assert "failed: " in result.stderr
    assert not (tmp_path / "out/summary.json").exists()
