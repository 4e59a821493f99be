"""A run's folder as lines of text: Ray's jobs hand back what they print and nothing else.

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
NOT_PACKED = ("checkpoints", "weights", "run.lock", "stop")  # on the cluster: what only its trials need
WIDTH = 30_000  # bytes a line


def pack(folder: Path) -> Iterable[str]:
    """Yields the lines of a run's folder, without what only a run under way needs; none for a missing folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(folder.iterdir() if folder.is_dir() else ()):
            if path.name not in NOT_PACKED and not path.name.startswith("."):
                archive.add(path, arcname=path.name)
    raw = buffer.getvalue()
    yield BEGIN
    for start in range(0, len(raw) if folder.is_dir() else 0, WIDTH):
        yield base64.b64encode(raw[start : start + WIDTH]).decode()
    yield END


def unpack(lines: Iterable[str], to: Path, message: str) -> None:
    """Write what `pack` gave among other lines into a folder. Raises `WorkFailed(message)` where there is nothing.

    Nothing is written outside the folder, whatever the archive says: an entry that leads out of it is refused.
    """
    inside, raw, ended = False, b"", False
    for line in lines:
        if line == END:
            ended = True
        if inside and not ended:
            raw += base64.b64decode(line)
        inside = inside or line == BEGIN
    if not raw or not ended:
        raise WorkFailed(message)
    to.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
            archive.extractall(to, filter="data")
    except tarfile.TarError as error:
        raise WorkFailed(f"what came back is refused: {error}") from None


if __name__ == "__main__":
    with local_copy(sys.argv[1]) as run_folder:
        for line in pack(run_folder):
            print(line, flush=True)
