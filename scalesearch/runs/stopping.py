"""Ending a run early: by Ctrl-C, a cluster's SIGTERM or a limit of the study; running trials are
saved.
"""

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
    """Holds whether a run is to stop, and why: a signal's number, or in words the limit that is reached."""

    def __init__(self, folder: Path):
        self.file = Place(folder).stop
        self.signal, self.limit, self._is_only_noted = 0, "", False
        self.announce: Callable[[], None] = lambda: None  # tells workers that do not see this folder

    def __bool__(self) -> bool:
        return bool(self.signal or self.limit)

    def request(self, limit: str) -> None:
        """Asks the run to stop: whatever is being trained is saved, and nothing new begins."""
        self.limit = self.limit or limit
        self.file.touch()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Asks the run to stop; a second Ctrl-C raises `KeyboardInterrupt`."""
        if number == self.signal == signal.SIGINT and not self._is_only_noted:
            raise KeyboardInterrupt
        self.signal = number
        self.file.touch()

    @contextmanager
    def only_noted(self) -> Iterator[None]:
        """Lets no signal interrupt the block, whose code cannot be left halfway."""
        self._is_only_noted = True
        try:
            yield
        finally:
            self._is_only_noted = False


@contextmanager
def stop_on_signals(folder: Path) -> Iterator[Stop]:
    """Stops the run of a folder on Ctrl-C or SIGTERM while the block runs.

    The first signal asks all trials to save and end; a second Ctrl-C ends the block at once.
    """
    stop = Stop(folder)
    stop.file.unlink(missing_ok=True)
    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.signal(number, stop.on_signal) for number in SIGNALS} if in_main_thread else {}
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        stop.file.unlink(missing_ok=True)
