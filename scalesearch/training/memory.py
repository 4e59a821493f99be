"""How many images fit into memory at a time: counted, not found by trial."""

from __future__ import annotations

import torch

from scalesearch.arch import Arch
from scalesearch.counting import cost, peak_memory
from scalesearch.machine import free_memory
from scalesearch.trials import Recipe

USABLE_SHARE = 0.85  # share of the free memory; the rest is for the kernels' scratch space and other processes
OUT_OF_MEMORY_MESSAGES = "can't allocate memory", "out of memory", "ALLOC_FAILED"  # of torch, CUDA, cuBLAS and cuDNN
FLOAT_BYTES = 4  # bytes
# Floats held per parameter: itself, its gradient, its moving average, and the optimizer's state.
COPIES_PER_PARAMETER = {"adamw": 5, "sgd": 4, "muon": 5}


def free_bytes(device: torch.device) -> int:
    """Returns the free memory of a device in bytes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def largest_batch(arch: Arch, recipe: Recipe, free: int) -> int:
    """Returns the largest batch whose training step is counted to fit into `free` bytes, at least 1.

    It is the recipe's (micro) batch, halved until it fits.
    """
    available = USABLE_SHARE * free - COPIES_PER_PARAMETER[recipe.optimizer] * FLOAT_BYTES * cost(arch).params
    batch = min(recipe.batch_size, recipe.micro_batch or recipe.batch_size)
    while batch > 1 and peak_memory(arch, batch, training=True) > available:
        batch = (batch + 1) // 2
    return batch


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error means that memory, of a GPU or of the machine, ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_MESSAGES)
    )
