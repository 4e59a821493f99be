"""MobileNetV4 (Qin et al. 2024, tables 11 to 15). Checked against timm's.

Rows are `(kind, …)`: "conv" width, kernel, stride; "fused" width, expand, stride; "uib" start and middle
depthwise kernel, width, expand, stride, depth; "mqa" heads, width of keys and values, stride of keys and
values.
"""

from __future__ import annotations

from typing import Any

from scalesearch.arch import Arch, Stage, block

SMALL = (
    ("conv", 32, 3, 2),
    ("conv", 32, 1, 1),
    ("conv", 96, 3, 2),
    ("conv", 64, 1, 1),
    ("uib", 5, 5, 96, 3, 2, 1),
    ("uib", 0, 3, 96, 2, 1, 4),
    ("uib", 3, 0, 96, 4, 1, 1),
    ("uib", 3, 3, 128, 6, 2, 1),
    ("uib", 5, 5, 128, 4, 1, 1),
    ("uib", 0, 5, 128, 4, 1, 1),
    ("uib", 0, 5, 128, 3, 1, 1),
    ("uib", 0, 3, 128, 4, 1, 2),
)
MEDIUM = (
    ("fused", 48, 4, 2),
    ("uib", 3, 5, 80, 4, 2, 1),
    ("uib", 3, 3, 80, 2, 1, 1),
    ("uib", 3, 5, 160, 6, 2, 1),
    ("uib", 3, 3, 160, 4, 1, 2),
    ("uib", 3, 5, 160, 4, 1, 1),
    ("uib", 3, 3, 160, 4, 1, 1),
    ("uib", 3, 0, 160, 4, 1, 1),
    ("uib", 0, 0, 160, 2, 1, 1),
    ("uib", 3, 0, 160, 4, 1, 1),
    ("uib", 5, 5, 256, 6, 2, 1),
    ("uib", 5, 5, 256, 4, 1, 1),
    ("uib", 3, 5, 256, 4, 1, 2),
    ("uib", 0, 0, 256, 4, 1, 1),
    ("uib", 3, 0, 256, 4, 1, 1),
    ("uib", 3, 5, 256, 2, 1, 1),
    ("uib", 5, 5, 256, 4, 1, 1),
    ("uib", 0, 0, 256, 4, 1, 2),
    ("uib", 5, 0, 256, 2, 1, 1),
)
LARGE = (
    ("fused", 48, 4, 2),
    ("uib", 3, 5, 96, 4, 2, 1),
    ("uib", 3, 3, 96, 4, 1, 1),
    ("uib", 3, 5, 192, 4, 2, 1),
    ("uib", 3, 3, 192, 4, 1, 3),
    ("uib", 3, 5, 192, 4, 1, 1),
    ("uib", 5, 3, 192, 4, 1, 5),
    ("uib", 3, 0, 192, 4, 1, 1),
    ("uib", 5, 5, 512, 4, 2, 1),
    ("uib", 5, 5, 512, 4, 1, 3),
    ("uib", 5, 0, 512, 4, 1, 1),
    ("uib", 5, 3, 512, 4, 1, 1),
    ("uib", 5, 0, 512, 4, 1, 2),
    ("uib", 5, 3, 512, 4, 1, 1),
    ("uib", 5, 5, 512, 4, 1, 1),
    ("uib", 5, 0, 512, 4, 1, 3),
)
MQA_14, MQA_7 = ("mqa", 4, 64, 2), ("mqa", 4, 64, 1)  # of the medium hybrid, by the map they look at
HYBRID_MEDIUM = (
    ("fused", 48, 4, 2),
    ("uib", 3, 5, 80, 4, 2, 1),
    ("uib", 3, 3, 80, 2, 1, 1),
    ("uib", 3, 5, 160, 6, 2, 1),
    ("uib", 0, 0, 160, 2, 1, 1),
    ("uib", 3, 3, 160, 4, 1, 1),
    ("uib", 3, 5, 160, 4, 1, 1),
    MQA_14,
    ("uib", 3, 3, 160, 4, 1, 1),
    MQA_14,
    ("uib", 3, 0, 160, 4, 1, 1),
    MQA_14,
    ("uib", 3, 3, 160, 4, 1, 1),
    MQA_14,
    ("uib", 3, 0, 160, 4, 1, 1),
    ("uib", 5, 5, 256, 6, 2, 1),
    ("uib", 5, 5, 256, 4, 1, 1),
    ("uib", 3, 5, 256, 4, 1, 2),
    ("uib", 0, 0, 256, 2, 1, 1),
    ("uib", 3, 5, 256, 2, 1, 1),
    ("uib", 0, 0, 256, 2, 1, 1),
    ("uib", 0, 0, 256, 4, 1, 1),
    MQA_7,
    ("uib", 3, 0, 256, 4, 1, 1),
    MQA_7,
    ("uib", 5, 5, 256, 4, 1, 1),
    MQA_7,
    ("uib", 5, 0, 256, 4, 1, 1),
    MQA_7,
    ("uib", 5, 0, 256, 4, 1, 1),
)
MQA_24, MQA_12 = ("mqa", 8, 48, 2), ("mqa", 8, 64, 1)  # of the large hybrid
HYBRID_LARGE = (
    ("fused", 48, 4, 2),
    ("uib", 3, 5, 96, 4, 2, 1),
    ("uib", 3, 3, 96, 4, 1, 1),
    ("uib", 3, 5, 192, 4, 2, 1),
    ("uib", 3, 3, 192, 4, 1, 3),
    ("uib", 3, 5, 192, 4, 1, 1),
    ("uib", 5, 3, 192, 4, 1, 2),
    MQA_24,
    ("uib", 5, 3, 192, 4, 1, 1),
    MQA_24,
    ("uib", 5, 3, 192, 4, 1, 1),
    MQA_24,
    ("uib", 5, 3, 192, 4, 1, 1),
    MQA_24,
    ("uib", 3, 0, 192, 4, 1, 1),
    ("uib", 5, 5, 512, 4, 2, 1),
    ("uib", 5, 5, 512, 4, 1, 3),
    ("uib", 5, 0, 512, 4, 1, 1),
    ("uib", 5, 3, 512, 4, 1, 1),
    ("uib", 5, 0, 512, 4, 1, 2),
    ("uib", 5, 3, 512, 4, 1, 1),
    ("uib", 5, 5, 512, 4, 1, 1),
    MQA_12,
    ("uib", 5, 0, 512, 4, 1, 1),
    MQA_12,
    ("uib", 5, 0, 512, 4, 1, 1),
    MQA_12,
    ("uib", 5, 0, 512, 4, 1, 1),
    MQA_12,
    ("uib", 5, 0, 512, 4, 1, 1),
)
LAST, HIDDEN = 960, 1280
#                                         rows            stem act    layer scale, resolution
LAYOUTS = {
    "mobilenet_v4_conv_small": (SMALL, 32, "relu", 0.0, 224),
    "mobilenet_v4_conv_medium": (MEDIUM, 32, "relu", 0.0, 256),
    "mobilenet_v4_conv_large": (LARGE, 24, "relu", 0.0, 384),
    "mobilenet_v4_hybrid_medium": (HYBRID_MEDIUM, 32, "relu", 1e-5, 256),
    "mobilenet_v4_hybrid_large": (HYBRID_LARGE, 24, "gelu", 1e-5, 384),
}


