"""Ends the processes of a local Ray when its driver is gone, and removes its folder.

A driver that is killed can do nothing more, and Ray's agents notice it only after minutes. So a separate
process waits for the driver's end. It runs without this package, so that it starts at once.
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

import psutil

PATIENCE = 5.0  # seconds from being asked to end to being killed


@contextmanager
def cleanup_after(folder: Path) -> Iterator[None]:
    """Ends every process of the Ray that was started with `folder` once the block is left, even if this
    process is killed.
    """
    command = [sys.executable, "-I", __file__, str(folder), str(os.getpid())]
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


def ray_processes(folder: str, driver: int) -> list[psutil.Process]:
    """Returns Ray's processes, but for the driver, that name `folder` in their arguments or have files
    open in it.
    """
    processes = []
    for process in psutil.process_iter():
        if process.pid not in (os.getpid(), driver):
            with suppress(psutil.Error):
                command = " ".join(process.cmdline())
                if not command.startswith("ray::") and "/ray/" not in command:
                    continue
                # some of Ray's processes write over their arguments
                if folder in command or any(folder in file.path for file in process.open_files()):
                    processes.append(process)
    return processes


def end_processes(folder: str, driver: int) -> None:
    """Ends the processes of the Ray that was started with `folder`, first by SIGTERM, then by SIGKILL, and
    removes the folder.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        while (processes := ray_processes(folder, driver)) and time.monotonic() < deadline:
            for process in processes:
                with suppress(psutil.Error):
                    process.send_signal(number)
            time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its driver has ended
    sys.stdin.buffer.read()
    end_processes(sys.argv[1], int(sys.argv[2]))
