"""One training over several processes, each on a GPU of its own (on CPUs by gloo): PyTorch's DistributedDataParallel.

The process that has the job leads: it starts the others, which follow it step by step on their part of every batch,
until it has no more use for them. Statistics of norms are of the whole batch, so that the outcome is that of one
process, as far as no dice are thrown for single images.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import distributed, nn

from scalesearch.arch import BLOCKS
from scalesearch.trials import Job, Place

if TYPE_CHECKING:
    from scalesearch.training.training import Training

M = TypeVar("M", bound=nn.Module)

HERE = "127.0.0.1"
PATIENCE = timedelta(hours=6)  # that followers have while the leader validates
LOOK = 1.0  # seconds between two looks at whether the leader is there


@dataclass(frozen=True)
class Team:
    """The place of this process, `rank`, among those of one training; the leader's is 0."""

    rank: int = 0
    size: int = 1

    def device(self, kind: str) -> torch.device:
        return torch.device(kind, self.rank) if kind == "cuda" and self.size > 1 else torch.device(kind)

    def wrapped(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The same module, whose gradients are the team's mean."""
        if self.size == 1:
            return model
        where = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, where)

    def with_shared_norms(self, model: M, device: torch.device) -> M:
        """Returns the model with batch norms whose statistics are of all processes' images; names stay as they are."""
        if self.size == 1:
            return model
        if device.type == "cuda":
            return cast(M, nn.SyncBatchNorm.convert_sync_batchnorm(model))
        norms = [(name, module) for name, module in model.named_modules() if type(module) is nn.BatchNorm2d]
        for name, norm in norms:
            model.set_submodule(name, SharedNorm.of(norm))
        return model

    def parts(self, batch: torch.Tensor, micro_batch: int) -> list[torch.Tensor]:
        """This process's share of every part of a batch, each at most `micro_batch` long."""
        count = min(-(-len(batch) // (micro_batch * self.size)), max(1, len(batch) // self.size))
        return [part.tensor_split(self.size)[self.rank] for part in batch.tensor_split(count)]

    def leaders(self, tensor: torch.Tensor) -> torch.Tensor:
        """What the leader has in place of `tensor`, which all must have in the same shape."""
        return self._together(tensor, lambda shared: distributed.broadcast(shared, 0))

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._together(tensor, distributed.all_reduce)

    def least(self, number: int) -> int:
        def smallest(shared: torch.Tensor) -> None:
            distributed.all_reduce(shared, distributed.ReduceOp.MIN)

        return int(self._together(torch.tensor(number), smallest))

    def _together(self, tensor: torch.Tensor, exchange: Callable[[torch.Tensor], object]) -> torch.Tensor:
        if self.size == 1:
            return tensor
        shared = tensor.to("cuda") if distributed.get_backend() == "nccl" else tensor.clone()
        exchange(shared)
        return shared.to(tensor.device)

    def seed_followers(self, *step: int) -> None:
        """Seeds the followers by the step, so that they draw other random numbers than the leader."""
        if self.rank:
            torch.manual_seed(hash((self.rank, *step)) & (2**63 - 1))


ALONE = Team()


class Sum(torch.autograd.Function):
    """Of all processes' tensors; what each gives back goes to all."""

    @staticmethod
    def forward(ctx: Any, here: torch.Tensor) -> torch.Tensor:
        total = here.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        total = grads[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


class SharedNorm(nn.BatchNorm2d):
    """Batch normalisation whose statistics, in training, are of all processes' images, on CPUs too.

    `torch.nn.SyncBatchNorm` does the same on GPUs alone.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> SharedNorm:
        """Returns a shared norm with the tensors of another one."""
        shared = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        shared.load_state_dict(norm.state_dict())
        return shared.train(norm.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        values, over = x.float(), (0, 2, 3)
        count = Sum.apply(values.new_tensor(float(values[:, 0].numel())))
        mean = Sum.apply(values.sum(over)) / count
        centred = values - mean[:, None, None]
        variance = Sum.apply(centred.square().sum(over)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), share)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        shown = centred * scale[:, None, None]
        return cast(torch.Tensor, (shown + self.bias[:, None, None] if self.affine else shown).to(x.dtype))


@contextmanager
def team_of(job: Job, place: Place, training: Training) -> Iterator[Team]:
    """The team that does `job` at `place`, led by this process, while the block runs; of one where one is enough."""
    if place.processes == 1 or not job.until:
        yield Team()
        return
    store = distributed.TCPStore(HERE, 0, is_master=True, wait_for_workers=False)
    # files, since a pipe that nobody reads fills up
    errors = [tempfile.TemporaryFile() for _ in range(1, place.processes)]  # noqa: SIM115
    followers = [
        _started(rank, store.port, job, place, training, errors[rank - 1]) for rank in range(1, place.processes)
    ]
    try:
        _gather(store, 0, place)
        yield Team(0, place.processes)
    except RuntimeError as error:
        time.sleep(LOOK)  # the process that died says more than the one that noticed
        ended = [file for follower, file in zip(followers, errors) if follower.poll()]
        if not ended:
            raise
        ended[0].seek(0)
        words = ended[0].read().decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"a process of the training died: {words[-1] if words else error}") from error
    finally:
        for follower in followers:
            follower.kill()
            follower.communicate()
        with suppress(Exception):
            distributed.destroy_process_group()


def _started(
    rank: int, port: int, job: Job, place: Place, training: Training, errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    follower = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import follow; follow()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )
    assert follower.stdin is not None
    follower_job = replace(job, proxies=(), final=False, weights="")
    pickle.dump((rank, port, os.getpid(), place.blocks), follower.stdin)
    pickle.dump((follower_job, place, training), follower.stdin)
    follower.stdin.flush()
    return follower


def _gather(store: distributed.TCPStore, rank: int, place: Place) -> None:
    on_gpus = place.gpu and torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        "nccl" if on_gpus else "gloo", store=store, rank=rank, timeout=PATIENCE, world_size=place.processes
    )


def follow() -> None:
    """What a process does that was started for a team: the leader's training, on its own part of every batch."""
    rank, port, leader, blocks = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with, args=(leader,), daemon=True).start()
    if blocks:
        BLOCKS.update(pickle.loads(blocks))
    job, place, training = pickle.load(sys.stdin.buffer)
    _gather(distributed.TCPStore(HERE, port), rank, place)
    training.session(job, place, Team(rank, place.processes)).follow()


def _end_with(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(LOOK)
    os._exit(1)
