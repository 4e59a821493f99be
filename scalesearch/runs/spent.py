"""What the runs of a folder have taken together, kept on disk while they work: limits hold across kills and resumes."""

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
from scalesearch.shapes import Number, from_json
from scalesearch.study import Resources

FILE = "spent.json"
LOOK = 1.0  # seconds between two looks at the limits
SAVE = 10.0  # between two writings


class Spent(NamedTuple):
    """Seconds by the clock on the wall while a run was at work, and those times the GPUs that trials held."""

    seconds: Number = 0.0
    gpu_seconds: Number = 0.0


def spent(folder: Path) -> Spent:
    """By all runs of a folder so far; nothing where none has begun."""
    try:
        return from_json(Spent, (folder / FILE).read_bytes())
    except (OSError, InputError):
        return Spent()


@contextmanager
def counted(folder: Path, limits: Resources, stop: Stop, running: Callable[[], int]) -> Iterator[None]:
    """While the block runs, what it takes is added up and written down, and the run asked to end where a limit of the
    study is reached. `running` says how many trials are at work."""
    ended = threading.Event()
    so_far, written, last = spent(folder), time.monotonic(), time.monotonic()

    def look() -> None:
        nonlocal so_far, written, last
        now = time.monotonic()
        passed, last = now - last, now
        gpus = limits.gpus_per_trial * running()
        so_far = Spent(so_far.seconds + passed, so_far.gpu_seconds + passed * gpus)
        if now - written >= SAVE or ended.is_set():
            written = now
            with suppress(OSError):  # a full disk is told by whoever has something to lose
                save_text(json.dumps({key: round(v, 3) for key, v in so_far._asdict().items()}), folder / FILE)
        if reached := limits.reached(*so_far):
            stop.ask(reached)
        if stop:
            with suppress(OSError):
                stop.tell()

    def watch() -> None:
        while not ended.wait(LOOK):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()
