"""EfficientNet (Tan & Le 2019): B0 from table 1, B1 to B7 out of B0 by scaling alone. Held against torchvision's."""

from __future__ import annotations

from scalesearch.arch import Arch, Stage
from scalesearch.blocks import block
from scalesearch.scaling import scale

#     expand kernel width depth stride
B0 = ((1,     3,     16,   1,    1),
      (6,     3,     24,   2,    2),
      (6,     5,     40,   2,    2),
      (6,     3,     80,   3,    2),
      (6,     5,    112,   3,    1),
      (6,     5,    192,   4,    2),
      (6,     3,    320,   1,    1))  # fmt: skip

# The multipliers and dropout rates of the reference code (tensorflow/tpu, efficientnet_builder.py).
#                               width depth resolution dropout
SCALED = {"efficientnet_b0":   (1.0,  1.0,  224,       0.2),
          "efficientnet_b1":   (1.0,  1.1,  240,       0.2),
          "efficientnet_b2":   (1.1,  1.2,  260,       0.3),
          "efficientnet_b3":   (1.2,  1.4,  300,       0.3),
          "efficientnet_b4":   (1.4,  1.8,  380,       0.4),
          "efficientnet_b5":   (1.6,  2.2,  456,       0.4),
          "efficientnet_b6":   (1.8,  2.6,  528,       0.5),
          "efficientnet_b7":   (2.0,  3.1,  600,       0.5)}  # fmt: skip


def efficientnet_b0() -> Arch:
    stem = (block("conv", "stem", width=32, stride=2, act="silu"),)
    stages = tuple(Stage(block("mbconv", width=w, kernel=k, expand=e), d, s) for e, k, w, d, s in B0)
    head = block("classifier", "head", width=1280, dropout=0.2, init="uniform")
    return Arch("efficientnet_b0", 224, 1000, stem, stages, head, drop_path=0.2)


def efficientnet(name: str) -> Arch:
    width, depth, resolution, dropout = SCALED[name]
    base = efficientnet_b0()
    arch = scale(base, depth=depth, width=width, resolution=resolution / base.resolution)
    head = block("classifier", "head", **dict(arch.head.args) | {"dropout": dropout})
    # torchvision's batch norm: TensorFlow's eps and momentum from B5 on
    late = {"norm_eps": 1e-3, "norm_momentum": 0.01} if name >= "efficientnet_b5" else {}
    return arch.with_(name=name, head=head, **late)


MODELS = dict.fromkeys(SCALED, efficientnet)
