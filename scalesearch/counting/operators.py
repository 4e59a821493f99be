"""What each operator costs: one formula per kind, checked against fvcore by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

from scalesearch.arch import BlockGraph, Layer, Shape, operators as ops
from scalesearch.notebook import html_table


class Cost(NamedTuple):
    """Counts for one image: parameters, MACs, activations, and fvcore's total."""

    params: int = 0
    macs: int = 0
    acts: int = 0
    fvcore_total: int = 0

    def _repr_html_(self) -> str:
        return html_table("counts for one image", [self._asdict()])


# A formula takes an operator's fields, the shape of its first input and that of its output. Counts are plain tuples
# because millions of them are made.
Counts = tuple[int, int, int, int]
CostFormula = Callable[[Any, Shape, Shape], Counts]


def conv_counts(cin: int, width: int, kernel: int, groups: int, bias: bool, pixels: int, norm: bool = False) -> Counts:
    """Returns the counts of a convolution, including those of the batch norm after it if `norm`.

    Args:
        cin: Input channels.
        width: Output channels.
        kernel: Height × width of the kernel.
        groups: Groups of the convolution.
        bias: Whether it has a bias.
        pixels: Height × width of the output.
        norm: Whether a batch norm follows.
    """
    params = weight = width * (cin // groups) * kernel
    acts, total = width * pixels, (macs := weight * pixels)
    if bias:
        params += width
    if norm:
        params += 2 * width
        total += 2 * acts
    return params, macs, acts, total


def _conv(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    cin, width, (kh, kw), _, _, _, groups, bias = op
    return conv_counts(cin, width, kh * kw, groups, bias, out_shape[1] * out_shape[2])


def _linear(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    cin, width, bias, _ = op
    outputs = prod(out_shape)
    return cin * width + width * bias, outputs * cin, outputs, outputs * cin


def _matmul(op: object, in_shape: Shape, out_shape: Shape) -> Counts:
    outputs = prod(out_shape)
    return 0, outputs * in_shape[-1], outputs, outputs * in_shape[-1]


def _layer_norm(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    return 2 * op[0], 0, 0, 5 * prod(out_shape)


def _layer_scale(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    return op[0], 0, 0, 0


def _expectation(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    (bins,), outputs = op, prod(out_shape)
    return bins, bins * outputs, outputs, bins * outputs


def norm_counts(channels: int, pixels: int) -> Counts:
    """Returns the counts of a batch norm on `channels` maps of `pixels` pixels."""
    return 2 * channels, 0, 0, 2 * channels * pixels


def _norm(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    channels, groups = op
    return (2 * channels, 0, 0, 5 * prod(out_shape)) if groups else norm_counts(channels, prod(out_shape[1:]))


def _adaptive_pool(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    return 0, 0, 0, prod(in_shape) if op[0] == "avg" else 0


def _upsample(op: Any, in_shape: Shape, out_shape: Shape) -> Counts:
    return 0, 0, 0, prod(out_shape) * (4 if op[1] == "bilinear" else 1)


COST_FORMULAS: dict[type, CostFormula] = {
    ops.Conv: _conv,
    ops.Linear: _linear,
    ops.MatMul: _matmul,
    ops.Expectation: _expectation,
    ops.LayerScale: _layer_scale,
    ops.Norm: _norm,
    ops.LayerNorm: _layer_norm,
    ops.AdaptivePool: _adaptive_pool,
    ops.Upsample: _upsample,
}
# Work that `macs` leaves out by definition. What is in neither table moves or renames data and computes nothing.
WITHOUT_MACS = (
    ops.Norm,
    ops.LayerNorm,
    ops.Act,
    ops.Pool,
    ops.AdaptivePool,
    ops.Add,
    ops.Mul,
    ops.Scale,
    ops.Offset,
    ops.LayerScale,
    ops.Reduce,
    ops.Upsample,
    ops.Softmax,
)


_new = tuple.__new__  # what a named tuple's constructor calls, in half the time


def total_cost(costs: Iterable[Counts]) -> Cost:
    """Returns the sum of costs."""
    params = macs = acts = total = 0
    for p, m, a, t in costs:
        params += p
        macs += m
        acts += a
        total += t
    return _new(Cost, (params, macs, acts, total))


def layer_cost(layer: Layer, block: BlockGraph) -> Cost:
    """Returns the cost of one layer of `block`; zero for operators that count nothing."""
    formula = COST_FORMULAS.get(type(layer.op))
    return Cost(*formula(layer.op, block.shape_of(layer.inputs[0]), layer.shape)) if formula else Cost()
