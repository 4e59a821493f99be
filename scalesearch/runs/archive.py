"""A run's folder as lines of text, because a Ray job hands back only what it prints.

`python -m scalesearch.runs.archive FOLDER` prints them.
"""

from __future__ import annotations

import base64
import io
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from scalesearch.errors import WorkFailed
from scalesearch.runs.mirror import local_copy

BEGIN, END = "-----BEGIN RUN-----", "-----END RUN-----"
EXCLUDED = ("checkpoints", "weights", "run.lock", "stop")  # only trials under way need them
WIDTH = 30_000  # bytes of the archive in a line


def pack(folder: Path) -> Iterable[str]:
    """Yields the lines of a run's folder, without what only a run under way needs; for a missing folder
    only the marks.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(folder.iterdir() if folder.is_dir() else ()):
            if path.name not in EXCLUDED and not path.name.startswith("."):
                archive.add(path, arcname=path.name)
    raw = buffer.getvalue()
    yield BEGIN
    for start in range(0, len(raw) if folder.is_dir() else 0, WIDTH):
        yield base64.b64encode(raw[start : start + WIDTH]).decode()
    yield END


def unpack(lines: Iterable[str], folder: Path, message: str) -> None:
    """Extracts into a folder the archive that `pack` has printed among other lines.

    Nothing is written outside the folder: an entry that leads out of it is refused.

    Raises:
        WorkFailed: With `message` if there is no complete archive, and if it is refused.
    """
    in_archive, raw, complete = False, b"", False
    for line in lines:
        if line == END:
            complete = True
        if in_archive and not complete:
            raw += base64.b64decode(line)
        in_archive = in_archive or line == BEGIN
    if not raw or not complete:
        raise WorkFailed(message)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise WorkFailed(f"what came back is refused: {error}") from None


if __name__ == "__main__":
    with local_copy(sys.argv[1]) as run_folder:
        for line in pack(run_folder):
            print(line, flush=True)
