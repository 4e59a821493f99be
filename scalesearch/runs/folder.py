"""A run's folder: one study's alone, and one process's at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scalesearch import yamlfile
from scalesearch.errors import InputError
from scalesearch.study import document_difference, document_digest

OURS = ("study.yaml", "study.tmp", "run.lock")  # what a run writes before its first trial


@contextmanager
def claimed(folder: Path, document: Mapping[str, Any], resume: bool) -> Iterator[None]:
    """The folder is this study's while the block runs.

    Raises `InputError` where it holds another study's run, this one's without `resume`, or anything else, and where another
    process is at work in it. Where the block raises one and nothing was found yet, nothing is left behind.
    """
    file = folder / "study.yaml"
    if not file.exists() and folder.exists() and (not folder.is_dir() or any(p.name not in OURS for p in folder.iterdir())):
        raise InputError(f"{folder} exists and holds something else; give another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "run.lock", "a")
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}", "--out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another run is at work in {folder}") from None
        fresh = not file.exists()
        if fresh:
            written = file.with_suffix(".tmp")
            written.write_text(yamlfile.dump(document), encoding="utf-8")
            written.replace(file)
        else:
            _check(folder, yamlfile.read(file).data, document, resume)
        try:
            yield
        except InputError:
            if fresh and all(p.name in OURS for p in folder.iterdir()):
                for name in OURS:
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()
            raise


def _check(folder: Path, there: Mapping[str, Any], document: Mapping[str, Any], resume: bool) -> None:
    if document_digest(there) != document_digest(document):
        raise InputError(f"{folder} holds another study's run ({document_difference(there, document)}); give another folder with --out")
    if not resume:
        raise InputError(f"{folder} holds a run of this study; go on with it by --resume, or give another folder with --out")
