"""The block table: a name, a function, where it may stand. A new block is one function and one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from scalesearch.arch import BlockSpec
from scalesearch.blocks.heads import classifier, vgg_classifier
from scalesearch.blocks.mobile import fused_mbconv, inverted_residual, mbconv
from scalesearch.blocks.plain import avg_pool, conv, max_pool, separable, vgg
from scalesearch.blocks.residual import basic, bottleneck
from scalesearch.errors import InputError, unknown
from scalesearch.graph import BlockGraph, Shape, trace
from scalesearch.signature import Field, check_arguments, fields_of


@dataclass(frozen=True)
class Block:
    """A row of the table. `role` "layer" stands in stem and stages, "stem" in the stem alone, "head" in the head."""

    function: Callable
    role: str = "layer"


BLOCKS = {
    "conv": Block(conv),
    "max_pool": Block(max_pool, "stem"),
    "avg_pool": Block(avg_pool, "stem"),
    "vgg": Block(vgg),
    "separable": Block(separable),
    "basic": Block(basic),
    "bottleneck": Block(bottleneck),
    "inverted_residual": Block(inverted_residual),
    "mbconv": Block(mbconv),
    "fused_mbconv": Block(fused_mbconv),
    "classifier": Block(classifier, "head"),
    "vgg_classifier": Block(vgg_classifier, "head"),
}
ROLES = {"stem": ("layer", "stem"), "stages": ("layer",), "head": ("head",)}


@cache
def block_fields(kind: str, part: str) -> dict[str, Field]:
    """What a block of `kind` takes where it stands in `part` ("stem", "stages" or "head") of a network.

    A stage gives its block the stride, an arch gives its head the classes, so these are no keys of the block there.
    """
    allowed = [name for name, row in BLOCKS.items() if row.role in ROLES[part]]
    if kind not in allowed:
        raise InputError(unknown(f"block for {part}" if kind in BLOCKS else "block", kind, allowed))
    given = {"stages": "stride", "head": "classes"}.get(part)
    return {name: field for name, field in fields_of(BLOCKS[kind].function).items() if name != given}


def normal_form(kind: str, args: dict[str, Any]) -> BlockSpec:
    """The `BlockSpec` of arguments already checked: signature order, defaults left out."""
    fields = fields_of(BLOCKS[kind].function)
    return BlockSpec(kind, tuple((n, args[n]) for n, f in fields.items() if n in args and args[n] != f.default))


def block(kind: str, part: str = "stages", **args: Any) -> BlockSpec:
    """A checked block spec.

    Raises `InputError` for an unknown block or key, a wrong type, a broken rule or a missing argument.
    """
    return normal_form(kind, check_arguments(f'block "{kind}"', block_fields(kind, part), args))


@lru_cache(maxsize=1 << 16)
def record(spec: BlockSpec, in_shape: Shape, same: bool = False, stride: int | None = None,
           classes: int | None = None) -> BlockGraph:
    """The graph of one block on one input shape; remembered, since networks and spaces repeat themselves."""
    given = dict(spec.args)
    if stride is not None:
        given["stride"] = stride
    if classes is not None:
        given["classes"] = classes
    return trace(spec.kind, BLOCKS[spec.kind].function, in_shape, same, **given)
