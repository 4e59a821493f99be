"""Compound scaling: an `Arch` made deeper, wider and finer, by multipliers or to a MAC target."""

from __future__ import annotations

import math

from scalesearch.arch import Arch, BlockSpec, Stage
from scalesearch.blocks import BLOCKS
from scalesearch.blocks.parts import make_divisible
from scalesearch.signature import fields_of


def scale(arch: Arch, *, depth: float = 1.0, width: float = 1.0, resolution: float = 1.0) -> Arch:
    """`arch` with its multipliers applied by EfficientNet's rounding rules.

    Depths are rounded up, widths to multiples of 8 and never below 90 %, resolution to whole pixels
    (Tan & Le 2019; `round_repeats` and `round_filters` of the reference code).
    """
    return arch.with_(
        resolution=max(1, round(arch.resolution * resolution)),
        stem=tuple(widen(spec, width) for spec in arch.stem),
        stages=tuple(Stage(widen(s.block, width), math.ceil(s.depth * depth), s.stride) for s in arch.stages),
        head=widen(arch.head, width),
    )


def widen(spec: BlockSpec, multiplier: float) -> BlockSpec:
    """`spec` with every width it states or defaults to multiplied and rounded."""
    if multiplier == 1.0:
        return spec
    args = dict(spec.args)
    fields = fields_of(BLOCKS[spec.kind].function)
    for name, field in fields.items():
        current = args.get(name, field.default)
        if field.rule.scales and isinstance(current, int):
            args[name] = make_divisible(current * multiplier)
    return BlockSpec(spec.kind, tuple((n, args[n]) for n, f in fields.items() if n in args and args[n] != f.default))
