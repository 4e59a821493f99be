"""Costs measured on the built network: fvcore's counts and torch's peak memory. The only importer of fvcore."""

from __future__ import annotations

import gc
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scalesearch.plain_data import PlainDict

MAC_OPERATORS = ("conv", "linear", "matmul", "addmm", "bmm")


def fvcore_counts(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Returns fvcore's `macs` (conv, linear, matmul, addmm, bmm), `fvcore_total` and `acts` of `model` in eval mode.

    Runs a real forward pass on a batch of one; `shape` is that of one input, without the batch.
    """
    for name in ("fvcore.nn.jit_analysis", "fvcore"):
        logging.getLogger(name).setLevel(logging.ERROR)
    was_training = model.training
    model.eval()
    x = torch.zeros(1, *shape)
    flops = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    acts = ActivationCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_operator: Counter[str] = flops.by_operator()
    counts = {
        "macs": int(sum(by_operator[name] for name in MAC_OPERATORS)),
        "fvcore_total": int(flops.total()),
        "acts": int(acts.total()),
    }
    model.train(was_training)
    return counts


class _StorageWatch(TorchDispatchMode):
    """Tracks the bytes of the storages that operators allocate while it is active, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.seen: set[int] = set()

    def exclude(self, *tensors: torch.Tensor) -> None:
        """Excludes storages that existed before from the count."""
        self.seen |= {t.untyped_storage()._cdata for t in tensors}

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: Sequence[object] = (), kwargs: PlainDict | None = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.seen:
            self.seen.add(key)
            self.live += size
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.live -= size


def peak_memory(model: nn.Module, shape: tuple[int, ...], batch: int = 1, training: bool = False) -> int:
    """Returns the peak bytes of the tensors that torch allocates in one inference or training step.

    A training step is forward, loss and backward. Weights and the input aren't counted; a training step's
    gradients are. On a CPU every storage is watched, on a GPU the allocator is asked.
    """
    device = next(model.parameters()).device
    x = torch.randn(batch, *shape, device=device)
    model.train(training)
    step = _training_step if training else _inference
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step(model, x)
        return torch.cuda.max_memory_allocated(device) - before
    watch = _StorageWatch()
    watch.exclude(x, *model.parameters(), *model.buffers())
    with watch:
        step(model, x)
    return watch.peak


def _inference(model: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        model(x)


def _training_step(model: nn.Module, x: torch.Tensor) -> None:
    model.zero_grad(set_to_none=True)
    out = model(x)
    torch.stack([_loss(part) for part in (out if isinstance(out, tuple) else (out,))]).sum().backward()
    model.zero_grad(set_to_none=True)


def _loss(out: torch.Tensor) -> torch.Tensor:
    if out.ndim > 2:  # a detector's map or positions
        return out.mean()
    return nn.functional.cross_entropy(out, torch.zeros(len(out), dtype=torch.long, device=out.device))
