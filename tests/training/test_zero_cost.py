"""Zero-cost proxies."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from helpers import TINY_SPACE
from torch.nn import functional as F

from scalesearch import zoo
from scalesearch.arch.adapting import adapt
from scalesearch.network.modules import build
from scalesearch.space.schema import space_from_dict
from scalesearch.training.zero_cost import proxies
from scalesearch.trials.recipe import PROXIES


def tiny(seed=0):
    return space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1).sample(seed)[1]


def test_proxies_leave_the_network_and_the_dice_as_they_were():
    model = build(tiny())
    images, labels = torch.randn(16, 1, 16, 16), torch.arange(16) % 10
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = proxies(model, images, labels, F.cross_entropy)
    assert set(found) == {f"proxy.{name}" for name in PROXIES}
    assert all(map(math.isfinite, found.values()))
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())
    assert proxies(model, images, labels, F.cross_entropy) == found


def test_synflow_sees_a_deeper_network_as_larger():
    """Every layer multiplies the flow by more than one (Tanaka et al. 2020)."""
    images, labels, found = torch.randn(4, 3, 32, 32), torch.arange(4), []
    for name in ("resnet18", "resnet34"):
        torch.manual_seed(0)
        model = build(adapt(zoo.model(name), resolution=32, classes=10))
        found.append(proxies(model, images, labels, F.cross_entropy, ("synflow",))["proxy.synflow"])
    assert found[0] < found[1]


@pytest.mark.parametrize(
    "name", ["inception_v1_aux", "mobilenet_v4_hybrid_medium", "convnext_tiny", "vgg11", "densenet121"]
)
def test_proxies_take_any_network(name):
    model = build(adapt(zoo.model(name), resolution=32, classes=10))
    found = proxies(model, torch.randn(4, 3, 32, 32), torch.arange(4), F.cross_entropy)
    assert {"proxy.grad_norm", "proxy.zen", "proxy.naswot"} <= set(found)
