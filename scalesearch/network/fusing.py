"""Networks prepared for fast inference: batch norms are fused into the convolutions before them."""

from __future__ import annotations

import copy
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scalesearch.network.modules import Network

_cache: WeakKeyDictionary[Network, tuple[list[Any], Network]] = WeakKeyDictionary()


def fused_copy(model: Network) -> Network:
    """Returns a copy of `model` for inference, with batch norms fused into convolutions.

    Its outputs are the same up to rounding, and it is fastest on images in channels-last memory format. The
    copy is cached for as long as no weight changes; weights made in inference mode, whose changes torch does
    not count, are never cached.
    """
    weights = [*model.parameters(), *model.buffers()]
    if any(t.is_inference() for t in weights):  # nobody counts how often these change
        return _fuse_copy(model)
    state = [(t.data_ptr(), t._version) for t in weights]
    cached = _cache.get(model)
    if cached is None or cached[0] != state:
        cached = _cache[model] = state, _fuse_copy(model)
    return cached[1]


def _fuse_copy(model: Network) -> Network:
    model = copy.deepcopy(model).eval()
    for block in list(model.modules()):
        if isinstance(block, fx.GraphModule):
            for node in list(block.graph.nodes):
                _fuse(block, node)
            block.recompile()
    return cast(Network, model.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def _fuse(block: fx.GraphModule, node: fx.Node) -> None:
    """Fuses `node` into the convolution before it, if it is a batch norm and nothing else uses that convolution."""
    norm = block.get_submodule(str(node.target)) if node.op == "call_module" else None
    producer = node.args[0] if isinstance(norm, nn.BatchNorm2d) else None
    if not isinstance(norm, nn.BatchNorm2d) or not isinstance(producer, fx.Node) or len(producer.users) > 1:
        return
    conv = block.get_submodule(str(producer.target)) if producer.op == "call_module" else None
    if isinstance(conv, nn.Conv2d):
        block.set_submodule(str(producer.target), fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(producer)
        block.graph.erase_node(node)
        block.delete_submodule(str(node.target))
