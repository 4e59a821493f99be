"""The append-only log of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from scalesearch import yamlfile
from scalesearch.study.trial import STEPS, Trial


class TrialLog:
    """`trials.jsonl`: one line per trial, appended and synced to disk before anybody acts on it.

    A last line cut off by a kill is dropped when the log is opened again (`repair`), and passed over by a mere reader.
    """

    def __init__(self, path: Path, repair: bool = True):
        self.path = path
        self.trials: dict[tuple[str, int], Trial] = {}
        if path.exists():
            self._read(repair)

    def _read(self, repair: bool) -> None:
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        for i, line in enumerate(whole[:end].splitlines()):
            try:
                trial = Trial(**json.loads(line))
                if trial.step not in STEPS:
                    raise ValueError(trial.step)
            except (ValueError, TypeError):
                raise yamlfile.fault("is no trial; the log was edited or is of another version", self.path, i + 1) from None
            self.trials[trial.step, trial.number] = trial
        if repair and end < len(whole):
            with open(self.path, "r+b") as file:
                file.truncate(end)

    def append(self, trial: Trial) -> None:
        with open(self.path, "ab") as file:
            whole = file.tell()
            try:
                file.write(json.dumps(trial.to_dict(), ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError:  # a full disk must not leave half a line for the next one to follow
                file.truncate(whole)
                raise
        self.trials[trial.step, trial.number] = trial

    def of(self, step: str) -> list[Trial]:
        """The step's trials in the order of their numbers."""
        return sorted((t for t in self.trials.values() if t.step == step), key=lambda t: t.number)

    def __iter__(self) -> Iterator[Trial]:
        return iter(sorted(self.trials.values(), key=lambda t: (STEPS.index(t.step), t.number)))

