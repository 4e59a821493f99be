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
from scalesearch.study import Resources
from scalesearch.typed_json import Number, from_json

FILE = "spent.json"
LOOK = 1.0  # seconds between two looks at the limits
SAVE = 10.0  # between two writings


class Elapsed(NamedTuple):
    """Seconds by the clock on the wall while a run was at work, and those times the GPUs that trials held."""

    seconds: Number = 0.0
    gpu_seconds: Number = 0.0


def elapsed(folder: Path) -> Elapsed:
    """Returns what all runs of a folder have taken so far; nothing where none has begun."""
    try:
        return from_json(Elapsed, (folder / FILE).read_bytes())
    except (OSError, InputError):
        return Elapsed()


@contextmanager
def limits_enforced(folder: Path, limits: Resources, stop: Stop, running: Callable[[], int]) -> Iterator[None]:
    """Adds up and writes down what the block takes, and asks the run to end where a limit of the study is reached.

    Args:
        folder: The run's folder.
        limits: The study's limits.
        stop: Asked to end the run.
        running: Returns how many trials are at work.
    """
    ended = threading.Event()
    total, written, last = elapsed(folder), time.monotonic(), time.monotonic()

    def look() -> None:
        nonlocal total, written, last
        now = time.monotonic()
        passed, last = now - last, now
        gpus = limits.gpus_per_trial * running()
        total = Elapsed(total.seconds + passed, total.gpu_seconds + passed * gpus)
        if now - written >= SAVE or ended.is_set():
            written = now
            with suppress(OSError):  # a full disk is told by whoever has something to lose
                save_text(json.dumps({key: round(v, 3) for key, v in total._asdict().items()}), folder / FILE)
        if reached := limits.reached(*total):
            stop.ask(reached)
        if stop:
            with suppress(OSError):
                stop.announce()

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
