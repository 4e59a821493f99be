"""The time that all runs of a folder have taken together, kept on disk, so that limits hold across
kills and resumes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from scalesearch.errors import InputError
from scalesearch.files import save_text
from scalesearch.runs.stopping import Stop
from scalesearch.study import Resources
from scalesearch.typed_json import Number, from_json

FILE = "spent.json"
POLL_SECONDS = 1.0  # seconds between two checks of the limits
SAVE_SECONDS = 10.0  # seconds between two writes of the file


class Elapsed(NamedTuple):
    """Holds seconds of wall-clock time that runs were at work, and GPU seconds: those times the GPUs that
    trials used.
    """

    seconds: Number = 0.0
    gpu_seconds: Number = 0.0


def elapsed(folder: Path) -> Elapsed:
    """Returns the time that all runs of a folder have taken so far; zeros if none has begun."""
    try:
        return from_json(Elapsed, (folder / FILE).read_bytes())
    except (OSError, InputError):
        return Elapsed()


@contextmanager
def limits_enforced(folder: Path, limits: Resources, stop: Stop, running: Callable[[], int]) -> Iterator[None]:
    """Adds the time that the block takes to the folder's file, and asks the run to stop when a limit is reached.

    Args:
        folder: The run's folder.
        limits: The study's limits.
        stop: Asks the run to stop.
        running: Returns how many trials are running.
    """
    ended = threading.Event()
    total, saved_at, updated_at = elapsed(folder), time.monotonic(), time.monotonic()

    def update() -> None:
        nonlocal total, saved_at, updated_at
        now = time.monotonic()
        interval, updated_at = now - updated_at, now
        gpus_in_use = limits.gpus_per_trial * running()
        total = Elapsed(total.seconds + interval, total.gpu_seconds + interval * gpus_in_use)
        if now - saved_at >= SAVE_SECONDS or ended.is_set():
            saved_at = now
            with suppress(OSError):  # a full disk is reported by whoever writes results
                save_text(json.dumps({key: round(v, 3) for key, v in total._asdict().items()}), folder / FILE)
        if limit := limits.reached(*total):
            stop.request(limit)
        if stop:
            with suppress(OSError):
                stop.announce()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            update()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        update()
