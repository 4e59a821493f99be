"""Where a job runs: the run's folder, and the share of the machine that it may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """The folder and the resources of one job.

    Attributes:
        folder: The run's folder on this machine.
        threads: CPU threads that the job may use.
        gpu: Whether it runs on a GPU.
        save_every: Seconds between two checkpoints of an unfinished training.
        memory_share: Share in [0, 1] of the device's free memory that the job may use, if several jobs share the
            device.
        timeout: Seconds that the job may take; None for no limit.
        processes: Processes that train one network together, each on a GPU of its own.
        blocks: A person's own blocks, pickled, for those processes.
        store: The address where the folder is kept, if that is not this machine.
    """

    folder: Path = Path()
    threads: int = 1
    gpu: bool = False
    save_every: float = 30.0
    memory_share: float = 1.0
    timeout: float | None = None
    processes: int = 1
    blocks: bytes = b""
    store: str = ""

    @property
    def stop(self) -> Path:
        """Returns the file whose existence asks trainings to save themselves and end."""
        return self.folder / "stop"

    def unfinished_file(self, key: Sequence[object]) -> Path:
        """Returns the file for the checkpoint of the unfinished training of the job with this key."""
        return self.folder / "checkpoints" / f"unfinished-{'-'.join(map(str, key))}.pt"

    def by_class(self, step: str, name: str, seed: int) -> Path:
        """Returns the file for a finished network's results by class."""
        return self.folder / "by_class" / step / f"{name.removesuffix(f'-s{seed}')}-s{seed}.json"

    def failure_note(self, key: Sequence[object]) -> Path:
        """Returns the file in which a process that dies while doing a job records why."""
        return self.unfinished_file(key).with_suffix(".died")
