"""Counts the cost of a graph: exact integers, without torch, cached per block so that a search pays
microseconds.

One multiply-add is one MAC. `macs` are those of convolution, linear and matrix product; `fvcore_total` is
what fvcore's `FlopCountAnalysis` sums up in eval mode (MACs plus its counts for norms, adaptive pooling and
upsampling); `acts` are the output elements of convolution, linear and matrix product (fvcore's
`ActivationCountAnalysis`, pycls' "acts").
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import prod

from scalesearch.arch import (
    ARCH_WANTED,
    Arch,
    BlockGraph,
    Graph,
    Shape,
    ShapeError,
    Stage,
    expand,
    format_sides,
    operators as ops,
)
from scalesearch.counting.operators import WITHOUT_MACS, Cost, layer_cost, total_cost
from scalesearch.counting.tally import BlockCount, count_block, uncached_block_cost
from scalesearch.errors import check_kind
from scalesearch.plain_data import PlainDict

block_cost = lru_cache(maxsize=1 << 16)(uncached_block_cost)


@lru_cache(maxsize=1 << 17)
def stage_cost(stage: Stage, in_shapes: tuple[Shape, ...], same: bool) -> BlockCount:
    """Returns the cost of a stage on inputs of these shapes, and the shape of its output.

    Args:
        stage: A stage of one block or more.
        in_shapes: The shape of each input, without the batch.
        same: Whether convolutions pad as TensorFlow's "same".
    """
    first = count_block(stage.block, in_shapes, same, stage.stride)
    if stage.depth == 1:
        return first
    second = count_block(stage.block, (first.out_shape,), same, 1)
    costs, shape, remaining = [first.cost, second.cost], second.out_shape, stage.depth - 2
    if shape == first.out_shape:  # then all that follow are alike
        costs, remaining = [first.cost] + [second.cost] * (stage.depth - 1), 0
    while remaining:
        times = min(remaining, 8)  # together, which saves a third; few enough that stages of other depths share most
        part, shape = count_block(stage.block, (shape,), same, 1, None, times)
        costs.append(part)
        remaining -= times
    return BlockCount(total_cost(costs), shape)


def cost(arch: Arch) -> Cost:
    """Returns the params, MACs, acts and fvcore's total of `arch`: one image, at its own resolution, in inference.

    The parameters of auxiliary heads count, their MACs don't: inference doesn't run them.

    Raises:
        InputError: If the resolution is too small for the strides.
    """
    check_kind(arch, Arch, ARCH_WANTED, "cost")
    try:
        return _cost(arch)
    except ShapeError:
        expand(arch)  # says where in the network, and what would do
        raise


def _cost(arch: Arch) -> Cost:
    same = arch.padding == "same"
    shape: Shape = (arch.channels, *arch.sides)
    costs: list[Cost] = []
    shapes: list[Shape] = []
    for spec in arch.stem:
        part, shape = count_block(spec, (shape,), same)
        costs.append(part)
    for stage in arch.stages:
        in_shapes = tuple([shapes[j] for j in stage.inputs]) if stage.inputs else (shape,)
        if stage.depth == 1:
            part, shape = count_block(stage.block, in_shapes, same, stage.stride)
        else:
            part, shape = stage_cost(stage, in_shapes, same)
        costs.append(part)
        shapes.append(shape)
    for aux in arch.auxiliary:
        costs.append(Cost(count_block(aux.block, (shapes[aux.after],), same, None, arch.classes).cost.params))
    taps = tuple([shapes[j] for j in arch.taps]) if arch.taps else (shape,)
    costs.append(count_block(arch.head, taps, same, None, arch.classes).cost)
    return total_cost(costs)


def cost_or_none(arch: Arch) -> Cost | None:
    """Returns `cost`, or None where the shapes in `arch` do not meet: a point of a space that is no network."""
    try:
        return _cost(arch)
    except ShapeError:
        return None


def describe_fitting(native: Arch, fitted: Arch) -> str:
    """Returns in words what fitting a network to small images changed, and its MACs with and without it.

    `resnet18 (stem stride 1) at 32×32: 555,422,720 MACs; 37,220,352 with native strides`. Empty where `fitted` is
    `native`.
    """
    if fitted.name == native.name:
        return ""
    at = f"{fitted.name} at {format_sides(fitted.resolution)}: {cost(fitted).macs:,} MACs"
    counted = cost_or_none(native)
    return f"{at}; " + (f"{counted.macs:,} with native strides" if counted else "too small for its native strides")


def by_layer(graph: Graph) -> list[PlainDict]:
    """Returns one row per layer: its name, operator, output shape, params, MACs and acts."""
    return [
        {
            "name": name,
            "operator": type(layer.op).__name__.lower(),
            "shape": list(layer.shape),
            **_cost_columns(layer_cost(layer, block)),
        }
        for name, layer, block in graph.layers()
        if not isinstance(layer.op, ops.Split)  # which has several shapes
    ]


def by_stage(graph: Graph) -> list[PlainDict]:
    """Returns one row per stem block, stage and head: name, operator, depth, output shape, params, MACs and acts.

    Auxiliary heads come last, with their parameters alone: inference doesn't run them.
    """
    parts: list[tuple[str, tuple[BlockGraph, ...]]] = [(f"stem.{i}", (b,)) for i, b in enumerate(graph.stem)]
    parts += [(f"stages.{i}", blocks) for i, blocks in enumerate(graph.stages)] + [("head", (graph.head,))]
    counted = [(name, blocks, total_cost(map(block_cost, blocks))) for name, blocks in parts]
    counted += [(f"auxiliary.{i}", (b,), Cost(block_cost(b).params)) for i, b in enumerate(graph.auxiliary)]
    return [
        {
            "name": name,
            "operator": blocks[0].kind,
            "depth": len(blocks),
            "shape": list(blocks[-1].out_shape),
            **_cost_columns(cost),
        }
        for name, blocks, cost in counted
    ]


def elements_without_macs(graph: Graph) -> dict[str, int]:
    """Returns the output elements of the operators that `macs` leaves out, by kind: `{"norm": …, "silu": …}`."""
    elements: Counter[str] = Counter()
    for _, layer, _ in graph.layers():
        if isinstance(layer.op, WITHOUT_MACS):
            elements[_kind(layer.op)] += prod(layer.shape)
    return dict(elements)


def _kind(op: object) -> str:
    match op:
        case ops.Act():
            return op.fn
        case ops.Pool():
            return op.kind + "_pool"
        case ops.AdaptivePool():
            return f"adaptive_{op.kind}_pool"
    return type(op).__name__.lower()


def _cost_columns(c: Cost) -> dict[str, int]:
    return {"params": c.params, "macs": c.macs, "acts": c.acts}
