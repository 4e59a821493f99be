"""Darknet's .weights files: 32-bit values one after another in the order of the .cfg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from scalesearch.errors import InputError


def read_darknet(
    path: Path, model: nn.Module, blocks: Iterator[tuple[str, str]], part: bool = False
) -> dict[str, torch.Tensor]:
    """A Darknet .weights file by our names: per convolution its norm's bias, weight, mean and variance (or its bias),
    then its weight; of a fully connected layer the weight comes after the bias.

    The header is three int32 versions and a count of images, 64 bits from version 0.2 on. `part` of the network is
    enough where the file ends with a block (Darknet's own `darknet53.conv.74`). Raises `InputError` for other files
    that are shorter or longer than the network.
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
        raise InputError("is damaged: it is no whole number of 32-bit values", str(path))
    values = torch.frombuffer(bytearray(data[start:]), dtype=torch.float32)
    own, at = model.state_dict(), 0
    found: dict[str, torch.Tensor] = {}
    for kind, key, is_first in (
        (of, key, i == 0) for block, of in blocks for i, key in enumerate(_darknet_order(block, of, own))
    ):
        if part and is_first and at == len(values):
            return found
        count = own[key].numel()
        if at + count > len(values):
            raise InputError(f"is cut short: it has {len(values):,} values and ends inside {key}", str(path))
        found[key] = values[at : at + count].view(own[key].shape).clone()
        if kind == "local" and key.endswith(".bias"):  # there by channel, here by place
            places = model.get_submodule(key.removesuffix(".bias"))
            assert isinstance(places, nn.Conv2d)
            found[key] = found[key].view(-1, places.groups).T.reshape(-1)
        at += count
    if at != len(values):
        raise InputError(
            f"has {len(values):,} values where the network has {at:,}; it belongs to another network", str(path)
        )
    return found


def _darknet_order(block: str, kind: str, own: Mapping[str, torch.Tensor]) -> Iterator[str]:
    def statistics(norm):
        return (f"{norm}.{part}" for part in ("weight", "running_mean", "running_var"))

    for layer in dict.fromkeys(key.rpartition(".")[0] for key in own if key.startswith(block + ".")):
        if kind == "norm":
            yield f"{layer}.bias"
            yield from statistics(layer)
        if f"{layer}.running_mean" in own:
            continue
        norm = layer.removesuffix("conv") + "norm"
        has_norm = f"{norm}.running_mean" in own
        if has_norm or f"{layer}.bias" in own:
            yield f"{norm if has_norm else layer}.bias"
        if kind == "connected":  # its weights come before what normalises
            yield f"{layer}.weight"
        if has_norm:
            yield from statistics(norm)
        if kind != "connected":
            yield f"{layer}.weight"
