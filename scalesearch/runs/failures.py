"""What a process that dies while doing a job leaves for the one that waits for it: why it died, and where it was.

`python -m scalesearch.runs.failures ADDRESS FOLDER` brings such notes of a process into the store of a run that is kept
elsewhere, once that process has died.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from scalesearch.runs.mirror import Mirror
from scalesearch.trials import Job, Place

TIMEOUT = "Timeout"  # how the note of the interpreter's watchdog begins
FATAL = "Fatal Python error: "
OURS = "runs/worker.py"  # in the stack of the thread that was doing the job
PATIENCE = 20.0  # seconds that the note of a process elsewhere may take to arrive


class FailureNote:
    """The note that this process leaves if it dies from now on, in a file that is held open: at the end it is too late
    to open one.

    After so many `seconds` the interpreter's own watchdog ends the process, so that a hang in compiled code counts too.
    """

    def __init__(self, path: Path, seconds: float | None):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path: Path = path
        self.file: TextIO = open(path, "w")  # noqa: SIM115
        faulthandler.enable(self.file)
        if seconds is not None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self.file)

    def withdraw(self) -> None:
        """Removes the note: the job has ended well."""
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()
        self.file.close()
        self.path.unlink(missing_ok=True)


class NoteCourier:
    """A process that brings this one's note into the store of a run, once this one has died."""

    def __init__(self, address: str, folder: Path):
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, address, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def watch(self, path: Path) -> None:
        """Names the note of the job that has begun."""
        assert self._process.stdin is not None
        self._process.stdin.write(path.relative_to(self.folder).as_posix() + "\n")
        self._process.stdin.flush()


def deliver(address: str, folder: Path, names: list[str]) -> None:
    """Brings the note that was named last into the store, an empty one too, if its job has not ended well."""
    if names and (folder / names[-1]).exists():
        Mirror(address, folder).up([names[-1]])


def failure_reason(job: Job, place: Place) -> str:
    """Returns why the process that did a job died, as far as it could tell; nothing if it could not.

    The note is removed. If the run is kept elsewhere, its note is waited for.
    """
    path = place.failure_note(job.key)
    if place.store:
        _fetch(Mirror(place.store, place.folder), path.relative_to(place.folder).as_posix())
    try:
        note = path.read_text(errors="replace")
    except OSError:
        return ""
    path.unlink(missing_ok=True)
    if note.startswith(TIMEOUT):
        return f"it took longer than trial_timeout{_where(note)}"
    if note.startswith(FATAL):
        return f"the process died: {note.removeprefix(FATAL).splitlines()[0].lower()}{_where(note)}"
    return ""


def _fetch(mirror: Mirror, name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not mirror.has(name) and time.monotonic() < deadline:
        time.sleep(0.2)
    if mirror.has(name):
        mirror.down([name])
        mirror.remove(name)


def _where(note: str) -> str:
    """Returns the innermost line of the thread that was doing the job."""
    threads = [part.splitlines() for part in note.split("\n\n")]
    stack = next((lines for lines in threads if any(OURS in line for line in lines)), [])
    place = next((line.strip() for line in stack if line.strip().startswith("File")), "")
    return f", at {place}" if place else ""


if __name__ == "__main__":
    deliver(sys.argv[1], Path(sys.argv[2]), sys.stdin.read().splitlines())
