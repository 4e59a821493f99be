"""Files written whole or not at all, over nothing but files."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesearch.errors import InputError

if TYPE_CHECKING:
    import torch

READER = 10.0  # seconds that a pipe may wait for who reads from it
SHORT = 24  # characters of a path, up to which Ray's sockets can lie below it


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` at the end, and leaves nothing if something fails.

    A link stays one, its target is written; into a pipe or a device what the file holds is written. Raises `InputError`
    where `path` is a folder, lies in none, or cannot be written.
    """
    if not path.name:
        raise InputError("takes the name of a file", str(path))
    if path.is_dir():
        raise InputError("is a folder; name a file", str(path))
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        raise InputError("cannot be written (it is a link to itself)", str(path))
    if not target.parent.is_dir():
        raise InputError("is no folder", str(target.parent))
    if target.exists() and not target.is_file():
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / f"whole{path.suffix}"
            yield temporary
            _pour(temporary, target)
        return
    temporary = target.with_name(f".{target.stem[:40]}.{os.getpid()}{target.suffix}")
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise InputError("is write-protected", str(path))
        temporary.touch()
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", str(path)) from None
    try:
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _pour(source: Path, target: Path) -> None:
    """Write what a file holds into a pipe or a device, once somebody reads there."""
    deadline = time.monotonic() + READER
    while True:
        try:
            into = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > deadline:
                said = "nobody reads from it" if error.errno == errno.ENXIO else error.strerror
                raise InputError(f"cannot be written ({said})", str(target)) from None
            time.sleep(0.05)
    os.set_blocking(into, True)
    with open(into, "wb") as file, open(source, "rb") as held:
        shutil.copyfileobj(held, file)


def cache_folder(kind: str) -> Path:
    """Where what can be made again is kept on this machine: `$SCALESEARCH_CACHE`, or the user's folder of caches.

    Raises `InputError` where it cannot be made.
    """
    named = os.environ.get("SCALESEARCH_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scalesearch"
    try:
        (base / kind).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot be made a folder for the cache ({error.strerror}); name another by SCALESEARCH_CACHE", str(base)
        ) from None
    return base / kind


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """One process after another: whoever finds the file at `path` taken waits."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def locked(path: Path, otherwise: str) -> Iterator[bool]:
    """The file at `path` is this process's alone while the block runs, else `InputError(otherwise)`; where nothing is
    said otherwise, false."""
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if otherwise:
                raise InputError(otherwise) from None
            yield False
            return
        yield True


@contextmanager
def own_folder(name: str) -> Iterator[Path]:
    """A folder for what this process needs while the block runs, whose path is short enough for sockets in it; those of
    processes that were killed before they could take theirs away go too."""
    home = Path(tempfile.gettempdir())
    home = home if len(str(home)) <= SHORT else Path("/tmp")
    for left in home.glob(f"{name}-*-*"):
        if left.name.split("-")[-2].isdecimal() and not Path(f"/proc/{left.name.split('-')[-2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-", dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stamp(path: Path) -> dict[str, Any]:
    """By what a file can be known again: its size in `bytes` and its `sha256`."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def unpacked(path: Path) -> int:
    """Bytes that a zip's files have at most, unpacked; of a file that is none its own. Raises `OSError` and
    `zipfile.BadZipFile`."""
    import zipfile

    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as file:
        return sum(member.file_size for member in file.infolist())


def save_text(text: str, path: Path) -> None:
    """Write a text file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    with whole(path) as temporary:
        save_file(tensors, temporary, metadata)
