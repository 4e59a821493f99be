"""A listener of a run's events that writes the trials of its searches to Optuna's storage while the
run goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from scalesearch.searchers import StudyWriter
from scalesearch.study import Driver
from scalesearch.trials import Event, Trial

PATIENCE = 60.0  # seconds that a run waits at its end for a storage that is locked or unreachable


def without_damage(journal: Path) -> Path:
    """Returns the path of a journal, which is removed if a line of it is damaged: it is written again from the log."""
    if journal.is_file():
        try:
            for line in journal.read_bytes().splitlines():
                json.loads(line)
        except ValueError:
            journal.unlink()
    return journal


class OptunaListener:
    """Writes every finished trial of a search to Optuna's storage.

    Trials that were stopped early are left out: Optuna would take their scores for final ones.

    Args:
        writer: Opens the storage.
        prefix: What the names of Optuna's studies start with.
        message: Called with a message for the user.
    """

    def __init__(self, writer: Callable[[], StudyWriter], prefix: str, message: Callable[[str], None]):
        self.make_writer, self.prefix, self.message = writer, prefix, message
        self.writer: StudyWriter | None = None  # opened when there is something to write
        self.driver: Driver | None = None

    def __call__(self, event: Event) -> None:
        if event.kind == "finished" and event.trial is not None and self.driver is not None:
            self._add(self.driver, event.trial)

    def attach(self, driver: Driver) -> None:
        """Starts listening to a driver's events, and writes the trials that its log has already."""
        self.driver = driver
        for trial in driver.trials:
            self._add(driver, trial)

    def _add(self, driver: Driver, trial: Trial) -> None:
        step = next((step for step in driver.study.steps if step.name == trial.step), None)
        problem = None if trial.early or step is None else step.problem(driver)
        if problem is not None:
            seconds_ago = max(0.0, driver.clock() - trial.at) + trial.seconds
            started = datetime.fromtimestamp(time.time()) - timedelta(seconds=seconds_ago)
            study = f"{self.prefix}/{trial.step}"
            self.writer = self.writer or self.make_writer()
            self.writer.add(study, problem, trial, driver.study.evaluator.score, started)

    def close(self) -> None:
        """Waits, a minute at most, until all trials are written, and says how many could not be."""
        if self.writer is not None and (missing := self.writer.close(PATIENCE)):
            reason = self.writer.last_error or "it is slow"
            self.message(
                f"{self.writer.address}: {missing} trials could not be written ({reason}); trials.jsonl has all"
            )
