"""Files written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scalesearch.errors import InputError

if TYPE_CHECKING:
    import torch

SHORT = 24  # characters of a path, up to which Ray's sockets can lie below it


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` at the end, and leaves nothing if something fails.

    Raises `InputError` where `path` is a folder or lies in none.
    """
    if not path.name:
        raise InputError("takes the name of a file", str(path))
    if path.is_dir():
        raise InputError("is a folder; name a file", str(path))
    if not path.parent.is_dir():
        raise InputError("is no folder", str(path.parent))
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder(kind: str) -> Path:
    """Where what can be made again is kept on this machine: `$SCALESEARCH_CACHE`, or the user's folder of caches.

    Raises `InputError` where it cannot be made.
    """
    named = os.environ.get("SCALESEARCH_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scalesearch"
    try:
        (base / kind).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made a folder for the cache ({error.strerror}); name another by SCALESEARCH_CACHE",
                         str(base)) from None
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


def save_text(text: str, path: Path) -> None:
    """Write a text file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    with whole(path) as temporary:
        save_file(tensors, temporary, metadata)
