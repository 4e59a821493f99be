"""The run of a study: what its driver hands out is tried here or by Ray, and all of it lands in one folder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scalesearch.errors import InputError, Interrupted
from scalesearch.runs.folder import claimed
from scalesearch.runs.images import keep_data
from scalesearch.runs.leaving import emit, write_report
from scalesearch.runs.single import begin, initial
from scalesearch.runs.spent import counted
from scalesearch.runs.stopping import Stop, stopping
from scalesearch.searchers import Job, Trial, TrialLog, outcome_of
from scalesearch.study import Driver, Study, load_study
from scalesearch.training import Place
from scalesearch.zoo import WEIGHTS, load


class Observer(Protocol):
    """Whoever shows progress."""

    def known(self, trials: list[Trial]) -> None: ...

    def started(self, job: Job) -> None: ...

    def finished(self, trial: Trial) -> None: ...

    def told(self, line: str) -> None: ...


class Silent:
    def known(self, trials: list[Trial]) -> None: ...

    def started(self, job: Job) -> None: ...

    def finished(self, trial: Trial) -> None: ...

    def told(self, line: str) -> None: ...


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the study and every trial, in the order of steps and numbers."""

    folder: Path
    study: Study
    trials: list[Trial]
    summary: dict[str, Any]

    @property
    def printed(self) -> list[dict[str, Any]]:
        """The summary's rows as a terminal shows them."""
        columns = next((step.printed for step in self.study.steps if step.printed), ())
        task = self.study.training.task if self.study.training else None
        names = {split: task.key(split) for split in ("val", "test")} if task else {}
        rows = self.summary.get("rows", [])
        return [{key: row[key] for c in columns if (key := names.get(c, c)) in row} for row in rows]


def run(study: Study | str | Path, out: str | Path | None = None, *, address: str | None = None, resume: bool = False,
        observer: Observer | None = None) -> Run:  # fmt: skip
    """Run `study` (or the study in a file) whole and leave its family and report in the folder `out` (`reports/NAME` by
    default).

    `address` is a Ray cluster's; without it Ray starts here and stops at the end, or, where a try only looks something
    up, all is done in this process. With `resume`, trials in the folder's log are taken as they are. Raises
    `InputError` where the folder holds another study, or this one without `resume`; `Interrupted` where Ctrl-C or
    SIGTERM has ended it, with all that was unfinished saved.
    """
    study = study if isinstance(study, Study) else load_study(study)
    folder, observer = Path(out) if out else Path("reports") / study.name, observer or Silent()
    folder = folder.absolute() if address else folder  # a cluster's processes are in others
    with claimed(folder, study.document, resume):
        log = TrialLog(folder / "trials.jsonl", {"study": study.digest, "problem": study.problem.digest},
                       otherwise="give another folder with --out")
        driver = Driver(study, log, observer.finished)
        if study.training is not None:
            keep_data(study.training.data, study.document.get("data"), folder)
            if study.training.init and not initial(folder).exists():
                began = Path(study.document["init"])
                begin(load(began), str(began / WEIGHTS), folder)
        observer.known(driver.trials)
        first = driver.next()
        if first is not None:
            reached = _tried(driver, first, folder, observer, address)
            if reached:
                observer.told(f"{reached}: what is unfinished is saved, and goes on with --resume and more of it")
                return Run(folder, study, driver.trials, write_report(driver, folder))
        return Run(folder, study, driver.trials, emit(driver, folder))


def _tried(driver: Driver, first: Any, folder: Path, observer: Observer, address: str | None) -> str:
    """Try all that the driver hands out; which limit has ended that before its end, in words.

    Raises `Interrupted` where a signal has, the report written.
    """
    if driver.study.evaluator.here and address is None:
        with stopping(folder) as stop, counted(folder, driver.study.ray, stop, lambda: 0):
            _try_here(driver, first, folder, observer, stop)
    else:
        from scalesearch.runs.ray_tune import cluster, tune

        with cluster(driver.study, address), stopping(folder) as stop:
            tune(driver, first, folder, observer, stop)
    if stop.signal:
        with suppress(InputError):  # there may be nothing to report yet
            write_report(driver, folder)
        raise Interrupted(stop.signal)
    return stop.limit


def _try_here(driver: Driver, job: Any, folder: Path, observer: Observer, stop: Stop) -> None:
    """One job after the other, so that none ever waits."""
    while job is not None and not stop:
        observer.started(job)
        driver.finish(job, outcome_of(driver.study.evaluator, job, Place(folder)))
        job = driver.next()
