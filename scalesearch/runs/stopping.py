"""The end of a run before its end: Ctrl-C, a cluster's SIGTERM, or a limit of its own; trials are saved on the way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from scalesearch.trials import Place

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a run is to end, and why: a signal's number, or in words a limit that is reached."""

    def __init__(self, folder: Path):
        self.file = Place(folder).stop
        self.signal, self.limit = 0, ""
        self.announce: Callable[[], None] = lambda: None  # to workers that do not see this folder

    def __bool__(self) -> bool:
        return bool(self.signal or self.limit)

    def ask(self, limit: str) -> None:
        """Ends the run gracefully: whatever is being trained is saved where it is, and nothing new begins."""
        self.limit = self.limit or limit
        self.file.touch()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Asks the run to end; a second Ctrl-C raises `KeyboardInterrupt`."""
        if number == self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        self.file.touch()


@contextmanager
def stopping(folder: Path) -> Iterator[Stop]:
    """Lets the first Ctrl-C or SIGTERM in the block ask all trials of the folder to save and end; a second Ctrl-C ends
    the block at once."""
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
