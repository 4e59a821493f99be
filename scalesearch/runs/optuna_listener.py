"""Writes the searches of a run into Optuna's storage while it runs: one listener of its events."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from scalesearch.searchers import StudyWriter
from scalesearch.study import Driver
from scalesearch.trials import Event, Trial

PATIENCE = 60.0  # seconds that the end of a run waits for a storage that is locked or away


class OptunaListener:
    """Listens to a run's events and writes every trial of a search that was trained to the end.

    Trials that were stopped early are left out: Optuna would take their scores for final ones.
    """

    def __init__(self, writer: Callable[[], StudyWriter], prefix: str, message: Callable[[str], None]):
        self.make_writer, self.prefix, self.message = writer, prefix, message
        self.writer: StudyWriter | None = None  # made when there is something to write
        self.driver: Driver | None = None

    def __call__(self, event: Event) -> None:
        if event.kind == "finished" and event.trial is not None and self.driver is not None:
            self._add(self.driver, event.trial)

    def follow(self, driver: Driver) -> None:
        """Begins to listen to a driver's events, and writes what its log has already."""
        self.driver = driver
        for trial in driver.trials:
            self._add(driver, trial)

    def _add(self, driver: Driver, trial: Trial) -> None:
        step = next((step for step in driver.study.steps if step.name == trial.step), None)
        problem = None if trial.early or step is None else step.problem(driver)
        if problem is not None:
            ago = max(0.0, driver.clock() - trial.at) + trial.seconds
            started = datetime.fromtimestamp(time.time()) - timedelta(seconds=ago)
            study = f"{self.prefix}/{trial.step}"
            self.writer = self.writer or self.make_writer()
            self.writer.add(study, problem, trial, driver.study.evaluator.score, started)

    def close(self) -> None:
        """Waits for what is still to be written, for a minute at most; what could not be is told."""
        if self.writer is not None and (missing := self.writer.close(PATIENCE)):
            reason = self.writer.last_error or "it is slow"
            self.message(
                f"{self.writer.address}: {missing} trials could not be written ({reason}); trials.jsonl has all"
            )
