"""Cells of published benchmarks (NAS-Bench-201)."""

from __future__ import annotations

from typing import Literal

from scalesearch.arch.symbolic import SymTensor
from scalesearch.signature import Stride, Width

Operation = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def _edge(x: SymTensor, operation: Operation, name: str) -> SymTensor | None:
    with x.inside(name):
        match operation:
            case "none":
                return None
            case "skip_connect":
                return x
            case "avg_pool_3x3":
                return x.avg_pool(3, 1, 1, count_pad=False)
        return x.act("relu").conv(x.channels, 1 if operation == "nor_conv_1x1" else 3).norm()


def nasbench201(
    x: SymTensor,
    *,
    edge01: Operation,
    edge02: Operation,
    edge12: Operation,
    edge03: Operation,
    edge13: Operation,
    edge23: Operation,
) -> SymTensor:
    """Applies NAS-Bench-201's cell (Dong & Yang 2020, fig. 1): four nodes, each the sum over its incoming edges.

    A node without incoming edges is zero; an edge whose output nothing takes is dropped.
    """
    operations = {(0, 1): edge01, (0, 2): edge02, (1, 2): edge12, (0, 3): edge03, (1, 3): edge13, (2, 3): edge23}
    nodes = [x]
    for node in (1, 2, 3):
        total = None
        for source in range(node):
            y = _edge(nodes[source], operations[source, node], f"edge{source}{node}")
            total = y if total is None else total if y is None else total + y
        nodes.append(x.scale(0.0, name=f"node{node}") if total is None else total)
    return nodes[3]


def nasbench201_reduction(x: SymTensor, *, width: Width, stride: Stride = 2) -> SymTensor:
    """Applies the residual block between NAS-Bench-201's stages.

    It is act-conv-norm twice, beside an average pool and a 1×1.
    """
    with x.inside("conv1"):
        y = x.act("relu").conv(width, 3, stride).norm()
    with x.inside("conv2"):
        y = y.act("relu").conv(width, 3).norm()
    with x.inside("shortcut"):
        return (x.avg_pool(stride) if stride > 1 else x).conv(width) + y
