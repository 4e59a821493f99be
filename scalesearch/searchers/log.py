"""The append-only log of everything that was tried: the one format of runs and of searches by themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from scalesearch.arch import Arch, expand
from scalesearch.errors import InputError, inside
from scalesearch.files import locked
from scalesearch.searchers.trial import Key, Trial, trial_from
from scalesearch.shapes import plain
from scalesearch.space import arch_from_dict
from scalesearch.yamlfile import fault

FORMAT = 2
HEAD = b'{"log": %d, "of": {' % FORMAT
T = TypeVar("T")


class TrialLog:
    """`trials.jsonl`: a line that says of what the log is, then one per trial, synced to disk before anybody acts on
    it.

    `of` is what is searched, by which a log of something else is refused (`otherwise` says what to do then); a reader
    may leave it out. A last line cut off by a kill is dropped when the log is opened again (`repair`), and passed over
    by a mere reader. Without a path it is kept in memory alone.
    """

    def __init__(
        self,
        path: Path | None = None,
        of: Mapping[str, Any] | None = None,
        repair: bool = True,
        otherwise: str = "give another log",
    ):
        self.path, self.of_what = path, dict(of or {})
        self.trials: dict[Key, Trial] = {}
        self.otherwise = otherwise
        self._standing: dict[Hashable, Any] = {}
        if path is not None and path.exists():
            self._read(path, of, repair)

    def _read(self, path: Path, of: Mapping[str, Any] | None, repair: bool) -> None:
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        first, *others = whole[:end].splitlines() or [b""]
        if first or not whole.startswith(HEAD[: len(whole)]):  # a head that a kill cut off is none yet
            self._take_header(path, first or whole, of)
        for i, line in enumerate(others):
            try:
                trial = trial_from(line)
            except InputError as error:
                raise error.in_file(f"{path}:{i + 2}") from None
            self.trials[trial.key] = trial
        if repair and end < len(whole):
            with open(path, "r+b") as file:
                file.truncate(end)

    def _take_header(self, path: Path, line: bytes, of: Mapping[str, Any] | None) -> None:
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
        for key, value in (of or {}).items():
            there = header["of"].get(key)
            if there != value and key == "problem":
                changed = "holds a search of something else: what is searched has changed since"
                raise InputError(f"{path} {changed}; {self.otherwise}")
            if there != value:
                raise InputError(f'{path} holds another search ("{key}" was {there!r}, is {value!r}); {self.otherwise}')
        self.of_what = header["of"]

    def append(self, trial: Trial) -> None:
        """Raises `OSError` for a full disk, which leaves no half line for the next one to follow."""
        if self.path is not None:
            with open(self.path, "ab", buffering=0) as file:  # a buffer would be written once more when it is closed
                whole = file.tell()
                lines = [trial.to_dict()] if whole else [{"log": FORMAT, "of": self.of_what}, trial.to_dict()]
                left = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
                try:
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(whole)
                    raise
        self.trials[trial.key] = trial
        self._standing.clear()

    @contextmanager
    def line(self, trial: Trial, key: str) -> Iterator[None]:
        """An `InputError` raised inside is about what the trial's line has under `key`."""
        try:
            with inside(f"{trial.name}.{key}"):
                yield
        except InputError as error:
            raise error.in_file(str(self.path)) from None

    def arch(self, trial: Trial) -> Arch:
        """The network of a trial. Raises `InputError`, placed in the log, where what that has is none."""
        with self.line(trial, "arch"):
            arch = arch_from_dict(trial.arch)
            expand(arch)
        return arch

    def forget(self, trial: Trial) -> None:
        """Take it as never tried; its line stays in the file."""
        del self.trials[trial.key]
        self._standing.clear()

    def standing(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` works out from the log as it stands, kept under `key` until a trial comes or goes."""
        if key not in self._standing:
            self._standing[key] = make()
        return self._standing[key]

    def of(self, step: str, seed: int | None = None) -> list[Trial]:
        """The step's trials in the order of their numbers; those of one seed alone if given."""
        trials = self.standing(
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
def opened(path: Path, of: Mapping[str, Any]) -> Iterator[TrialLog]:
    """The log at `path`, this process's alone while the block runs.

    Raises `InputError` where another process is at work in it, for a log of something else, and for what cannot be
    one.
    """
    if path.exists() and not path.is_file():
        raise InputError("is no file, and a log of trials is one", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", str(path)) from None
    with locked(path, f"another search is at work in {path}"):
        yield TrialLog(path, of)
