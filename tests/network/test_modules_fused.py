"""Networks as they are quickest to run."""

from __future__ import annotations

import pytest
import torch
from helpers import liven

import scalesearch as ss
from scalesearch.network.fusing import fused_copy
from scalesearch.network.modules import build


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "densenet121",
        "yolov8n",
        "inception_v1",
        "vgg11_bn",
        "convnext_tiny",
        "shufflenet_v2_x0_5",
    ],
)
def test_norms_in_the_convolutions_before_them_change_nothing(name):
    model = liven(build(ss.load(name, resolution=64, classes=10))).eval()
    before = sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    quick = fused_copy(model)
    left = sum(isinstance(m, torch.nn.BatchNorm2d) for m in quick.modules())
    assert left < before or not before
    assert before == sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        outs = [out if isinstance(out, tuple) else (out,) for out in (model(x), quick(x))]
    for a, b in zip(*outs, strict=True):
        assert ((a - b).abs().max() / a.abs().max()).item() < 1e-4


def test_it_is_made_again_when_weights_change():
    model = liven(build(ss.load("resnet18", resolution=64, classes=10))).eval()
    first, x = fused_copy(model), torch.randn(2, 3, 64, 64)
    assert fused_copy(model) is first
    with torch.no_grad():
        before = first(x)
        model.get_parameter(next(name for name, _ in model.named_parameters())).mul_(2)
        assert fused_copy(model) is not first
        assert torch.allclose(fused_copy(model)(x), model(x), atol=1e-3)
        assert not torch.allclose(before, model(x), atol=1e-3)
