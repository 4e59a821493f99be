"""Training by several processes, each with its own GPU (or on CPUs, by gloo), using PyTorch's
DistributedDataParallel.

The process that has the job leads: it starts the others, which train in step with it on their own part of
every batch until it ends them. Batch norms use the statistics of the whole batch, so that the result is
that of one process, but for the random augmentation of single images.
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
from typing import IO, TYPE_CHECKING, TypeVar, cast

import torch
from torch import distributed, nn

from scalesearch.arch import BLOCKS
from scalesearch.trials import Job, Place

if TYPE_CHECKING:
    from scalesearch.training.training import Training

M = TypeVar("M", bound=nn.Module)

LOCALHOST = "127.0.0.1"
PATIENCE = timedelta(hours=6)  # how long followers wait while the leader validates
POLL_SECONDS = 1.0  # seconds between two checks of whether the leader is alive


@dataclass(frozen=True)
class Team:
    """Holds this process's `rank` among the `size` processes of one training; the leader's is 0.

    Its methods return their arguments unchanged for a single process.
    """

    rank: int = 0
    size: int = 1

    def device(self, kind: str) -> torch.device:
        """Returns this process's device: on a machine with several GPUs the one with its rank."""
        return torch.device(kind, self.rank) if kind == "cuda" and self.size > 1 else torch.device(kind)

    def wrap_model(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Returns the model in a wrapper whose gradients are averaged over all processes."""
        if self.size == 1:
            return model
        device_ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids)

    def with_shared_norms(self, model: M, device: torch.device) -> M:
        """Returns the model with batch norms whose statistics are of all processes' images; names stay as they
        are.
        """
        if self.size == 1:
            return model
        if device.type == "cuda":
            return cast(M, nn.SyncBatchNorm.convert_sync_batchnorm(model))
        norms = [(name, module) for name, module in model.named_modules() if type(module) is nn.BatchNorm2d]
        for name, norm in norms:
            model.set_submodule(name, SharedNorm.of(norm))
        return model

    def parts(self, batch: torch.Tensor, micro_batch: int) -> list[torch.Tensor]:
        """Returns the parts of a batch that this process trains on, one after the other, each at most
        `micro_batch` long.
        """
        count = min(-(-len(batch) // (micro_batch * self.size)), max(1, len(batch) // self.size))
        return [part.tensor_split(self.size)[self.rank] for part in batch.tensor_split(count)]

    def from_leader(self, tensor: torch.Tensor) -> torch.Tensor:
        """Returns the leader's value of `tensor`, which must have the same shape in all processes."""
        return self._exchange(tensor, lambda shared: distributed.broadcast(shared, 0))

    def sum_over_processes(self, tensor: torch.Tensor) -> torch.Tensor:
        """Returns the sum of `tensor` over all processes."""
        return self._exchange(tensor, distributed.all_reduce)

    def min_over_processes(self, number: int) -> int:
        """Returns the smallest `number` of all processes."""

        def smallest(shared: torch.Tensor) -> None:
            distributed.all_reduce(shared, distributed.ReduceOp.MIN)

        return int(self._exchange(torch.tensor(number), smallest))

    def _exchange(self, tensor: torch.Tensor, collective: Callable[[torch.Tensor], object]) -> torch.Tensor:
        if self.size == 1:
            return tensor
        shared = tensor.to("cuda") if distributed.get_backend() == "nccl" else tensor.clone()
        collective(shared)
        return shared.to(tensor.device)

    def seed_followers(self, *step: int) -> None:
        """Seeds the followers by the step and their rank, so that they draw other random numbers than the
        leader.
        """
        if self.rank:
            torch.manual_seed(hash((self.rank, *step)) & (2**63 - 1))


SINGLE_PROCESS = Team()


class AllReduceSum(torch.autograd.Function):
    """Sums a tensor over all processes; the gradients of all processes are summed likewise."""

    @staticmethod
    def forward(ctx: object, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *grads: torch.Tensor) -> torch.Tensor:
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
        """Returns `x`, `(N, C, H, W)`, normalised per channel over the batches of all processes."""
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        values, axes = x.float(), (0, 2, 3)
        count = AllReduceSum.apply(values.new_tensor(float(values[:, 0].numel())))
        mean = AllReduceSum.apply(values.sum(axes)) / count
        centred = values - mean[:, None, None]
        variance = AllReduceSum.apply(centred.square().sum(axes)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), share)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        normalised = centred * scale[:, None, None]
        return cast(torch.Tensor, (normalised + self.bias[:, None, None] if self.affine else normalised).to(x.dtype))


@contextmanager
def team_of(job: Job, place: Place, training: Training) -> Iterator[Team]:
    """Starts the other processes of a job's training and yields the team, led by this process; they end with the
    block.

    If `place` has one process, or the job trains nothing, this process is alone.

    Raises:
        RuntimeError: If one of the processes died, with the last line that it printed.
    """
    if place.processes == 1 or not job.until:
        yield Team()
        return
    store = distributed.TCPStore(LOCALHOST, 0, is_master=True, wait_for_workers=False)
    # files, since a pipe that nobody reads fills up
    errors = [tempfile.TemporaryFile() for _ in range(1, place.processes)]  # noqa: SIM115
    followers = [_start_follower(rank, store.port, job, place, training, file) for rank, file in enumerate(errors, 1)]
    try:
        _join_group(store, 0, place)
        yield Team(0, place.processes)
    except RuntimeError as error:
        time.sleep(POLL_SECONDS)  # the process that died says more than the one that noticed
        error_files = [file for follower, file in zip(followers, errors) if follower.poll()]
        if not error_files:
            raise
        error_files[0].seek(0)
        lines = error_files[0].read().decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"a process of the training died: {lines[-1] if lines else error}") from error
    finally:
        for follower in followers:
            follower.kill()
            follower.communicate()
        with suppress(Exception):
            distributed.destroy_process_group()


def _start_follower(
    rank: int, port: int, job: Job, place: Place, training: Training, errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    follower = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import follow; follow()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )
    assert follower.stdin is not None
    pickle.dump((rank, port, os.getpid(), place.blocks), follower.stdin)
    pickle.dump((replace(job, proxies=(), final=False, weights=""), place, training), follower.stdin)
    follower.stdin.flush()
    return follower


def _join_group(store: distributed.TCPStore, rank: int, place: Place) -> None:
    on_gpus = place.gpu and torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        "nccl" if on_gpus else "gloo", store=store, rank=rank, timeout=PATIENCE, world_size=place.processes
    )


def follow() -> None:
    """Runs in a process that was started for a team: does the leader's training on this process's part of
    every batch.
    """
    rank, port, leader, blocks = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_exit_with_leader, args=(leader,), daemon=True).start()
    if blocks:
        BLOCKS.update(pickle.loads(blocks))
    job, place, training = pickle.load(sys.stdin.buffer)
    _join_group(distributed.TCPStore(LOCALHOST, port), rank, place)
    training.session(job, place, Team(rank, place.processes)).follow()


def _exit_with_leader(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(POLL_SECONDS)
    os._exit(1)
