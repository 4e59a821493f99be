"""Modules of free parallel paths: any number of branches, each a list of layers that are themselves blocks."""

from __future__ import annotations

from scalesearch.arch.blocks.registry import Branches, apply
from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor, concat
from scalesearch.signature import Ratio, Stride


def _branches(x: SymTensor, branches: Branches, stride: int) -> SymTensor:
    """The outputs of all branches side by side; the last layer of each carries the stride."""
    if not branches or not all(branches):
        raise ShapeError("needs at least one branch, and a layer in each")
    ends = []
    for b, layers in enumerate(branches):
        y, last = x, len(layers) - 1
        for i, spec in enumerate(layers):
            y = apply(spec, y, stride if i == last else 1, "branches", b, i)
        ends.append(y)
    return concat(ends) if len(ends) > 1 else ends[0]


def inception(x: SymTensor, *, branches: Branches, stride: Stride = 1) -> SymTensor:
    """Parallel branches, concatenated (Szegedy et al. 2014, fig. 2); the stride stands in the last layer of each."""
    return _branches(x, branches, stride)


def inception_residual(
    x: SymTensor, *, branches: Branches, scale: Ratio = 1.0, act: ActName | None = "relu"
) -> SymTensor:
    """Parallel branches, concatenated, a 1×1 convolution back to the input's width, times `scale`, added to the input
    (Inception-ResNet, Szegedy et al. 2016, fig. 16)."""
    y = _branches(x, branches, 1).conv(x.channels, bias=True, name="project")
    y = x + (y.scale(scale) if scale != 1 else y).drop_path()
    return y.act(act) if act else y
