"""EfficientNet (Tan & Le 2019), and EfficientNetV2 S, M and L (Tan & Le 2021).

B0 is table 1 of the first paper; B1 to B7 follow from B0 by scaling alone. V2 is table 4 of the second
paper, with the reference code. Checked against torchvision's.
"""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block
from scalesearch.scaling import scale

#     expand kernel width depth stride
B0 = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)

# The multipliers and dropout rates of the reference code (tensorflow/tpu, efficientnet_builder.py).
#                               width depth resolution dropout
SCALED = {
    "efficientnet_b0": (1.0, 1.0, 224, 0.2),
    "efficientnet_b1": (1.0, 1.1, 240, 0.2),
    "efficientnet_b2": (1.1, 1.2, 260, 0.3),
    "efficientnet_b3": (1.2, 1.4, 300, 0.3),
    "efficientnet_b4": (1.4, 1.8, 380, 0.4),
    "efficientnet_b5": (1.6, 2.2, 456, 0.4),
    "efficientnet_b6": (1.8, 2.6, 528, 0.5),
    "efficientnet_b7": (2.0, 3.1, 600, 0.5),
}


def efficientnet_b0() -> Arch:
    """Returns EfficientNet-B0."""
    stem = (block("conv", "stem", width=32, stride=2, act="silu"),)
    stages = tuple(Stage(block("mbconv", width=w, kernel=k, expand=e), d, s) for e, k, w, d, s in B0)
    head = block("classifier", "head", width=1280, dropout=0.2, init="uniform")
    return Arch("efficientnet_b0", 224, 1000, stem, stages, head, drop_path=0.2)


def efficientnet(name: str) -> Arch:
    """Returns the EfficientNet called `name`, a key of `SCALED`: B0, scaled."""
    width, depth, resolution, dropout = SCALED[name]
    base = efficientnet_b0()
    arch = scale(base, depth=depth, width=width, resolution=resolution / base.sides[0])
    head = block("classifier", "head", **dict(arch.head.args) | {"dropout": dropout})
    # torchvision's batch norm: TensorFlow's eps and momentum from B5 on
    norm_settings = {"norm_eps": 1e-3, "norm_momentum": 0.01} if name >= "efficientnet_b5" else {}
    return arch.with_(name=name, head=head, **norm_settings)


#        kind            expand width depth stride
V2_S = (
    ("fused_mbconv", 1, 24, 2, 1),
    ("fused_mbconv", 4, 48, 4, 2),
    ("fused_mbconv", 4, 64, 4, 2),
    ("mbconv", 4, 128, 6, 2),
    ("mbconv", 6, 160, 9, 1),
    ("mbconv", 6, 256, 15, 2),
)
V2_M = (
    ("fused_mbconv", 1, 24, 3, 1),
    ("fused_mbconv", 4, 48, 5, 2),
    ("fused_mbconv", 4, 80, 5, 2),
    ("mbconv", 4, 160, 7, 2),
    ("mbconv", 6, 176, 14, 1),
    ("mbconv", 6, 304, 18, 2),
    ("mbconv", 6, 512, 5, 1),
)
V2_L = (
    ("fused_mbconv", 1, 32, 4, 1),
    ("fused_mbconv", 4, 64, 7, 2),
    ("fused_mbconv", 4, 96, 7, 2),
    ("mbconv", 4, 192, 10, 2),
    ("mbconv", 6, 224, 19, 1),
    ("mbconv", 6, 384, 25, 2),
    ("mbconv", 6, 640, 7, 1),
)
#                            rows  resolution dropout
V2 = {
    "efficientnet_v2_s": (V2_S, 384, 0.2),
    "efficientnet_v2_m": (V2_M, 480, 0.3),
    "efficientnet_v2_l": (V2_L, 480, 0.4),
}


def efficientnet_v2(name: str) -> Arch:
    """Returns the EfficientNetV2 called `name`, a key of `V2`."""
    rows, resolution, dropout = V2[name]
    stem = (block("conv", "stem", width=rows[0][2], stride=2, act="silu"),)
    stages = tuple(Stage(block(kind, width=w, expand=e), depth, stride) for kind, e, w, depth, stride in rows)
    head = block("classifier", "head", width=1280, dropout=dropout, init="uniform")
    return Arch(name, resolution, 1000, stem, stages, head, norm_eps=1e-3, drop_path=0.2)


MODELS = dict.fromkeys(SCALED, efficientnet) | dict.fromkeys(V2, efficientnet_v2)
