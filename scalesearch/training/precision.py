"""Which arithmetic a device is fast with."""

from __future__ import annotations

import torch

from scalesearch.arch import Arch
from scalesearch.counting import cost

KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


# Multiply-adds for each output of a convolution, from which on a CPU's 16-bit instructions pay: depthwise and narrow
# networks spend their time on moving maps and are slower with them (ResNet-20 has 216, MobileNetV2 45, SqueezeNet 113).
DENSE = 100


def precision_on(device: torch.device, wanted: str, arch: Arch) -> str:
    """`wanted`, or for `auto` 16 bits where the device has instructions for them that make this network faster: bf16,
    on older GPUs fp16."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    fast = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    counted = cost(arch)
    return "bf16" if fast and counted.macs >= DENSE * counted.acts else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The block inside computes with that arithmetic."""
    kind = KINDS[precision]
    return torch.autocast(device.type, kind if kind != torch.float32 else torch.bfloat16, enabled=kind != torch.float32)
