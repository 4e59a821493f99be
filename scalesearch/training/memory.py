"""How many images fit at a time: counted, not tried."""

from __future__ import annotations

import torch

from scalesearch.arch import Arch
from scalesearch.counting import cost, peak_memory
from scalesearch.machine import free_memory
from scalesearch.trials import Recipe

USED = 0.85  # of what is free; the rest is for a kernel's scratch space and what others take meanwhile
SAID = "can't allocate memory", "out of memory", "ALLOC_FAILED"  # by torch, CUDA, cuBLAS and cuDNN
FLOAT = 4  # bytes
# Of each parameter: itself, its gradient, its average, and what the optimizer keeps.
KEPT = {"adamw": 5, "sgd": 4, "muon": 5}


def free_on(device: torch.device) -> int:
    """Bytes that a training may take there."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def largest_batch(arch: Arch, recipe: Recipe, free: int) -> int:
    """The most images of a batch, by powers of two below the recipe's, whose training step is counted to fit in `free`
    bytes; one where not even that does."""
    room = USED * free - KEPT[recipe.optimizer] * FLOAT * cost(arch).params
    wanted = min(recipe.batch_size, recipe.micro_batch or recipe.batch_size)
    while wanted > 1 and peak_memory(arch, wanted, training=True) > room:
        wanted = (wanted + 1) // 2
    return wanted


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or of the machine, did not suffice."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)
    )
