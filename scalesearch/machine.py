"""The CPU cores and the free memory of this machine."""

from __future__ import annotations

import os
from pathlib import Path

from scalesearch.errors import InputError


def cores() -> int:
    """Returns how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_cores() -> float:
    """Returns how many of this machine's cores other work takes, measured for a fifth of a second."""
    import psutil

    return psutil.cpu_percent(0.2) / 100 * (psutil.cpu_count() or 1)


def free_memory() -> int:
    """Returns the bytes of main memory that may be taken: of the machine, or of the control group if that
    has fewer.
    """
    import psutil

    available = psutil.virtual_memory().available
    return min(available, _free_in_cgroup() or available)


def check_memory(needed: int, place: str) -> None:
    """Raises `InputError`, placed at `place`, if `needed` bytes are more than the main memory that is
    free.
    """
    if needed > (free := free_memory()):
        raise InputError(f"would take {needed:,} bytes of memory unpacked, and {free:,} are free", place)


def _free_in_cgroup() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return int(limit) - int(used) if limit != "max" else None
    except (OSError, ValueError):
        return None
