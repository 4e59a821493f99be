"""What this machine has for us: cores, and memory that is free."""

from __future__ import annotations

import os
from pathlib import Path

from scalesearch.errors import InputError


def cores() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of main memory that may be taken: of the machine, or of the control group where that leaves less."""
    import psutil

    available = psutil.virtual_memory().available
    return min(available, _of_group() or available)


def check_room(wanted: int, place: str) -> None:
    """Raises `InputError` for what would take more main memory than is free, before any is taken."""
    if wanted > (free := free_memory()):
        raise InputError(f"would take {wanted:,} bytes of memory unpacked, and {free:,} are free", place)


def _of_group() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return int(limit) - int(used) if limit != "max" else None
    except (OSError, ValueError):
        return None
