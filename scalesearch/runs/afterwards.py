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
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               cwd="/", start_new_session=True)
    assert watcher.stdin is not None
    try:
        yield
    finally:
        watcher.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            watcher.wait(2 * PATIENCE)


def running_with(folder: str, driver: int) -> list[int]:
    """Processes, but for this one and the driver, with a folder among their arguments or with files open in it."""
    others = ((pid, signs) for pid, signs in _processes() if pid not in (os.getpid(), driver))
    return [pid for pid, signs in others if any(folder in sign for sign in signs)]


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Their arguments and, as Ray's own change theirs, their open files."""
    if not Path("/proc/self/cmdline").exists():
        listed = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), [command]
        return
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):
                signs = [(process / "cmdline").read_bytes().decode(errors="replace")]
                signs += [os.readlink(file) for file in (process / "fd").iterdir()]
                yield int(process.name), signs


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
