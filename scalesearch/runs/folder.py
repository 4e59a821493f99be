"""A run's folder: one study's alone, and one process's at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, task_of
from scalesearch.errors import InputError
from scalesearch.files import locked, save_text, stamp
from scalesearch.study import document_difference, document_digest
from scalesearch.yamlfile import dump, read

LOCK = "run.lock"
# what a run writes before its first trial
OURS = ("study.yaml", "training.yaml", LOCK, "splits.parquet", "data.json", "data.html")


@contextmanager
def claimed(
    folder: Path, document: Mapping[str, Any], resume: bool, name: str = "study", beside: bool = False
) -> Iterator[bool]:
    """The folder is this study's while the block runs, or this training's, which `name` says; true where it is this
    process's alone, as it always is but `beside` others.

    Raises `InputError` where it holds another study's run, this one's without `resume`, or anything else, and where
    another process is at work in it. Where the block raises one and nothing was found yet, nothing is left behind.
    """
    file = folder / f"{name}.yaml"
    if not file.exists() and folder.exists() and (not folder.is_dir() or not _only_ours(folder)):
        raise InputError(f"{folder} exists and holds something else; give another folder with --out")
    check_run(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).open("a").close()
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}", "--out") from None
    with locked(folder / LOCK, "" if beside else f"another run is at work in {folder}") as alone:
        fresh = not file.exists()
        if fresh:
            save_text(dump(dict(document)), file)
        else:
            _check(folder, read(file).data, document, resume, name)
        try:
            yield alone
        except InputError:
            if fresh and _only_ours(folder):
                for path in list(folder.iterdir()):
                    path.unlink()
                folder.rmdir()
            raise


def damaged(folder: Path, left: Mapping[str, Any]) -> str:
    """What has become of a file that was left with this stamp, in words; nothing where it is as it was."""
    path = folder / left["file"]
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{path} lies outside of the run's folder"
    if not path.is_file():
        return f"{path} is gone"
    there = stamp(path)
    if left.get("bytes", there["bytes"]) != there["bytes"]:
        return f"{path} has {there['bytes']:,} bytes, and {left['bytes']:,} were written"
    known = left.get("sha256", there["sha256"]) == there["sha256"]
    return "" if known else f"{path} holds something else than was written"


def trained_arch(weights: Path, arch: Arch) -> Arch:
    """`arch` with the head that was trained, as its weights' file has it: a detector's anchors are fitted to its data.
    Itself where there is no such file."""
    if task_of(arch) == "classification" or not weights.exists():
        return arch
    from scalesearch.weights import arch_said, told

    said = arch_said(told(weights), str(weights))
    return arch.with_(head=said.head) if said else arch


def check_free(folder: Path) -> None:
    """Raises `InputError` where results cannot be laid: for a folder that holds anything but an earlier copy of a run,
    and for one where a run is at work."""
    if folder.exists() and not (folder / "study.yaml").exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds something else; give another folder with --out")
    if (folder / LOCK).exists():
        raise InputError(f"{folder} holds a run of this machine; give another folder with --out")


def check_run(folder: Path) -> None:
    """Raises `InputError` where a folder is not to be worked in: where something in it leads out of it or is no file,
    as of a stranger's it may, and where a version before 0.2 searched a table, with a log for each seed."""
    home = folder.resolve()
    for path in map(Path, _within(folder)):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise InputError("is a link that leads out of the run's folder; put there what it leads to", str(path))
        if path.is_fifo() or path.is_block_device() or path.is_char_device():
            raise InputError("is no file, and a run's folder holds files alone", str(path))
    if any(folder.glob("seed*.jsonl")) and not (folder / "trials.jsonl").exists():
        raise InputError(
            f"{folder} holds logs of an older format, one for each seed; they can't be gone on with, "
            "start anew in another folder"
        )


def _within(folder: Path) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        yield from (os.path.join(here, name) for name in (*folders, *files))


def _only_ours(folder: Path) -> bool:
    return all(p.name in OURS or p.name.startswith((".study.", ".training.")) for p in folder.iterdir())


def _check(folder: Path, there: Mapping[str, Any], document: Mapping[str, Any], resume: bool, name: str) -> None:
    if document_digest(there) != document_digest(document):
        difference = document_difference(there, document)
        raise InputError(f"{folder} holds another {name}'s run ({difference}); give another folder with --out")
    if not resume:
        raise InputError(
            f"{folder} holds a run of this {name}; go on with it by --resume, or give another folder with --out"
        )
