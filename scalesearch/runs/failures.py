"""Notes that a dying process leaves for the one that waits for it: why it died, and at which line.

`python -m scalesearch.runs.failures ADDRESS FOLDER` uploads such a note to the store of a run that is
kept elsewhere, once the process that started it has died.
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
WORKER_FILE = "runs/worker.py"  # in the stack of the thread that did the job
PATIENCE = 20.0  # seconds that the note of a process elsewhere may take to arrive


class FailureNote:
    """The file in which this process writes why it died, if it dies from now on.

    It is open from the beginning, because a dying process can't open one. After `seconds`, if given, the
    interpreter's own watchdog ends the process, so that a hang in compiled code counts as a failure too.
    """

    def __init__(self, path: Path, seconds: float | None):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path: Path = path
        self.file: TextIO = open(path, "w")  # noqa: SIM115
        faulthandler.enable(self.file)
        if seconds is not None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self.file)

    def remove(self) -> None:
        """Removes the note: the job has ended well."""
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()
        self.file.close()
        self.path.unlink(missing_ok=True)


class NoteUploader:
    """A process that outlives this one and uploads its failure note to the store of a run."""

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
        """Says which note belongs to the job that has begun."""
        assert self._process.stdin is not None
        self._process.stdin.write(path.relative_to(self.folder).as_posix() + "\n")
        self._process.stdin.flush()


def upload_note(address: str, folder: Path, names: list[str]) -> None:
    """Uploads the note that was named last, even an empty one, unless it was removed because its job ended
    well.
    """
    if names and (folder / names[-1]).exists():
        Mirror(address, folder).upload([names[-1]])


def failure_reason(job: Job, place: Place) -> str:
    """Returns in words why the process that did a job died; nothing if it left no note.

    The note is removed. If the run is kept elsewhere, the note is waited for, 20 seconds at most.
    """
    path = place.failure_note(job.key)
    if place.store:
        _download(Mirror(place.store, place.folder), path.relative_to(place.folder).as_posix())
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


def _download(mirror: Mirror, name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not mirror.has(name) and time.monotonic() < deadline:
        time.sleep(0.2)
    if mirror.has(name):
        mirror.download([name])
        mirror.remove(name)


def _where(note: str) -> str:
    """Returns the innermost line of the thread that was doing the job."""
    threads = [part.splitlines() for part in note.split("\n\n")]
    stack = next((lines for lines in threads if any(WORKER_FILE in line for line in lines)), [])
    place = next((line.strip() for line in stack if line.strip().startswith("File")), "")
    return f", at {place}" if place else ""


if __name__ == "__main__":
    upload_note(sys.argv[1], Path(sys.argv[2]), sys.stdin.read().splitlines())
