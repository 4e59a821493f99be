"""Graph → `Cost`: exact integers, no torch, remembered per block so that a search pays microseconds.

One multiply-add is one MAC. `macs` are those of convolution, linear and matrix product; `fvcore_total` is what fvcore's
`FlopCountAnalysis` sums up in eval mode (MACs plus its counts for norms, adaptive pooling and upsampling); `acts` are
the output elements of convolution, linear and matrix product (fvcore's `ActivationCountAnalysis`, pycls' "acts").
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import prod

from scalesearch.arch import Arch, BlockGraph, Graph, Layer, Shape, ShapeError, Stage, expand, operators as ops
from scalesearch.counting.operators import UNCOUNTED, Cost, layer_cost, total_of
from scalesearch.counting.tally import Counted, counted, recorded_cost

block_cost = lru_cache(maxsize=1 << 16)(recorded_cost)


@lru_cache(maxsize=1 << 17)
def stage_cost(stage: Stage, in_shapes: tuple[Shape, ...], same: bool) -> Counted:
    """What a stage costs on maps of these shapes, and the shape of what it gives."""
    first = counted(stage.block, in_shapes, same, stage.stride)
    second = counted(stage.block, (first.out_shape,), same, 1)
    costs, shape, left = [first.cost, second.cost], second.out_shape, stage.depth - 2
    if shape == first.out_shape:  # then all that follow are alike
        costs, left = [first.cost] + [second.cost] * (stage.depth - 1), 0
    while left:
        times = min(left, 8)  # together, which saves a third; few enough that stages of other depths share most
        part, shape = counted(stage.block, (shape,), same, 1, None, times)
        costs.append(part)
        left -= times
    return Counted(total_of(costs), shape)


def cost(arch: Arch) -> Cost:
    """Params, MACs, acts and fvcore's total of `arch`, batch of one, at its own resolution, inference.

    The parameters of auxiliary heads count, their MACs don't: an inference doesn't run them.
    Raises `InputError` where the resolution is too small for the strides.
    """
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
        part, shape = counted(spec, (shape,), same)
        costs.append(part)
    for stage in arch.stages:
        taken = tuple([shapes[j] for j in stage.inputs]) if stage.inputs else (shape,)
        if stage.depth == 1:
            part, shape = counted(stage.block, taken, same, stage.stride)
        else:
            part, shape = stage_cost(stage, taken, same)
        costs.append(part)
        shapes.append(shape)
    for aux in arch.auxiliary:
        costs.append(Cost(counted(aux.block, (shapes[aux.after],), same, None, arch.classes).cost.params))
    taps = tuple([shapes[j] for j in arch.taps]) if arch.taps else (shape,)
    costs.append(counted(arch.head, taps, same, None, arch.classes).cost)
    return total_of(costs)


def possible_cost(arch: Arch) -> Cost | None:
    """`cost`, or None where the shapes in `arch` don't meet: a point of a space that is no network."""
    try:
        return _cost(arch)
    except ShapeError:
        return None


def by_layer(graph: Graph) -> list[dict]:
    """One row per layer: name, operator, output shape, and its part of the cost."""
    return [
        {
            "name": name,
            "operator": type(layer.op).__name__.lower(),
            "shape": list(layer.shape),
            **_small(layer_cost(layer, block)),
        }
        for name, layer, block in graph.layers()
        if _has_shape(layer)
    ]


def by_stage(graph: Graph) -> list[dict]:
    """One row per stem block, stage and head: operator, depth, output shape, and its part of the cost."""
    parts: list[tuple[str, tuple[BlockGraph, ...]]] = [(f"stem.{i}", (b,)) for i, b in enumerate(graph.stem)]
    parts += [(f"stages.{i}", blocks) for i, blocks in enumerate(graph.stages)] + [("head", (graph.head,))]
    rows = [
        {
            "name": name,
            "operator": blocks[0].kind,
            "depth": len(blocks),
            "shape": list(blocks[-1].out_shape),
            **_small(total_of(map(block_cost, blocks))),
        }
        for name, blocks in parts
    ]
    return rows + [
        {
            "name": f"auxiliary.{i}",
            "operator": b.kind,
            "depth": 1,
            "shape": list(b.out_shape),
            "params": block_cost(b).params,
            "macs": 0,
            "acts": 0,
        }
        for i, b in enumerate(graph.auxiliary)
    ]


def uncounted(graph: Graph) -> dict[str, int]:
    """Output elements of the operators that `macs` leaves out, by kind: `{"norm": …, "silu": …, "add": …}`."""
    elements: Counter[str] = Counter()
    for _, layer, _ in graph.layers():
        if isinstance(layer.op, UNCOUNTED):
            elements[_kind(layer.op)] += prod(layer.shape)
    return dict(elements)


def _kind(op) -> str:
    match op:
        case ops.Act():
            return op.fn
        case ops.Pool():
            return op.kind + "_pool"
        case ops.AdaptivePool():
            return f"adaptive_{op.kind}_pool"
    return type(op).__name__.lower()


def _has_shape(layer: Layer) -> bool:
    return not isinstance(layer.op, ops.Split)


def _small(c: Cost) -> dict[str, int]:
    return {"params": c.params, "macs": c.macs, "acts": c.acts}


__all__ = ["Cost", "by_layer", "by_stage", "cost", "expand", "possible_cost", "uncounted"]
