"""What a run is doing right now: a file that it keeps up to date, and the status that is read from it and the log."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scalesearch.errors import InputError, format_seconds
from scalesearch.files import is_locked, save_text
from scalesearch.plain_data import PlainDict
from scalesearch.runs.artifacts import open_run
from scalesearch.runs.folder import LOCK
from scalesearch.runs.ledger import elapsed
from scalesearch.runs.progress import ProgressDisplay
from scalesearch.trials import Event, Key, Trial, format_score
from scalesearch.typed_json import Number, from_json

FILE = "running.json"


@dataclass
class RunningTrial:
    """A trial under way.

    Attributes:
        step: The step that it belongs to.
        name: Its name.
        since: When it was handed out, in seconds since 1970.
        epoch: Epochs that it has finished.
        epochs: Epochs that it is to have.
        train_loss: The mean loss of its latest epoch; None before the first.
        worker: The machine and process that it runs on, where that is known.
    """

    step: str
    name: str
    since: Number
    epoch: Number = 0
    epochs: Number = 0
    train_loss: Number | None = None
    worker: str = ""


@dataclass
class RunningTrials:
    """The content of the file."""

    trials: list[RunningTrial] = field(default_factory=list)


class LiveFile:
    """An observer that keeps the file up to date with the trials under way, which take seconds at least.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self.trials: dict[Key, RunningTrial] = {}

    def __call__(self, event: Event) -> None:
        """Takes an event of the run."""
        if event.kind == "started" and event.job is not None:
            job = event.job
            self.trials[job.key] = RunningTrial(job.step, job.name, round(time.time(), 1), epochs=job.until)
        elif event.kind == "epoch" and event.job is not None and (trial := self.trials.get(event.job.key)):
            trial.epoch, trial.worker = event.numbers.get("epoch", 0), event.worker
            trial.train_loss = event.numbers.get("train_loss")
        elif event.kind == "finished" and event.trial is not None:
            self.trials.pop(event.trial.key, None)
        else:
            return
        with suppress(OSError):  # a full disk is reported by whoever writes results
            save_text(json.dumps(asdict(RunningTrials(list(self.trials.values())))) + "\n", self.path)

    def close(self) -> None:
        """Removes the file."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Status:
    """How far a run has come.

    Attributes:
        name: The study's name.
        state: `running`, `finished`, or `stopped` before its end.
        step: The title of the step that it is in.
        done: Finished trials.
        planned: Trials in all, as far as it is known.
        failed: Finished trials that failed.
        best: The best score so far as text, with its trial; empty before the first.
        seconds: Seconds that the run has been at work.
        left: The time left as text; empty if it is not known.
        running: The trials under way.
    """

    name: str
    state: str
    step: str
    done: int
    planned: int
    failed: int
    best: str
    seconds: float
    left: str
    running: list[RunningTrial]

    def to_dict(self) -> PlainDict:
        """Returns it as plain data."""
        return asdict(self)


class Follower:
    """Follows a run's log as trials end: each time only what is new is read. The run itself is not touched.

    Args:
        folder: The run's folder.
        name: What an error calls it.

    Attributes:
        driver: The run's study, with its log as far as it was read.
        failed: How many trials have failed.

    Raises:
        InputError: If it is no run's folder.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.driver = folder, open_run(folder, name)
        self.display, self.failed = ProgressDisplay(self.driver.study), 0
        self.last_step = next(iter(self.display.titles), "")
        self._unseen = list(self.driver.log)

    def new_trials(self) -> list[Trial]:
        """Returns the trials that have been logged since the last call; the first time all."""
        trials, self._unseen = [*self._unseen, *self.driver.log.refresh()], []
        for trial in trials:
            self.display(Event("finished", trial.step, trial=trial, resumed=True))
            self.failed += not trial.done
            self.last_step = trial.step
        return trials

    def status(self) -> Status:
        """Returns how far the run has come, by the trials that `new_trials` has returned."""
        display, is_running = self.display, is_locked(self.folder / LOCK)
        running = _running(self.folder) if is_running else []
        finished = not is_running and self.driver.finished
        step = running[0].step if running else self.last_step
        best = f"{format_score(display.best[0], display.percent)} ({display.best[1]})" if display.best else ""
        seconds = 0.0 if finished else display.seconds_left
        return Status(
            self.driver.study.name,
            "finished" if finished else "running" if is_running else "stopped",
            display.titles.get(step, step),
            display.done,
            display.done if finished else display.total,
            self.failed,
            best,
            round(elapsed(self.folder).seconds, 1),
            f"about {format_seconds(seconds)}" if seconds else "",
            running,
        )


def run_status(folder: Path, name: str) -> Status:
    """Returns how far a run has come; `Follower` describes the arguments and errors."""
    follower = Follower(folder, name)
    follower.new_trials()
    return follower.status()


def _running(folder: Path) -> list[RunningTrial]:
    try:
        return from_json(RunningTrials, (folder / FILE).read_bytes()).trials
    except (OSError, InputError):
        return []
