"""The peers' own models by our names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

TORCHVISION = {"inception_v1": "googlenet", "inception_v1_aux": "googlenet", "inception_v3_aux": "inception_v3"}
TIMM = {"mobilenet_v1": "mobilenetv1_100", "mobilenet_v2": "mobilenetv2_100", "mobilenet_v2_x0_35": "mobilenetv2_035",
        "mobilenet_v2_x0_5": "mobilenetv2_050", "mobilenet_v2_x0_75": "mobilenetv2_075",
        "mobilenet_v2_x1_4": "mobilenetv2_140", "mobilenet_v3_small": "mobilenetv3_small_100",
        "mobilenet_v3_large": "mobilenetv3_large_100",
        "mobilenet_v4_conv_small": "mobilenetv4_conv_small", "mobilenet_v4_conv_medium": "mobilenetv4_conv_medium",
        "mobilenet_v4_conv_large": "mobilenetv4_conv_large", "mobilenet_v4_hybrid_medium": "mobilenetv4_hybrid_medium",
        "mobilenet_v4_hybrid_large": "mobilenetv4_hybrid_large", "efficientnet_v2_s": "efficientnetv2_s",
        "efficientnet_v2_m": "efficientnetv2_m", "efficientnet_v2_l": "efficientnetv2_l", "mnasnet0_5": "mnasnet_050",
        "mnasnet0_75": "mnasnet_075", "mnasnet1_0": "mnasnet_100", "regnet_y_400mf": "regnety_004",
        "regnet_y_800mf": "regnety_008_tv",
        "regnet_y_800mf_pycls": "regnety_008", "regnet_y_1_6gf": "regnety_016", "regnet_y_3_2gf": "regnety_032",
        "regnet_y_4gf": "regnety_040", "regnet_y_6_4gf": "regnety_064", "regnet_y_8gf": "regnety_080_tv",
        "regnet_y_8gf_pycls": "regnety_080"}  # fmt: skip
MULTIPLIERS = {"_x0_35": 0.35, "_x0_5": 0.5, "_x0_75": 0.75, "_x1_4": 1.4}


def torchvision_model(models: Any, name: str) -> Callable[[], nn.Module] | None:
    """The maker of torchvision's model, or None."""
    options: dict[str, Any] = {}
    if name.startswith(("inception_v1", "inception_v3")):
        options = {"aux_logits": name.endswith("_aux"), "init_weights": False, "transform_input": False}
    base, _, multiplier = name.partition("_x")
    if multiplier and name.startswith("mobilenet_v2"):
        name, options = base, {"width_mult": MULTIPLIERS[f"_x{multiplier}"]}
    peer = TORCHVISION.get(name, name)
    return (lambda: models.get_model(peer, weights=None, **options)) if peer in models.list_models(models) else None


def timm_model(name: str) -> Callable[[], nn.Module] | None:
    """The maker of timm's model, or None."""
    import timm

    peer = TIMM.get(name, name)
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
