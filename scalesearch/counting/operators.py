"""What each operator costs: one formula a kind, held against fvcore's by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

from scalesearch.arch import BlockGraph, Layer, operators as ops


class Cost(NamedTuple):
    """Integers, batch of one: parameters, MACs, activations, fvcore's total."""

    params: int = 0
    macs: int = 0
    acts: int = 0
    fvcore_total: int = 0


# Of an operator's own fields, the shape of its first input and of its output. Plain tuples, as they are made by the
# million.
Counts = tuple[int, int, int, int]
Counter = Callable[[tuple, Any, Any], Counts]


def conv_counts(cin: int, width: int, kernel: int, groups: int, bias: bool, pixels: int, norm: bool = False) -> Counts:
    """Of a convolution whose kernel has so many pixels, and whose output; with the batch norm behind it, if any."""
    params = weight = width * (cin // groups) * kernel
    acts, total = width * pixels, (macs := weight * pixels)
    if bias:
        params += width
    if norm:
        params += 2 * width
        total += 2 * acts
    return params, macs, acts, total


def _conv(op, given, shape):
    cin, width, (kh, kw), _, _, _, groups, bias = op
    return conv_counts(cin, width, kh * kw, groups, bias, shape[1] * shape[2])


def _linear(op, given, shape):
    cin, width, bias, _ = op
    outputs = prod(shape)
    return cin * width + width * bias, outputs * cin, outputs, outputs * cin


def _matmul(op, given, shape):
    outputs = prod(shape)
    return 0, outputs * given[-1], outputs, outputs * given[-1]


def _layer_norm(op, given, shape):
    return 2 * op[0], 0, 0, 5 * prod(shape)


def _layer_scale(op, given, shape):
    return op[0], 0, 0, 0


def _expectation(op, given, shape):
    (bins,), outputs = op, prod(shape)
    return bins, bins * outputs, outputs, bins * outputs


def norm_counts(channels: int, pixels: int) -> Counts:
    """Of a batch norm."""
    return 2 * channels, 0, 0, 2 * channels * pixels


def _norm(op, given, shape):
    channels, groups = op
    return (2 * channels, 0, 0, 5 * prod(shape)) if groups else norm_counts(channels, prod(shape[1:]))


def _adaptive_pool(op, given, shape):
    return 0, 0, 0, prod(given) if op[0] == "avg" else 0


def _upsample(op, given, shape):
    return 0, 0, 0, prod(shape) * (4 if op[1] == "bilinear" else 1)


COUNTERS: dict[type, Counter] = {
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
UNCOUNTED = (
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


def total_of(costs: Iterable[Counts]) -> Cost:
    params = macs = acts = total = 0
    for p, m, a, t in costs:
        params += p
        macs += m
        acts += a
        total += t
    return _new(Cost, (params, macs, acts, total))


def layer_cost(layer: Layer, block: BlockGraph) -> Cost:
    counter = COUNTERS.get(type(layer.op))
    return Cost(*counter(layer.op, block.shape_of(layer.inputs[0]), layer.shape)) if counter else Cost()
