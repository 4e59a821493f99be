"""A run's folder in an object store or any other place that fsspec knows (`s3://bucket/run`). The only
importer of fsspec.

Every process works in a folder of its own machine, downloads what a job needs, and uploads what it
writes: a trial before anybody acts on it, weights and checkpoints after every epoch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scalesearch.errors import InputError
from scalesearch.files import cache_folder
from scalesearch.plain_data import PlainDict
from scalesearch.trials import Job, Place, Trial, TrialLog, trial_from
from scalesearch.typed_json import load_json
from scalesearch.yamlfile import file_error

LOCAL_FILES = ("run.lock", "stop")  # files that are never copied
POLL_SECONDS = 5.0  # seconds between two checks of whether the run is to stop
LOG, TRIALS = "trials.jsonl", "trials"


def is_remote(out: str | Path | None) -> bool:
    """Returns whether a run's place is an address of fsspec and not a folder of this machine."""
    return "://" in str(out or "")


def working_folder(url: str) -> Path:
    """Returns the folder of this machine, in its cache, for the run at `url`."""
    return cache_folder("runs") / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


class Mirror:
    """A folder of this machine and the store where it is kept.

    Raises:
        InputError: If the store cannot be reached.
    """

    def __init__(self, url: str, folder: Path | None = None):
        import fsspec

        try:
            self.fs, self.root = fsspec.core.url_to_fs(url.rstrip("/"))
            self.fs.invalidate_cache()
            self.fs.exists(self.root)
        except ImportError as error:
            raise InputError(f"{error}".splitlines()[0], "--out") from None
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{url} cannot be reached ({reason})", "--out") from None
        self.folder = folder or working_folder(url)
        self._stamps: dict[str, tuple[int, int]] = {}  # of the files that are equal in both places

    def download_all(self) -> None:
        """Replaces the folder by what is in the store; trials that are newer than the log there are added to
        the log.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        names = [path.removeprefix(self.root).lstrip("/") for path in self.fs.find(self.root, refresh=True)]
        self.download(name for name in names if name not in LOCAL_FILES and not name.startswith(f"{TRIALS}/"))
        trials = [self._trial(name) for name in sorted(names) if name.startswith(f"{TRIALS}/")]
        if not trials:
            return
        log = TrialLog(self.folder / LOG, trials[0][0])
        for _, trial in trials:
            if trial.key not in log.trials:
                log.append(trial)

    def _trial(self, name: str) -> tuple[PlainDict, Trial]:
        """Returns a trial from a file of its own, and the subject of its log."""
        try:
            payload = load_json(self.fs.cat_file(f"{self.root}/{name}"))
            return dict(payload["of"]), trial_from(json.dumps(payload["trial"]))
        except InputError as error:
            raise error.in_file(f"{self.root}/{name}") from None
        except (ValueError, TypeError, KeyError):
            raise file_error("is no trial", f"{self.root}/{name}") from None

    def download_missing(self, folders: Iterable[str]) -> None:
        """Downloads those files of these folders that are not on this machine."""
        for folder in folders:
            paths = self.fs.find(f"{self.root}/{folder}", refresh=True)
            names = [path.removeprefix(self.root).lstrip("/") for path in paths]
            self.download(name for name in names if not (self.folder / name).exists())

    def download(self, names: Iterable[str]) -> None:
        """Downloads files, as far as the store has them.

        Raises:
            InputError: If a name leads out of the folder.
        """
        for name in names:
            path = self.folder / name
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise InputError(f"{self.root} holds {name!r}, which leads out of it", "--out")
            with suppress(FileNotFoundError):
                path.parent.mkdir(parents=True, exist_ok=True)
                self.fs.get_file(f"{self.root}/{name}", str(path))
                self._stamps[name] = _stamp(path)

    def upload(self, names: Iterable[str] | None = None) -> None:
        """Uploads files that have changed since they were last equal; without names all files of the folder."""
        if names is None:
            names = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))
        for name in names:
            path = self.folder / name
            skipped = name in LOCAL_FILES or path.name.startswith(".") or not path.is_file()
            if skipped or self._stamps.get(name) == _stamp(path):
                continue
            stamp = _stamp(path)
            self.fs.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
            self.fs.put_file(str(path), f"{self.root}/{name}")
            self._stamps[name] = stamp

    def upload_trial(self, trial: Trial, log: TrialLog) -> None:
        """Uploads a trial as a file of its own, so that the log isn't written whole for each trial."""
        line = json.dumps({"of": log.subject, "trial": trial.to_dict()}, ensure_ascii=False)
        self.fs.makedirs(f"{self.root}/{TRIALS}", exist_ok=True)
        self.fs.pipe_file(f"{self.root}/{TRIALS}/{'-'.join(map(str, trial.key))}.json", line.encode())

    def remove(self, name: str) -> None:
        """Removes a file or a folder from the store, if it is there."""
        with suppress(FileNotFoundError):
            self.fs.rm(f"{self.root}/{name}", recursive=True)

    def touch(self, name: str) -> None:
        """Creates a file in the store whose presence is its message."""
        self.fs.makedirs(self.root, exist_ok=True)
        self.fs.pipe_file(f"{self.root}/{name}", b"1")

    def has(self, name: str) -> bool:
        """Returns whether the store has a file now; nothing cached is used."""
        self.fs.invalidate_cache()
        return bool(self.fs.exists(f"{self.root}/{name}"))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


class JobFiles:
    """Downloads the files that a job in this process needs, uploads those that it writes, and watches
    whether the run is to stop.
    """

    def __init__(self, url: str):
        self.mirror, self.stop = Mirror(url), threading.Event()
        threading.Thread(target=self._watch_for_stop, daemon=True).start()

    def download_inputs(self, job: Job, place: Place) -> None:
        """Downloads what a job starts from."""
        paths = place.unfinished_file(job.key), place.by_class(job.step, job.name, job.seed)
        unfinished, by_class = (path.relative_to(place.folder).as_posix() for path in paths)
        self.written = [name for name in (unfinished, job.weights, job.checkpoint, by_class) if name]
        needed = [*job.needed_files, "weights/init.safetensors", *([job.checkpoint] if job.checkpoint else [])]
        self.mirror.download([*(name for name in needed if not (place.folder / name).exists()), unfinished])

    def upload_outputs(self) -> None:
        """Uploads what the job has written so far."""
        self.mirror.upload(self.written)

    def _watch_for_stop(self) -> None:
        while not self.stop.wait(POLL_SECONDS):
            with suppress(Exception):  # the store may be away for a while
                if self.mirror.has("stop"):
                    (self.mirror.folder / "stop").touch()


@contextmanager
def local_copy(out: str | Path, write_back: bool = False) -> Iterator[Path]:
    """Yields the folder of a run, or a copy on this machine if it is kept elsewhere; `write_back` uploads
    changes afterwards.
    """
    if not is_remote(out):
        yield Path(out)
        return
    mirror = Mirror(str(out))
    mirror.download_all()
    yield mirror.folder
    if write_back:
        mirror.upload()
