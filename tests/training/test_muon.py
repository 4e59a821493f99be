"""Muon against the singular value decomposition that it saves, and against AdamW where it leaves that alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import scalesearch as ss
from scalesearch.arch import adapt
from scalesearch.data.sources import source
from scalesearch.training.muon import Muon, orthogonalise
from scalesearch.training.trainer import Trainer
from scalesearch.trials.recipe import RECIPES


@pytest.mark.parametrize("shape", [(8, 72), (64, 16), (30, 30), (1, 9)])
def test_directions_stay_and_their_lengths_become_alike(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalise(matrix)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    rotated = u.T @ found @ v.T  # diagonal where the singular vectors are the same
    assert torch.allclose(rotated, torch.diag(rotated.diagonal()), atol=1e-4)
    assert rotated.diagonal().min() > 0.6
    assert rotated.diagonal().max() < 1.3


def test_a_step_is_as_long_as_adamws():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(32, 16, 3, 3))
    before = weight.detach().clone()
    optimizer = Muon([{"params": [weight], "matrices": 1, "momentum": 0.9}], lr=0.01, weight_decay=0.0)
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    step = (weight - before).flatten(1)
    assert step.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.25)
    assert weight.grad is None


def test_every_group_of_filters_is_a_matrix_of_its_own():
    filters = torch.randn(12, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    together = orthogonalise(filters.flatten(1).unflatten(0, (4, -1)))
    apart = torch.stack([orthogonalise(group.flatten(1)) for group in filters.split(3)])
    assert torch.allclose(together, apart, atol=1e-5)
    depthwise = orthogonalise(filters[:, :1].flatten(1).unflatten(0, (12, -1)))
    assert torch.allclose(depthwise.norm(dim=-1), torch.ones(12, 1), atol=1e-5)


def test_what_is_no_matrix_learns_by_adamw():
    arch = adapt(ss.load("mobilenet_v2"), resolution=32, classes=10, channels=1)
    trainer = Trainer(arch, source("digits"), replace(RECIPES["quick"], optimizer="muon", epochs=1, data_share=0.1), 0)
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    groups = trainer.optimizer.param_groups
    matrices = [names[id(w)] for group in groups if group["matrices"] for w in group["params"]]
    others = [names[id(w)] for group in groups if not group["matrices"] for w in group["params"]]
    assert all(trainer.model.get_parameter(name).dim() == 4 for name in matrices)
    assert all(any(part in name for name in matrices) for part in ("stem.", ".expand.", ".depthwise.", ".project."))
    assert all(name.startswith("head.") or trainer.model.get_parameter(name).dim() == 1 for name in others)
    assert any(name.startswith("head.") for name in others)
    assert len(matrices) + len(others) == len(names)
    assert trainer.run_epoch()["train_loss"] < 3
