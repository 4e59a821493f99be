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
from scalesearch.study import Driver
from scalesearch.trials import Event, Key, format_score
from scalesearch.typed_json import Number, from_json

FILE = "running.json"
WRITE_SECONDS = 1.0  # between two writes of the file


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
    """An observer that keeps the file up to date with the trials under way.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self.trials: dict[Key, RunningTrial] = {}
        self.written_at = 0.0

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
        if time.monotonic() - self.written_at >= WRITE_SECONDS:
            self._write()

    def _write(self) -> None:
        self.written_at = time.monotonic()
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


def run_status(folder: Path, name: str) -> Status:
    """Returns how far a run has come; the run itself is not touched.

    Args:
        folder: The run's folder.
        name: What an error calls it.

    Raises:
        InputError: If it is no run's folder.
    """
    return status_of(open_run(folder, name), folder)


def status_of(driver: Driver, folder: Path) -> Status:
    """Returns how far the run of a driver has come; `run_status` describes it."""
    display, trials = ProgressDisplay(driver.study), driver.trials
    for trial in trials:
        display(Event("finished", trial.step, trial=trial, resumed=True))
    is_running = is_locked(folder / LOCK)
    running = _running(folder) if is_running else []
    finished = driver.finished
    step = running[0].step if running else trials[-1].step if trials else next(iter(display.titles), "")
    best = f"{format_score(display.best[0], display.percent)} ({display.best[1]})" if display.best else ""
    seconds = display.seconds_left if trials and not finished else 0.0
    return Status(
        driver.study.name,
        "finished" if finished else "running" if is_running else "stopped",
        display.titles.get(step, step),
        len(trials),
        len(trials) if finished else display.total,
        sum(not trial.done for trial in trials),
        best,
        round(elapsed(folder).seconds, 1),
        f"about {format_seconds(seconds)}" if seconds else "",
        running,
    )


def _running(folder: Path) -> list[RunningTrial]:
    try:
        return from_json(RunningTrials, (folder / FILE).read_bytes()).trials
    except (OSError, InputError):
        return []
