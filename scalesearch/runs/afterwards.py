"""What a local Ray still has running when its driver is gone is ended, and its folder taken away.

A driver that is killed can do nothing more, and Ray's agents notice it after minutes. So a process of its own, which
has nothing else to do, waits for the driver's end. It needs the standard library alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 5.0  # seconds from being asked to end to being killed


@contextmanager
def tidied(folder: Path) -> Iterator[None]:
    """Whatever was started with `folder` among its arguments is ended after the block, however that ends."""
    command = [sys.executable, "-I", "-S", __file__, str(folder), str(os.getpid())]
    watcher = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    assert watcher.stdin is not None
    try:
        yield
    finally:
        watcher.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            watcher.wait(2 * PATIENCE)


def running_with(folder: str, driver: int) -> list[int]:
    """Ray's processes, but for the driver, with a folder among their arguments or with files open in it."""
    rays = (
        (pid, (command, *files))
        for pid, command, files in _processes()
        if command.startswith("ray::") or "/ray/" in command
    )
    return [pid for pid, signs in rays if pid not in (os.getpid(), driver) and any(folder in sign for sign in signs)]


def _processes() -> Iterator[tuple[int, str, list[str]]]:
    """Our own: their arguments and, as some of Ray's write over theirs, their open files."""
    if not Path("/proc/self/cmdline").exists():
        command = ["ps", "-xww", "-o", "pid=", "-o", "command="]
        for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
            pid, _, arguments = line.strip().partition(" ")
            if pid.isdecimal():
                yield int(pid), arguments.strip(), []
        return
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):
                if process.stat().st_uid == os.getuid():
                    arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    yield int(process.name), arguments, list(_open_in(process))


def _open_in(process: Path) -> Iterator[str]:
    with suppress(OSError):
        for file in (process / "fd").iterdir():
            with suppress(OSError):
                yield os.readlink(file)


def end(folder: str, driver: int) -> None:
    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        until = time.monotonic() + patience
        while (there := running_with(folder, driver)) and time.monotonic() < until:
            for pid in there:
                with suppress(OSError):
                    os.kill(pid, number)
            time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes when its driver has gone
    sys.stdin.buffer.read()
    end(sys.argv[1], int(sys.argv[2]))
