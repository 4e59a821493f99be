"""The append-only log of all trials, the one format of runs and of standalone searches."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from scalesearch.arch import Arch, expand
from scalesearch.errors import InputError, errors_at
from scalesearch.files import exclusive_lock
from scalesearch.plain_data import PlainMapping
from scalesearch.space import arch_from_dict
from scalesearch.trials.trial import Key, Trial, trial_from
from scalesearch.typed_json import load_json
from scalesearch.yamlfile import file_error

FORMAT = 2
HEADER_START = b'{"log": %d, "of": {' % FORMAT
T = TypeVar("T")


class TrialLog:
    """The append-only log of a run or a search.

    The file (`trials.jsonl`) has a header line that says what is searched, then a line per trial. Every line is
    synced to disk before the trial is used.

    Args:
        path: The file; None keeps the log in memory alone.
        subject: What is searched; a log of something else is refused. A mere reader may leave it out.
        repair: Whether an incomplete last line, left by a kill, is removed from the file; otherwise it is only
            skipped.
        advice: What to do about a log of something else, for the message.

    Attributes:
        trials: The trials by their keys.

    Raises:
        InputError: If the file is no log of trials, or one of another subject.
    """

    def __init__(
        self,
        path: Path | None = None,
        subject: PlainMapping | None = None,
        repair: bool = True,
        advice: str = "give another log",
    ):
        self.path, self.subject = path, dict(subject or {})
        self.trials: dict[Key, Trial] = {}
        self.advice = advice
        self._cache: dict[Hashable, object] = {}
        self._bytes_read, self._lines_read = 0, 0
        if path is not None and path.exists():
            self._read(path, subject, repair)

    def _read(self, path: Path, subject: PlainMapping | None, repair: bool) -> None:
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        first, *lines = content[:end].splitlines() or [b""]
        if first or not content.startswith(HEADER_START[: len(content)]):  # a header that a kill cut off counts as none
            self._take_header(path, first or content, subject)
        self._bytes_read, self._lines_read = end, min(1, end)
        self._add(lines, path)
        if repair and end < len(content):
            with open(path, "r+b") as file:
                file.truncate(end)

    def _add(self, lines: list[bytes], path: Path) -> list[Trial]:
        trials = []
        for text in lines:
            self._lines_read += 1
            try:
                trials.append(trial_from(text))
            except InputError as error:
                raise error.in_file(f"{path}:{self._lines_read}") from None
        self.trials |= {trial.key: trial for trial in trials}
        return trials

    def refresh(self) -> list[Trial]:
        """Reads what another process has appended to the file since it was read, and returns these trials.

        An incomplete last line is left for the next time.

        Raises:
            InputError: As the log does when it is opened.
        """
        if self.path is None or not self.path.exists():
            return []
        if not self._bytes_read:
            self._read(self.path, self.subject, repair=False)
            return list(self)
        with open(self.path, "rb") as file:
            file.seek(self._bytes_read)
            added = file.read()
        added = added[: added.rfind(b"\n") + 1]
        self._bytes_read += len(added)
        self._cache.clear()
        return self._add(added.splitlines(), self.path)

    def _take_header(self, path: Path, header_line: bytes, subject: PlainMapping | None) -> None:
        try:
            header = load_json(header_line)
        except ValueError:
            raise file_error("is no log of trials", path, 1) from None
        if isinstance(header, dict) and ({"step", "number"} <= header.keys() or "search" in header):
            raise file_error(
                "is a log of an older format, without a head; what it holds can't be gone on with, start anew", path, 1
            )
        if not isinstance(header, dict) or header.keys() != {"log", "of"} or not isinstance(header["of"], dict):
            raise file_error("is no log of trials", path, 1)
        if header["log"] != FORMAT:
            raise file_error(f"is a log of format {header['log']}, and this version writes {FORMAT}", path, 1)
        for key, value in (subject or {}).items():
            logged = header["of"].get(key)
            if logged != value and key == "problem":
                difference = "holds a search of something else: what is searched has changed since"
                raise InputError(f"{path} {difference}; {self.advice}")
            if logged != value:
                raise InputError(f'{path} holds another search ("{key}" was {logged!r}, is {value!r}); {self.advice}')
        self.subject = header["of"]

    def append(self, trial: Trial) -> None:
        """Appends a trial, synced to disk. Raises `OSError` if the disk is full; no incomplete line is left then."""
        if self.path is not None:
            with open(self.path, "ab", buffering=0) as file:  # a buffer would be written once more when it is closed
                size = file.tell()
                lines = [trial.to_dict()] if size else [{"log": FORMAT, "of": self.subject}, trial.to_dict()]
                remaining = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in lines)
                try:
                    while remaining:
                        remaining = remaining[file.write(remaining) :]
                    os.fsync(file.fileno())
                except OSError as error:
                    file.truncate(size)
                    raise OSError(error.errno, error.strerror, str(self.path)) from None
        self.trials[trial.key] = trial
        self._cache.clear()

    @contextmanager
    def locate_errors(self, trial: Trial, key: str) -> Iterator[None]:
        """Locates an `InputError` raised inside the block at `key` of the trial's line in the log."""
        try:
            with errors_at(f"{trial.name}.{key}"):
                yield
        except InputError as error:
            raise error.in_file(str(self.path)) from None

    def arch(self, trial: Trial) -> Arch:
        """Returns the network of a trial. Raises `InputError`, located in the log, if it can't be built."""
        with self.locate_errors(trial, "arch"):
            arch = arch_from_dict(trial.arch)
            expand(arch)
        return arch

    def forget(self, trial: Trial) -> None:
        """Removes a trial from memory, as if it was never tried; its line stays in the file."""
        del self.trials[trial.key]
        self._cache.clear()

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Returns what `compute` returns, cached under `key` until a trial is added or forgotten."""
        if key not in self._cache:
            self._cache[key] = compute()
        return cast(T, self._cache[key])

    def of(self, step: str, seed: int | None = None) -> list[Trial]:
        """Returns the trials of a step in the order of their numbers; with `seed`, only those of that seed."""
        trials = self.cached(
            ("of", step),
            lambda: sorted(
                (t for t in self.trials.values() if t.step == step), key=lambda t: (t.number, t.fidelity["seed"])
            ),
        )
        return [t for t in trials if seed in (None, t.fidelity["seed"])]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials.values())

    def __len__(self) -> int:
        return len(self.trials)


@contextmanager
def open_log(path: Path, subject: PlainMapping) -> Iterator[TrialLog]:
    """Opens the log at `path` for the block; no other process can open it meanwhile.

    Raises:
        InputError: If another process has it open, if it is a log of something else, or if it can't be written.
    """
    if path.exists() and not path.is_file():
        raise InputError("is no file, and a log of trials is one", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", str(path)) from None
    with exclusive_lock(path.with_name(f".{path.name}.lock"), f"another search is at work in {path}"):
        yield TrialLog(path, subject)
