"""Blocks of parallel branches: any number of branches, each a list of layers that are blocks themselves."""

from __future__ import annotations

from scalesearch.arch.blocks.registry import Branches, apply_block
from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor, concat
from scalesearch.signature import Ratio, Stride


def _branches(x: SymTensor, branches: Branches, stride: int) -> SymTensor:
    """Returns the outputs of all branches side by side; the last layer of each carries the stride."""
    if not branches or not all(branches):
        raise ShapeError("needs at least one branch, and a layer in each")
    outputs = []
    for b, layers in enumerate(branches):
        y, last = x, len(layers) - 1
        for i, spec in enumerate(layers):
            y = apply_block(spec, y, stride if i == last else 1, "branches", b, i)
        outputs.append(y)
    return concat(outputs) if len(outputs) > 1 else outputs[0]


def inception(x: SymTensor, *, branches: Branches, stride: Stride = 1) -> SymTensor:
    """Concatenates parallel branches (Szegedy et al. 2014, fig. 2); the last layer of each carries the stride."""
    return _branches(x, branches, stride)


def inception_residual(
    x: SymTensor, *, branches: Branches, scale: Ratio = 1.0, act: ActName | None = "relu"
) -> SymTensor:
    """Adds parallel branches to the input (Inception-ResNet, Szegedy et al. 2016, fig. 16).

    Their concatenation goes through a 1×1 convolution back to the input's width and is multiplied by `scale`.
    """
    y = _branches(x, branches, 1).conv(x.channels, bias=True, name="project")
    y = x + (y.scale(scale) if scale != 1 else y).drop_path()
    return y.act(act) if act else y
