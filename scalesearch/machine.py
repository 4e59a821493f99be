"""What this machine has for us: cores, and memory that is free."""

from __future__ import annotations

import os
from pathlib import Path

from scalesearch.errors import InputError

UNKNOWN = 1 << 40  # bytes, where nothing tells


def cores() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of main memory that may be taken: of the machine, or of the control group where that leaves less."""
    return min(filter(None, (_of_machine(), _of_group())), default=UNKNOWN)


def check_room(wanted: int, place: str) -> None:
    """Raises `InputError` for what would take more main memory than is free, before any is taken."""
    if wanted > (free := free_memory()):
        raise InputError(f"would take {wanted:,} bytes of memory unpacked, and {free:,} are free", place)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _of_group() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return int(limit) - int(used) if limit != "max" else None
    except (OSError, ValueError):
        return None
