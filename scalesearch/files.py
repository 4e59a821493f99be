"""Writing files completely or not at all, locks, cache folders, and digests of files."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from scalesearch.errors import InputError

if TYPE_CHECKING:
    import torch

PIPE_TIMEOUT = 10.0  # seconds that a pipe may wait for a reader
# The path of a Unix socket has at most 107 characters. Below the folder for temporary files stand, of Ray's longest,
# these and twice the number of this process.
MAX_SOCKET_PATH, SOCKET_TAIL = 107, 83
LOCK_GRACE = 10.0  # seconds within which a new folder gets its lock
OWNER_LOCK = ".owner.lock"  # in a process's folder; locked as long as the process lives


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary file, which replaces `path` when the block ends; if the block raises, nothing is left.

    If `path` is a link, its target is written. Into a pipe or a device the content of the file is copied.

    Raises:
        InputError: If `path` is a folder, lies in none, or cannot be written.
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
            _copy_into_pipe(temporary, target)
        return
    temporary = target.with_name(f".{target.stem[:40]}.{os.getpid()}{target.suffix}")
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise InputError("is write-protected", str(path))
        temporary.touch()
        usual_mode = temporary.stat().st_mode  # libraries may make it readable for its owner alone
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", str(path)) from None
    try:
        yield temporary
        temporary.chmod(target.stat().st_mode if target.exists() else usual_mode)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _copy_into_pipe(source: Path, target: Path) -> None:
    """Copies a file's content into a pipe or a device, once somebody reads from it."""
    deadline = time.monotonic() + PIPE_TIMEOUT
    while True:
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > deadline:
                reason = "nobody reads from it" if error.errno == errno.ENXIO else error.strerror
                raise InputError(f"cannot be written ({reason})", str(target)) from None
            time.sleep(0.05)
    os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file, open(source, "rb") as content:
        shutil.copyfileobj(content, file)


def cache_home() -> Path:
    """Returns `$SCALESEARCH_CACHE`, or the user's cache folder as the platform has it."""
    from platformdirs import user_cache_path

    configured = os.environ.get("SCALESEARCH_CACHE")
    return Path(configured) if configured else user_cache_path("scalesearch")


def cache_folder(kind: str) -> Path:
    """Returns the folder for data of one `kind` that can be made again, below `cache_home`.

    Raises:
        InputError: If the folder cannot be made.
    """
    base = cache_home()
    try:
        (base / kind).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot be made a folder for the cache ({error.strerror}); name another by SCALESEARCH_CACHE", str(base)
        ) from None
    return base / kind


LOOK_SECONDS = 0.5  # for which `is_locked` may hold a lock that it looks at, by far


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds the lock file at `path` while the block runs; waits for another process that holds it."""
    from filelock import FileLock

    with FileLock(path):
        yield


@contextmanager
def exclusive_lock(path: Path, message: str) -> Iterator[None]:
    """Holds the lock file at `path` while the block runs.

    Raises:
        InputError: With `message`, if another process holds the lock.
    """
    from filelock import FileLock, Timeout

    try:
        held_lock = FileLock(path).acquire(timeout=LOOK_SECONDS)
    except Timeout:
        raise InputError(message) from None
    with held_lock:
        yield


def is_locked(path: Path) -> bool:
    """Returns whether a process holds the lock file at `path`; a missing file is held by none."""
    from filelock import FileLock, Timeout

    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def process_folder(name: str) -> Iterator[Path]:
    """Yields a temporary folder of this process whose path is short enough for sockets below it.

    The folder is locked as long as its process lives. Folders of the same `name` whose lock is free belong to
    processes that were killed, and are removed; a lock tells that also where process numbers don't: in containers that
    share the folder for temporary files, and on systems without `/proc`.
    """
    home = Path(tempfile.gettempdir())
    if len(os.fsencode(home)) + SOCKET_TAIL + 2 * len(str(os.getpid())) > MAX_SOCKET_PATH:
        home = Path("/tmp")
    _remove_abandoned(home, name)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-", dir=home))
    try:
        with file_lock(folder / OWNER_LOCK):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(home: Path, name: str) -> None:
    for folder in home.glob(f"{name}-*-*"):
        with suppress(InputError, OSError):
            is_old = time.time() - folder.stat().st_mtime > LOCK_GRACE  # else its process may be about to lock it
            if is_old and (folder / OWNER_LOCK).is_file():
                with exclusive_lock(folder / OWNER_LOCK, "in use"):
                    shutil.rmtree(folder, ignore_errors=True)


class Stamp(TypedDict):
    """Holds a file's size in bytes and its SHA-256 digest, so that damage is noticed later."""

    bytes: int
    sha256: str


def stamp(path: Path) -> Stamp:
    """Returns the size in bytes and the SHA-256 digest of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def unpacked_size(path: Path) -> int:
    """Returns how many bytes a zip's files have when unpacked; for any other file its own size.

    Raises:
        OSError: If the file cannot be read.
        zipfile.BadZipFile: If the zip is damaged.
    """
    import zipfile

    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as file:
        return sum(member.file_size for member in file.infolist())


def save_text(text: str, path: Path) -> None:
    """Writes a text file in UTF-8, completely or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Writes tensors of any shape by name as a safetensors file, completely or not at all."""
    from safetensors.torch import save_file

    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata)
