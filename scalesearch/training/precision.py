"""Which floating-point precision a network is trained in on a device."""

from __future__ import annotations

import torch

from scalesearch.arch import Arch
from scalesearch.counting import cost

KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


# Multiply-adds for each output of a convolution, from which on a CPU's 16-bit instructions pay: depthwise and narrow
# networks spend their time on moving maps and are slower with them (ResNet-20 has 216, MobileNetV2 45, SqueezeNet 113).
DENSE = 100


def choose_precision(device: torch.device, setting: str, arch: Arch) -> str:
    """Returns the precision to train `arch` in, a key of `KINDS`.

    It is `setting`, unless that is "auto": then bf16 (fp16 on older GPUs) on a GPU, bf16 on a CPU with
    instructions for it if they make this network faster, else fp32.
    """
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # new in torch 2.13
    is_fast = device.type == "cpu" and (features.get("avx512_bf16") or features.get("amx_tile"))
    counts = cost(arch)
    return "bf16" if is_fast and counts.macs >= DENSE * counts.acts else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Returns the context manager in which torch computes with that precision."""
    enabled = precision != "fp32"
    return torch.autocast(device.type, KINDS[precision] if enabled else torch.bfloat16, enabled=enabled)
