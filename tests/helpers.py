"""Small things that tests build with."""

from __future__ import annotations

import torch
from torch import nn


def liven(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics under which every layer matters: a fresh network in eval mode says little but its bias."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.uniform_(module.weight, 0.6, 1.4, generator=generator)
            nn.init.normal_(module.bias, 0, 0.2, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=generator)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features**-0.5, generator=generator)
    return model


TINY_SPACE = {
    "name": "tiny",
    "resolution": 16,
    "classes": 10,
    "stem": {"conv": {"width": {"choice": [8, 16]}, "stride": 2, "act": "silu"}},
    "stages": [
        {"depth": {"range": [1, 2]}, "stride": 1, "mbconv": {"width": {"choice": [8, 16]}, "expand": {"choice": [1, 3]}}},
        {"depth": {"range": [1, 2]}, "stride": 2, "mbconv": {"width": {"choice": [16, 24, 32]}, "kernel": {"choice": [3, 5]}}},
    ],
    "head": {"classifier": {"dropout": 0.1}},
}
