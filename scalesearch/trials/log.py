"""The append-only log of everything that was tried: the one format of runs and of searches by themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from scalesearch.arch import Arch, expand
from scalesearch.errors import InputError, inside
from scalesearch.files import exclusive_lock
from scalesearch.plain_data import PlainMapping
from scalesearch.space import arch_from_dict
from scalesearch.trials.trial import Key, Trial, trial_from
from scalesearch.typed_json import plain
from scalesearch.yamlfile import fault

FORMAT = 2
HEAD = b'{"log": %d, "of": {' % FORMAT
T = TypeVar("T")


class TrialLog:
    """`trials.jsonl`: a line that says of what the log is, then one per trial, synced to disk before anybody acts on
    it.

    Args:
        path: The file; without one the log is kept in memory alone.
        subject: What is searched, by which a log of something else is refused; a reader may leave it out.
        repair: Whether a last line that a kill cut off is dropped from the file; a mere reader passes over it.
        advice: What to do about a log of something else, for the message.

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
        if path is not None and path.exists():
            self._read(path, subject, repair)

    def _read(self, path: Path, subject: PlainMapping | None, repair: bool) -> None:
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        first, *others = whole[:end].splitlines() or [b""]
        if first or not whole.startswith(HEAD[: len(whole)]):  # a head that a kill cut off is none yet
            self._take_header(path, first or whole, subject)
        for i, line in enumerate(others):
            try:
                trial = trial_from(line)
            except InputError as error:
                raise error.in_file(f"{path}:{i + 2}") from None
            self.trials[trial.key] = trial
        if repair and end < len(whole):
            with open(path, "r+b") as file:
                file.truncate(end)

    def _take_header(self, path: Path, line: bytes, subject: PlainMapping | None) -> None:
        try:
            header = plain(line)
        except ValueError:
            raise fault("is no log of trials", path, 1) from None
        if isinstance(header, dict) and ({"step", "number"} <= header.keys() or "search" in header):
            raise fault(
                "is a log of an older format, without a head; what it holds can't be gone on with, start anew", path, 1
            )
        if not isinstance(header, dict) or header.keys() != {"log", "of"} or not isinstance(header["of"], dict):
            raise fault("is no log of trials", path, 1)
        if header["log"] != FORMAT:
            raise fault(f"is a log of format {header['log']}, and this version writes {FORMAT}", path, 1)
        for key, value in (subject or {}).items():
            logged = header["of"].get(key)
            if logged != value and key == "problem":
                changed = "holds a search of something else: what is searched has changed since"
                raise InputError(f"{path} {changed}; {self.advice}")
            if logged != value:
                raise InputError(f'{path} holds another search ("{key}" was {logged!r}, is {value!r}); {self.advice}')
        self.subject = header["of"]

    def append(self, trial: Trial) -> None:
        """Adds a trial, synced to disk. Raises `OSError` for a full disk, with no half line left behind."""
        if self.path is not None:
            with open(self.path, "ab", buffering=0) as file:  # a buffer would be written once more when it is closed
                whole = file.tell()
                lines = [trial.to_dict()] if whole else [{"log": FORMAT, "of": self.subject}, trial.to_dict()]
                rest = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(whole)
                    raise
        self.trials[trial.key] = trial
        self._cache.clear()

    @contextmanager
    def line(self, trial: Trial, key: str) -> Iterator[None]:
        """Places an `InputError` raised inside the block at `key` of the trial's line in the log."""
        try:
            with inside(f"{trial.name}.{key}"):
                yield
        except InputError as error:
            raise error.in_file(str(self.path)) from None

    def arch(self, trial: Trial) -> Arch:
        """Returns the network of a trial. Raises `InputError`, placed in the log, if it can't be built."""
        with self.line(trial, "arch"):
            arch = arch_from_dict(trial.arch)
            expand(arch)
        return arch

    def forget(self, trial: Trial) -> None:
        """Counts a trial as never tried; its line stays in the file."""
        del self.trials[trial.key]
        self._cache.clear()

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Returns what `compute` works out from the log, and remembers it under `key` until a trial comes or goes."""
        if key not in self._cache:
            self._cache[key] = compute()
        return cast(T, self._cache[key])

    def of(self, step: str, seed: int | None = None) -> list[Trial]:
        """Returns the step's trials in the order of their numbers; with `seed` only those of that seed."""
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
def opened_log(path: Path, subject: PlainMapping) -> Iterator[TrialLog]:
    """Yields the log at `path`, which no other process may open while the block runs.

    Raises:
        InputError: If another process has it open, or if the file is a log of something else or can be none.
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
