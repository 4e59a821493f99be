"""MobileNet v1, v2 and v3, all with width multipliers.

Sources: Howard et al. 2017, table 1 (v1); Sandler et al. 2018, table 2 (v2); Howard et al. 2019, tables 1
and 2 (v3). v1 is checked against timm's and has the ReLU6 of the authors' code, where the paper says
ReLU; v2 and v3 are checked against torchvision's. With a multiplier, v3 is as in timm (and the paper):
the expanded width follows the scaled input, while the head's hidden layer keeps its width, and so does
the stem below a multiplier of 0.75; torchvision scales each of them. `…_cifar` is v2 for images of 32
pixels, as people train it on CIFAR-10: stem and second stage keep the resolution
(chenyaofo/pytorch-cifar-models; its published params and MACs are equal to these).
"""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block, make_divisible
from scalesearch.zoo.tables import TABLES

CIFAR = "_cifar"
MULTIPLIERS = {"": 1.0, "_x0_35": 0.35, "_x0_5": 0.5, "_x0_75": 0.75, "_x1_4": 1.4}
#     width depth stride
V1 = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
#     expand width depth stride
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
#                            last width, hidden
V3 = {"mobilenet_v3_small": (576, 1024), "mobilenet_v3_large": (960, 1280)}


def _multiplier(name: str) -> float:
    name = name.removesuffix(CIFAR)
    return MULTIPLIERS[name[name.index("_x") :] if "_x" in name else ""]


def _scaled_width(name: str, width: int) -> int:
    return make_divisible(width * _multiplier(name))


def mobilenet_v1(name: str) -> Arch:
    """Returns the MobileNet v1 called `name`, with the width multiplier that the name ends in."""
    stem = (block("conv", "stem", width=_scaled_width(name, 32), stride=2, act="relu6"),)
    stages = tuple(
        Stage(block("separable", width=_scaled_width(name, w), act="relu6"), depth, stride) for w, depth, stride in V1
    )
    return Arch(name, 224, 1000, stem, stages, block("classifier", "head"))


def mobilenet_v2(name: str) -> Arch:
    """Returns the MobileNet v2 called `name`, with the width multiplier that the name ends in."""
    small_images = name.endswith(CIFAR)
    stem = (block("conv", "stem", width=_scaled_width(name, 32), stride=1 if small_images else 2, act="relu6"),)
    stages = tuple(
        Stage(
            block("inverted_residual", width=_scaled_width(name, w), expand=e),
            depth,
            1 if small_images and i == 1 else stride,
        )
        for i, (e, w, depth, stride) in enumerate(V2)
    )
    head = block("classifier", "head", width=max(1280, _scaled_width(name, 1280)), act="relu6", dropout=0.2)
    return Arch(name, 32 if small_images else 224, 10 if small_images else 1000, stem, stages, head)


def mobilenet_v3(name: str) -> Arch:
    """Returns the MobileNet v3 called `name`, with the width multiplier that the name ends in."""
    base_name = name.partition("_x")[0]
    last_width, hidden = V3[base_name]
    stem_width = 16 if _multiplier(name) < 0.75 else _scaled_width(name, 16)
    stem = (block("conv", "stem", width=stem_width, stride=2, act="hswish"),)
    stages = tuple(
        Stage(block("bneck", width=_scaled_width(name, w), kernel=k, expand=e, se_ratio=se, act=act), depth, stride)
        for k, e, w, se, act, depth, stride in TABLES[base_name]
    )
    head = block("classifier", "head", width=_scaled_width(name, last_width), hidden=hidden, act="hswish", dropout=0.2)
    return Arch(name, 224, 1000, stem, stages, head, norm_eps=1e-3, norm_momentum=0.01)


MAKERS = {"mobilenet_v1": mobilenet_v1, "mobilenet_v2": mobilenet_v2, **dict.fromkeys(V3, mobilenet_v3)}
MODELS = {base + suffix: make for base, make in MAKERS.items() for suffix in MULTIPLIERS}
MODELS |= {f"mobilenet_v2{suffix}{CIFAR}": mobilenet_v2 for suffix in ("_x0_5", "_x0_75", "", "_x1_4")}
