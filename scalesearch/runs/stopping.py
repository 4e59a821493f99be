"""The end of a run before its end: Ctrl-C, a cluster's SIGTERM, or a limit of its own; trials are saved on the way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from scalesearch.training import Place

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a run is to end, and why: a signal's number, or in words a limit that is reached."""

    def __init__(self, folder: Path):
        self.file = Place(folder).stop
        self.signal, self.limit = 0, ""
        self.tell: Callable[[], None] = lambda: None  # those who do not see this folder

    def __bool__(self) -> bool:
        return bool(self.signal or self.limit)

    def ask(self, limit: str) -> None:
        """End gracefully: whatever is being trained is saved where it is, and nothing new begins."""
        self.limit = self.limit or limit
        self.file.touch()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == self.signal == signal.SIGINT:  # the second time: at once
            raise KeyboardInterrupt
        self.signal = number
        self.file.touch()


@contextmanager
def stopping(folder: Path) -> Iterator[Stop]:
    """While the block runs, the first Ctrl-C or SIGTERM asks all trials of the folder to save and end; a second Ctrl-C
    ends it at once."""
    stop = Stop(folder)
    stop.file.unlink(missing_ok=True)
    in_charge = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop.on_signal) for number in SIGNALS} if in_charge else {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.file.unlink(missing_ok=True)
