"""A run's folder, which belongs to one study, and to one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalesearch.arch import Arch
from scalesearch.errors import InputError
from scalesearch.files import exclusive_lock, save_text, stamp
from scalesearch.plain_data import PlainMapping
from scalesearch.study import document_difference, document_digest
from scalesearch.trials import task_of
from scalesearch.yamlfile import dump, read

LOCK = "run.lock"
# what a run writes before its first trial
INITIAL_FILES = ("study.yaml", "training.yaml", LOCK, "splits.parquet", "data.json", "data.html")


@contextmanager
def claim_folder(folder: Path, document: PlainMapping, resume: bool, name: str = "study") -> Iterator[None]:
    """Claims the folder for this study and this process while the block runs.

    If the block raises an `InputError` and there are no results yet, the folder is removed again.

    Args:
        folder: The run's folder; it is made if it doesn't exist.
        document: The document of what is run; the folder of another one is refused.
        resume: Whether a run of the same document may be there already.
        name: What is run: `study`, or `training` of one network.

    Raises:
        InputError: If the folder holds another run, the same run without `resume`, or anything else, and if
            another process is at work in it.
    """
    file = folder / f"{name}.yaml"
    if not file.exists() and folder.exists() and (not folder.is_dir() or not _only_initial_files(folder)):
        raise InputError(f"{folder} exists and holds something else; give another folder with --out")
    check_run(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).open("a").close()
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}", "--out") from None
    with exclusive_lock(folder / LOCK, f"another run is at work in {folder}"):
        fresh = not file.exists()
        if fresh:
            save_text(dump(dict(document)), file)
        else:
            _check_document(folder, read(file).data, document, resume, name)
        try:
            yield
        except InputError:
            if fresh and _only_initial_files(folder):
                for path in list(folder.iterdir()):
                    path.unlink()
                folder.rmdir()
            raise


def describe_damage(folder: Path, stamped: PlainMapping) -> str:
    """Returns in words how a file differs from its stamp, a mapping with `file`, `bytes` and `sha256`;
    nothing if it doesn't.
    """
    path = folder / stamped["file"]
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{path} lies outside of the run's folder"
    if not path.is_file():
        return f"{path} is gone"
    current = stamp(path)
    if stamped.get("bytes", current["bytes"]) != current["bytes"]:
        return f"{path} has {current['bytes']:,} bytes, and {stamped['bytes']:,} were written"
    unchanged = stamped.get("sha256", current["sha256"]) == current["sha256"]
    return "" if unchanged else f"{path} holds something else than was written"


def trained_arch(weights: Path, arch: Arch) -> Arch:
    """Returns `arch` with the head that was trained, as the weights' file has it: anchors are fitted to the data.

    Without such a file it is `arch` itself.
    """
    if not task_of(arch).fits_head or not weights.exists():
        return arch
    from scalesearch.weights import arch_from_metadata, file_metadata

    saved = arch_from_metadata(file_metadata(weights), str(weights))
    return arch.with_(head=saved.head) if saved else arch


def check_free(folder: Path) -> None:
    """Raises `InputError` for a folder that can't take results.

    That is one that holds anything but an earlier copy of a run, and one that a run of this machine works in.
    """
    if folder.exists() and not (folder / "study.yaml").exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds something else; give another folder with --out")
    if (folder / LOCK).exists():
        raise InputError(f"{folder} holds a run of this machine; give another folder with --out")


def check_run(folder: Path) -> None:
    """Raises `InputError` for a folder that is not safe to work in, or too old.

    That is one in which a link leads out of it or something is no file, as may be in a stranger's, and one in
    which a version before 0.2 searched a table, with a log for each seed.
    """
    home = folder.resolve()
    for path in map(Path, _walk(folder)):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise InputError("is a link that leads out of the run's folder; put there what it leads to", str(path))
        if path.is_fifo() or path.is_block_device() or path.is_char_device():
            raise InputError("is no file, and a run's folder holds files alone", str(path))
    if any(folder.glob("seed*.jsonl")) and not (folder / "trials.jsonl").exists():
        raise InputError(
            f"{folder} holds logs of an older format, one for each seed; they can't be gone on with, "
            "start anew in another folder"
        )


def _walk(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        yield from (os.path.join(root, name) for name in (*folders, *files))


def _only_initial_files(folder: Path) -> bool:
    return all(p.name in INITIAL_FILES or p.name.startswith((".study.", ".training.")) for p in folder.iterdir())


def _check_document(folder: Path, existing: PlainMapping, document: PlainMapping, resume: bool, name: str) -> None:
    if document_digest(existing) != document_digest(document):
        difference = document_difference(existing, document)
        raise InputError(f"{folder} holds another {name}'s run ({difference}); give another folder with --out")
    if not resume:
        raise InputError(
            f"{folder} holds a run of this {name}; go on with it by --resume, or give another folder with --out"
        )
