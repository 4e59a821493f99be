"""MobileNetV4 (Qin et al. 2024, tables 11 to 15). Checked against timm's.

Rows are `(kind, …)`: "conv" width, kernel, stride; "fused" width, expand, stride; "uib" start and middle
depthwise kernel, width, expand, stride, depth; "mqa" heads, width of keys and values, stride of keys and
values.
"""

from __future__ import annotations

from typing import Any

from scalesearch.arch import Arch, Stage, block
from scalesearch.zoo.tables import TABLES

LAST_WIDTH, HIDDEN_WIDTH = 960, 1280
LAYOUTS = TABLES["mobilenet_v4"]


def mobilenet_v4(name: str) -> Arch:
    """Returns the MobileNetV4 called `name`, a key of `LAYOUTS`."""
    stem_width, act, layer_scale, resolution = LAYOUTS[name]

    def stage(row: list[Any]) -> Stage:
        match row:
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
        raise ValueError(f'{name}: takes rows of "conv", "fused", "uib" and "mqa", got {row}')

    stem = (block("conv", "stem", width=stem_width, stride=2, act=act),)
    head = block("classifier", "head", width=LAST_WIDTH, hidden=HIDDEN_WIDTH, hidden_norm=True, act=act)
    return Arch(name, resolution, 1000, stem, tuple(map(stage, TABLES[name])), head)


MODELS = dict.fromkeys(LAYOUTS, mobilenet_v4)
