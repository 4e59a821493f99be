"""The peers' own models by our names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from scalesearch.weights.timm import ARCHITECTURES

TORCHVISION = {"inception_v1": "googlenet", "inception_v1_aux": "googlenet", "inception_v3_aux": "inception_v3"}
MULTIPLIERS = {"_x0_35": 0.35, "_x0_5": 0.5, "_x0_75": 0.75, "_x1_4": 1.4}


def torchvision_model(models: Any, name: str) -> Callable[[], nn.Module] | None:
    """The maker of torchvision's model, or None."""
    options: dict[str, Any] = {}
    if name.startswith(("inception_v1", "inception_v3")):
        options = {"aux_logits": name.endswith("_aux"), "init_weights": False, "transform_input": False}
    if name.endswith("_cifar"):
        return None
    base, _, multiplier = name.partition("_x")
    if multiplier and name.startswith("mobilenet_v2"):
        name, options = base, {"width_mult": MULTIPLIERS[f"_x{multiplier}"]}
    peer = TORCHVISION.get(name, name)
    return (lambda: models.get_model(peer, weights=None, **options)) if peer in models.list_models(models) else None


def timm_model(name: str) -> Callable[[], nn.Module] | None:
    """The maker of timm's model, or None."""
    import timm

    peer = ARCHITECTURES.get(name, name)
    if name.startswith("mobilenet_v1_x"):
        from timm.models.efficientnet import _gen_mobilenet_v1

        return lambda: _gen_mobilenet_v1("mobilenetv1_100", MULTIPLIERS[name[name.index("_x") :]])
    if name.startswith("mobilenet_v3") and "_x" in name:
        from timm.models.mobilenetv3 import _gen_mobilenet_v3

        return lambda: _gen_mobilenet_v3(f"mobilenetv3_{name.split('_')[2]}_100", MULTIPLIERS[name[name.index("_x") :]])
    if peer not in timm.list_models() or name == "darknet53":  # timm's has another activation
        return None
    return lambda: timm.create_model(peer, pretrained=False)


def ultralytics_model(name: str) -> Callable[[], nn.Module] | None:
    """The maker of Ultralytics' model, or None."""
    if not name.startswith("yolov8"):
        return None
    from ultralytics.nn.tasks import ClassificationModel, DetectionModel

    if name.endswith("_cls"):
        return lambda: ClassificationModel(name.replace("_", "-") + ".yaml", nc=1000, verbose=False)
    return lambda: DetectionModel(name + ".yaml", nc=80, verbose=False)


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()
