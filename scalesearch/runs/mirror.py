"""A run's folder in an object store or any other place that fsspec knows (`s3://bucket/run`). The only importer of
fsspec.

Every process works in a folder of its machine, takes from the store what a job needs, and brings there what it leaves:
a trial before anybody acts on it, weights and checkpoints after every epoch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scalesearch.errors import InputError
from scalesearch.files import cache_folder
from scalesearch.searchers import Job, Trial, TrialLog, trial_from
from scalesearch.shapes import plain
from scalesearch.training import Place
from scalesearch.yamlfile import fault

ALONE = ("run.lock", "stop")  # of this machine
LOOK = 5.0  # seconds between two looks at whether a run elsewhere is to stop
LOG, TRIALS = "trials.jsonl", "trials"


def is_remote(out: str | Path | None) -> bool:
    return "://" in str(out or "")


def working_folder(url: str) -> Path:
    """Of this machine, for the run at `url`."""
    return cache_folder("runs") / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


class Mirror:
    """A folder of this machine and where it is kept. Raises `InputError` where there is no way to the store."""

    def __init__(self, url: str, folder: Path | None = None):
        import fsspec

        try:
            self.fs, self.root = fsspec.core.url_to_fs(url.rstrip("/"))
            self.fs.invalidate_cache()
            self.fs.exists(self.root)
        except ImportError as error:
            raise InputError(f"{error}".splitlines()[0], "--out") from None
        except Exception as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{url} cannot be reached ({said})", "--out") from None
        self.folder = folder or working_folder(url)
        self.known: dict[str, tuple[int, int]] = {}

    def all_down(self) -> None:
        """What the store has takes the place of what is here; trials that came after its log are added to that."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        names = [path.removeprefix(self.root).lstrip("/") for path in self.fs.find(self.root, refresh=True)]
        self.down(name for name in names if name not in ALONE and not name.startswith(f"{TRIALS}/"))
        whole = [self._trial(name) for name in sorted(names) if name.startswith(f"{TRIALS}/")]
        if not whole:
            return
        log = TrialLog(self.folder / LOG, whole[0][0])
        for _, trial in whole:
            if trial.key not in log.trials:
                log.append(trial)

    def _trial(self, name: str) -> tuple[dict[str, Any], Trial]:
        """One that was kept in a file of its own, and of what its log is."""
        try:
            told = plain(self.fs.cat_file(f"{self.root}/{name}"))
            return dict(told["of"]), trial_from(json.dumps(told["trial"]))
        except InputError as error:
            raise error.in_file(f"{self.root}/{name}") from None
        except (ValueError, TypeError, KeyError):
            raise fault("is no trial", f"{self.root}/{name}") from None

    def rest_down(self, folders: Iterable[str]) -> None:
        """Files of these folders that are not here."""
        for folder in folders:
            there = (
                path.removeprefix(self.root).lstrip("/") for path in self.fs.find(f"{self.root}/{folder}", refresh=True)
            )
            self.down(name for name in there if not (self.folder / name).exists())

    def down(self, names: Iterable[str]) -> None:
        """Take files from the store, those that are there."""
        for name in names:
            path = self.folder / name
            if self._outside(path):
                raise InputError(f"{self.root} holds {name!r}, which leads out of it", "--out")
            with suppress(FileNotFoundError):
                path.parent.mkdir(parents=True, exist_ok=True)
                self.fs.get_file(f"{self.root}/{name}", str(path))
                self.known[name] = _stamp(path)

    def up(self, names: Iterable[str] | None = None) -> None:
        """Bring files there that have changed; all of the folder without their names."""
        if names is None:
            names = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))
        for name in names:
            path = self.folder / name
            if name in ALONE or path.name.startswith(".") or not path.is_file() or self.known.get(name) == _stamp(path):
                continue
            stamp = _stamp(path)
            self.fs.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
            self.fs.put_file(str(path), f"{self.root}/{name}")
            self.known[name] = stamp

    def keep(self, trial: Trial, log: TrialLog) -> None:
        """A trial by itself, so that no log has to be written whole for each."""
        line = json.dumps({"of": log.of_what, "trial": trial.to_dict()}, ensure_ascii=False)
        self.fs.makedirs(f"{self.root}/{TRIALS}", exist_ok=True)
        self.fs.pipe_file(f"{self.root}/{TRIALS}/{'-'.join(map(str, trial.key))}.json", line.encode())

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm(f"{self.root}/{name}", recursive=True)

    def touch(self, name: str) -> None:
        self.fs.makedirs(self.root, exist_ok=True)
        self.fs.pipe_file(f"{self.root}/{name}", b"1")

    def has(self, name: str) -> bool:
        self.fs.invalidate_cache()
        return self.fs.exists(f"{self.root}/{name}")

    def _outside(self, path: Path) -> bool:
        return not path.resolve().is_relative_to(self.folder.resolve())


def _stamp(path: Path) -> tuple[int, int]:
    told = path.stat()
    return told.st_mtime_ns, told.st_size


def needed(job: Job) -> list[str]:
    """The files of a run's folder that a training starts from."""
    parent = f"weights/{job.parent}.safetensors" if job.parent else ""
    return [name for name in (parent, job.teacher_weights) if name]


class Errand:
    """What a job in this process takes from the store before it begins, and brings there on the way."""

    def __init__(self, url: str):
        self.mirror, self.stop = Mirror(url), threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self, job: Job, place: Place) -> None:
        made = place.unfinished(job.key), place.by_class(job.step, job.name, job.seed)
        saved, kept = (path.relative_to(place.folder).as_posix() for path in made)
        self.made = [name for name in (saved, job.weights, job.checkpoint, kept) if name]
        there = [*needed(job), "weights/init.safetensors", *([job.checkpoint] if job.checkpoint else [])]
        self.mirror.down([*(name for name in there if not (place.folder / name).exists()), saved])

    def bring(self) -> None:
        self.mirror.up(self.made)

    def _watch(self) -> None:
        while not self.stop.wait(LOOK):
            with suppress(Exception):  # the store may be away for a while
                if self.mirror.has("stop"):
                    (self.mirror.folder / "stop").touch()


@contextmanager
def at_home(out: str | Path, back: bool = False) -> Iterator[Path]:
    """The folder of a run on this machine, of one elsewhere a copy; what changes in that may go `back` in the end."""
    if not is_remote(out):
        yield Path(out)
        return
    mirror = Mirror(str(out))
    mirror.all_down()
    yield mirror.folder
    if back:
        mirror.up()
