"""Reads Darknet's .weights files: 32-bit floats, one after another in the order of the .cfg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from scalesearch.errors import InputError


def read_darknet(
    path: Path, model: nn.Module, blocks: Iterator[tuple[str, str]], allow_partial: bool = False
) -> dict[str, torch.Tensor]:
    """Reads a Darknet .weights file into tensors under our names.

    A convolution is stored as its norm's bias, weight, mean and variance (or its own bias), then its weight. In
    a fully connected layer the weight follows the bias directly. The header is three int32 version numbers and
    a count of images, which has 64 bits from version 0.2 on and 32 bits before.

    Args:
        path: The file.
        model: The network, whose state dict gives the names and shapes.
        blocks: Path and kind of every block with weights, in the order of the file (`convolutions` of the zoo).
        allow_partial: Accept a file that ends after a block, as Darknet's own `darknet53.conv.74` does.

    Returns:
        float32 tensors by name, in the shapes of `model`; only those of the first blocks if the file is
            partial.

    Raises:
        InputError: If the file cannot be read, or is shorter or longer than the network.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    if len(data) <= 24:
        raise InputError("is too short for a Darknet file", str(path))
    major, minor, _ = torch.frombuffer(bytearray(data[:12]), dtype=torch.int32).tolist()
    start = 20 if major * 10 + minor >= 2 and max(major, minor) < 1000 else 16
    if (len(data) - start) % 4:
        raise InputError("is damaged: its length is not a whole number of 32-bit values", str(path))
    values = torch.frombuffer(bytearray(data[start:]), dtype=torch.float32)
    state, offset = model.state_dict(), 0
    tensors: dict[str, torch.Tensor] = {}
    for kind, key, is_first in (
        (block_kind, key, i == 0)
        for block, block_kind in blocks
        for i, key in enumerate(_darknet_order(block, block_kind, state))
    ):
        if allow_partial and is_first and offset == len(values):
            return tensors
        count = state[key].numel()
        if offset + count > len(values):
            raise InputError(f"is cut short: it has {len(values):,} values and ends inside {key}", str(path))
        tensors[key] = values[offset : offset + count].view(state[key].shape).clone()
        if kind == "local" and key.endswith(".bias"):  # Darknet orders it by channel, we by place
            layer = model.get_submodule(key.removesuffix(".bias"))
            assert isinstance(layer, nn.Conv2d)
            tensors[key] = tensors[key].view(-1, layer.groups).T.reshape(-1)
        offset += count
    if offset != len(values):
        raise InputError(
            f"has {len(values):,} values where the network has {offset:,}; it belongs to another network", str(path)
        )
    return tensors


def _darknet_order(block: str, kind: str, state: Mapping[str, torch.Tensor]) -> Iterator[str]:
    def statistics(norm: str) -> Iterator[str]:
        return (f"{norm}.{part}" for part in ("weight", "running_mean", "running_var"))

    for layer in dict.fromkeys(key.rpartition(".")[0] for key in state if key.startswith(block + ".")):
        if kind == "norm":
            yield f"{layer}.bias"
            yield from statistics(layer)
        if f"{layer}.running_mean" in state:
            continue
        norm = layer.removesuffix("conv") + "norm"
        has_norm = f"{norm}.running_mean" in state
        if has_norm or f"{layer}.bias" in state:
            yield f"{norm if has_norm else layer}.bias"
        if kind == "connected":  # its weights come before the norm's
            yield f"{layer}.weight"
        if has_norm:
            yield from statistics(norm)
        if kind != "connected":
            yield f"{layer}.weight"
