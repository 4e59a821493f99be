"""EfficientNet (Tan & Le 2019), and EfficientNetV2 S, M and L (Tan & Le 2021).

B0 is table 1 of the first paper; B1 to B7 follow from B0 by scaling alone. V2 is table 4 of the second
paper, with the reference code. Checked against torchvision's.
"""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block
from scalesearch.scaling import scale
from scalesearch.zoo.tables import TABLES

SCALED = TABLES["efficientnet"]


def efficientnet_b0() -> Arch:
    """Returns EfficientNet-B0."""
    stem = (block("conv", "stem", width=32, stride=2, act="silu"),)
    stages = tuple(
        Stage(block("mbconv", width=w, kernel=k, expand=e), d, s) for e, k, w, d, s in TABLES["efficientnet_b0"]
    )
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


# name: resolution, dropout
V2 = {"efficientnet_v2_s": (384, 0.2), "efficientnet_v2_m": (480, 0.3), "efficientnet_v2_l": (480, 0.4)}


def efficientnet_v2(name: str) -> Arch:
    """Returns the EfficientNetV2 called `name`, a key of `V2`."""
    (resolution, dropout), rows = V2[name], TABLES[name]
    stem = (block("conv", "stem", width=rows[0][2], stride=2, act="silu"),)
    stages = tuple(Stage(block(kind, width=w, expand=e), depth, stride) for kind, e, w, depth, stride in rows)
    head = block("classifier", "head", width=1280, dropout=dropout, init="uniform")
    return Arch(name, resolution, 1000, stem, stages, head, norm_eps=1e-3, drop_path=0.2)


MODELS = dict.fromkeys(SCALED, efficientnet) | dict.fromkeys(V2, efficientnet_v2)