def mobilenet_v4(name: str) -> Arch:
    """Returns the MobileNetV4 called `name`, a key of `LAYOUTS`."""
    rows, stem_width, act, layer_scale, resolution = LAYOUTS[name]

    def stage(kind: str, *row: Any) -> Stage:
        spec: tuple[Any, ...] = (kind, *row)
        match spec:
            case "conv", width, kernel, stride:
                return Stage(block("conv", width=width, kernel=kernel, act=act), 1, stride)
            case "fused", width, expand, stride:
                return Stage(block("fused_mbconv", width=width, expand=expand, act=act), 1, stride)
            case "uib", start, middle, width, expand, stride, depth:
                uib = block(
                    "uib", width=width, start=start, middle=middle, expand=expand, layer_scale=layer_scale, act=act
                )
                return Stage(uib, depth, stride)
            case "mqa", heads, head_width, kv_stride:
                return Stage(
                    block(
                        "mobile_mqa",
                        heads=heads,
                        key_width=head_width,
                        value_width=head_width,
                        kv_stride=kv_stride,
                        layer_scale=layer_scale,
                    )
                )
        raise ValueError(kind)

    stem = (block("conv", "stem", width=stem_width, stride=2, act=act),)
    head = block("classifier", "head", width=LAST, hidden=HIDDEN, hidden_norm=True, act=act)
    return Arch(name, resolution, 1000, stem, tuple(stage(*row) for row in rows), head)


MODELS = dict.fromkeys(LAYOUTS, mobilenet_v4)
