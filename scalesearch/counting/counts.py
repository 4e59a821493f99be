"""Graph → `Cost`: exact integers, no torch, remembered per block so that a search pays microseconds.

One multiply-add is one MAC. `macs` are those of convolution, linear and matrix product; `fvcore_total` is what fvcore's
`FlopCountAnalysis` sums up in eval mode (MACs plus its counts for norms, adaptive pooling and upsampling); `acts` are
the output elements of convolution, linear and matrix product (fvcore's `ActivationCountAnalysis`, pycls' "acts").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import NamedTuple

from scalesearch.arch import (
    Arch,
    BlockGraph,
    Graph,
    Layer,
    Shape,
    ShapeError,
    Stage,
    expand,
    expand_stage,
    operators as ops,
    record,
)


class Cost(NamedTuple):
    """Integers, batch of one: parameters, MACs, activations, fvcore's total."""

    params: int = 0
    macs: int = 0
    acts: int = 0
    fvcore_total: int = 0


def _conv(op: ops.Conv, inputs, shape) -> Cost:
    weight = op.cout * (op.cin // op.groups) * op.kernel[0] * op.kernel[1]
    macs = weight * shape[1] * shape[2]
    return Cost(weight + op.cout * op.bias, macs, prod(shape), macs)


def _linear(op: ops.Linear, inputs, shape) -> Cost:
    macs = prod(shape) * op.cin
    return Cost(op.cin * op.cout + op.cout * op.bias, macs, prod(shape), macs)


def _matmul(op: ops.MatMul, inputs, shape) -> Cost:
    macs = prod(shape) * inputs[0][-1]
    return Cost(0, macs, prod(shape), macs)


def _layer_norm(op: ops.LayerNorm, inputs, shape) -> Cost:
    return Cost(params=2 * op.channels, fvcore_total=5 * prod(shape))


def _layer_scale(op: ops.LayerScale, inputs, shape) -> Cost:
    return Cost(params=op.channels)


def _expectation(op: ops.Expectation, inputs, shape) -> Cost:
    macs = op.bins * prod(shape)
    return Cost(op.bins, macs, prod(shape), macs)


def _norm(op: ops.Norm, inputs, shape) -> Cost:
    return Cost(params=2 * op.channels, fvcore_total=(5 if op.groups else 2) * prod(shape))


def _adaptive_pool(op: ops.AdaptivePool, inputs, shape) -> Cost:
    return Cost(fvcore_total=prod(inputs[0]) if op.kind == "avg" else 0)


def _upsample(op: ops.Upsample, inputs, shape) -> Cost:
    return Cost(fvcore_total=prod(shape) * (4 if op.mode == "bilinear" else 1))


COUNTERS: dict[type, Callable[..., Cost]] = {
    ops.Conv: _conv, ops.Linear: _linear, ops.MatMul: _matmul,
    ops.Expectation: _expectation, ops.LayerScale: _layer_scale,
    ops.Norm: _norm, ops.LayerNorm: _layer_norm, ops.AdaptivePool: _adaptive_pool, ops.Upsample: _upsample,
}  # fmt: skip
# Work that `macs` leaves out by definition. What is in neither table moves or renames data and computes nothing.
UNCOUNTED = (ops.Norm, ops.LayerNorm, ops.Act, ops.Pool, ops.AdaptivePool, ops.Add, ops.Mul, ops.Scale, ops.Offset,
             ops.LayerScale, ops.Reduce, ops.Upsample, ops.Softmax)


def _sum(costs) -> Cost:
    params = macs = acts = total = 0
    for p, m, a, t in costs:
        params += p
        macs += m
        acts += a
        total += t
    return Cost(params, macs, acts, total)


def layer_cost(layer: Layer, block: BlockGraph) -> Cost:
    counter = COUNTERS.get(type(layer.op))
    return counter(layer.op, [block.shape_of(i) for i in layer.inputs], layer.shape) if counter else Cost()


@lru_cache(maxsize=1 << 16)
def block_cost(block: BlockGraph) -> Cost:
    return _sum(layer_cost(layer, block) for layer in block.layers)


@lru_cache(maxsize=1 << 17)
def stage_cost(stage: Stage, in_shapes: tuple[Shape, ...], same: bool) -> tuple[Cost, Shape]:
    """What a stage costs on maps of these shapes, and the shape of what it gives."""
    blocks = expand_stage(stage, in_shapes, same)
    return _sum(map(block_cost, blocks)), blocks[-1].out_shape


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
        block = record(spec, (shape,), same)
        costs.append(block_cost(block))
        shape = block.out_shape
    for stage in arch.stages:
        part, shape = stage_cost(stage, tuple([shapes[j] for j in stage.inputs]) if stage.inputs else (shape,), same)
        costs.append(part)
        shapes.append(shape)
    for aux in arch.auxiliary:
        costs.append(Cost(block_cost(record(aux.block, (shapes[aux.after],), same, None, arch.classes)).params))
    taps = tuple([shapes[j] for j in arch.taps]) if arch.taps else (shape,)
    costs.append(block_cost(record(arch.head, taps, same, None, arch.classes)))
    return _sum(costs)


def possible_cost(arch: Arch) -> Cost | None:
    """`cost`, or None where the shapes in `arch` don't meet: a point of a space that is no network."""
    try:
        return _cost(arch)
    except ShapeError:
        return None


def by_layer(graph: Graph) -> list[dict]:
    """One row per layer: name, operator, output shape, and its part of the cost."""
    return [{"name": name, "operator": type(layer.op).__name__.lower(), "shape": list(layer.shape),
             **_small(layer_cost(layer, block))} for name, layer, block in graph.layers() if _has_shape(layer)]


def by_stage(graph: Graph) -> list[dict]:
    """One row per stem block, stage and head: operator, depth, output shape, and its part of the cost."""
    parts: list[tuple[str, tuple[BlockGraph, ...]]] = [(f"stem.{i}", (b,)) for i, b in enumerate(graph.stem)]
    parts += [(f"stages.{i}", blocks) for i, blocks in enumerate(graph.stages)] + [("head", (graph.head,))]
    rows = [{"name": name, "operator": blocks[0].kind, "depth": len(blocks), "shape": list(blocks[-1].out_shape),
             **_small(_sum(map(block_cost, blocks)))} for name, blocks in parts]
    return rows + [{"name": f"auxiliary.{i}", "operator": b.kind, "depth": 1, "shape": list(b.out_shape),
                    "params": block_cost(b).params, "macs": 0, "acts": 0} for i, b in enumerate(graph.auxiliary)]


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
