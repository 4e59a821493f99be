"""What a process that died at a job leaves for the one that waits for it: why, and where it was."""

from __future__ import annotations

import faulthandler
from pathlib import Path
from typing import TextIO

TIMEOUT = "Timeout"  # how the interpreter's watchdog begins what it says
FATAL = "Fatal Python error: "
OURS = "runs/worker.py"  # in the stack of the thread that was at the job


class LastWords:
    """Of this process, from now on, in a file: held open, since at the end it is too late to open one.

    After so many `seconds` the interpreter's own watchdog ends the process, so that a hang in compiled code counts too.
    """

    def __init__(self, path: Path, seconds: float | None):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path: Path = path
        self.file: TextIO = open(path, "w")  # noqa: SIM115
        faulthandler.enable(self.file)
        if seconds is not None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self.file)

    def take_back(self) -> None:
        """The job has ended well."""
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()
        self.file.close()
        self.path.unlink(missing_ok=True)


def last_words(path: Path) -> str:
    """Why a process died, in words, as far as it could tell; nothing where it could not. The file is taken away."""
    try:
        said = path.read_text(errors="replace")
    except OSError:
        return ""
    path.unlink(missing_ok=True)
    if said.startswith(TIMEOUT):
        return f"it took longer than trial_timeout{_where(said)}"
    if said.startswith(FATAL):
        return f"the process died: {said.removeprefix(FATAL).splitlines()[0].lower()}{_where(said)}"
    return ""


def _where(said: str) -> str:
    """The innermost line of the thread that was at the job."""
    threads = [part.splitlines() for part in said.split("\n\n")]
    stack = next((lines for lines in threads if any(OURS in line for line in lines)), [])
    place = next((line.strip() for line in stack if line.strip().startswith("File")), "")
    return f", at {place}" if place else ""
