"""The run of a study: what its driver hands out is tried here or by Ray, and all of it lands in one folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from scalesearch.errors import InputError, Interrupted
from scalesearch.plain_data import PlainDict
from scalesearch.runs.artifacts import emit, write_report
from scalesearch.runs.folder import claimed, damage
from scalesearch.runs.images import keep_data
from scalesearch.runs.ledger import elapsed, limits_enforced
from scalesearch.runs.mirror import Mirror, is_remote
from scalesearch.runs.optuna_listener import OptunaListener
from scalesearch.runs.single import begin, initial
from scalesearch.runs.stopping import Stop, stopping
from scalesearch.searchers import StudyWriter
from scalesearch.study import Driver, Study, load_study
from scalesearch.trials import Event, Job, Observer, Place, Trial, TrialLog, Wait, broadcast
from scalesearch.zoo import WEIGHTS, load

KEPT = "family/"  # where weights lie that a run leaves
JOURNAL = "optuna.journal"  # in the folder of a run that is given no other storage


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the study and every trial, in the order of steps and numbers."""

    folder: Path
    study: Study
    trials: list[Trial]
    summary: PlainDict

    @property
    def printed(self) -> list[PlainDict]:
        """The summary's rows as a terminal shows them."""
        columns = next((step.printed for step in self.study.steps if step.printed), ())
        task = self.study.training.task if self.study.training else None
        names = {split: task.key(split) for split in ("val", "test")} if task else {}
        rows = self.summary.get("rows", [])
        return [{key: row[key] for c in columns if (key := names.get(c, c)) in row} for row in rows]


def run(
    study: Study | str | Path,
    out: str | Path | None = None,
    *,
    address: str | None = None,
    resume: bool = False,
    observer: Observer = lambda event: None,
    storage: str = "",
) -> Run:
    """Runs a study whole and leaves its family and report in a folder.

    Args:
        study: The study, or the file that it is in.
        out: The folder, `reports/NAME` by default, or an address that fsspec knows (`s3://bucket/run`).
        address: A Ray cluster's; without it Ray starts here and stops at the end, or, where scoring is cheap, all is
            done in this process.
        resume: Whether trials in the folder's log are taken as they are.
        observer: Hears of all that happens.
        storage: Where Optuna's studies of the searches are written as trials end: `sqlite:///FILE`, `postgresql://…`,
            `mysql://…` or `journal:FILE`; `optuna.journal` in the folder by default.

    Raises:
        InputError: If the folder holds another study, or this one without `resume`.
        Interrupted: If Ctrl-C or SIGTERM has ended it, with all that was unfinished saved.
    """
    study = study if isinstance(study, Study) else load_study(study)
    mirror = Mirror(str(out)) if is_remote(out) else None
    if mirror is not None:
        mirror.all_down()
    folder = mirror.folder if mirror else Path(out) if out else Path("reports") / study.name
    folder = folder.absolute() if address else folder  # a cluster's processes are in others
    subject = {"study": study.digest, "problem": study.problem.digest}
    with claimed(folder, study.document, resume):
        log = TrialLog(folder / "trials.jsonl", subject, advice="give another folder with --out")

        def message(text: str) -> None:
            observer(Event("message", text=text))

        def keep_remote(event: Event) -> None:
            if mirror is not None and event.trial is not None:
                mirror.keep(event.trial, log)

        forget_damaged(folder, log, message)
        prefix = f"{study.name}-{study.digest}" if storage else study.name
        writer = StudyWriter(storage) if storage else None  # which says at once if there is none at that address

        def optuna_writer() -> StudyWriter:
            return writer or StudyWriter(f"journal:{folder / JOURNAL}")

        with closing(OptunaListener(optuna_writer, prefix, message)) as optuna:
            notify = broadcast((keep_remote, observer, optuna))
            driver = Driver(study, log, notify, _clock(folder))
            context = RunContext(driver, folder, mirror, str(out) if mirror else "")
            _prepare(study, folder)
            context.bring()
            for trial in driver.trials:
                observer(Event("finished", trial.step, trial=trial, resumed=True))
            if driver.trials:
                driver.check()
            optuna.follow(driver)
            first = driver.next()
            limit = _try_all(context, first, address) if first is not None else ""
            if limit:
                message(f"{limit}: what is unfinished is saved, and goes on with --resume and more of it")
            summary = context.report() if limit else context.emit()
        context.bring()
        return Run(folder, study, driver.trials, summary)


def _clock(folder: Path) -> Callable[[], float]:
    """Returns a clock of the seconds that the runs of a folder have been at work."""
    earlier, started = elapsed(folder).seconds, time.monotonic()
    return lambda: earlier + time.monotonic() - started


def _prepare(study: Study, folder: Path) -> None:
    """Writes down what the run's images are, and the weights that its trainings start from."""
    if study.training is None:
        return
    keep_data(study.training.data, study.document.get("data", ""), folder)
    if study.training.init and not initial(folder).exists():
        network = Path(study.document["init"])
        begin(load(network), str(network / WEIGHTS), folder)


def forget_damaged(folder: Path, log: TrialLog, message: Callable[[str], None]) -> None:
    """Counts trials as not done whose networks were to stay, and whose weights are gone or changed, so that they are
    trained again; the log keeps both."""
    for trial, fault in list(damaged_trials(folder, log)):
        message(f"{fault}; {trial.name} is trained again")
        log.forget(trial)


def damaged_trials(folder: Path, trials: Iterable[Trial]) -> Iterator[tuple[Trial, str]]:
    """Yields the trials whose networks were to stay and whose weights are gone or changed, and in words how."""
    for trial in trials:
        weights = trial.used.get("weights")
        if weights and weights["file"].startswith(KEPT) and (fault := damage(folder, weights)):
            yield trial, fault


@dataclass(frozen=True)
class RunContext:
    """A run at work: its driver, its folder, and where that is kept if not on this machine."""

    driver: Driver
    folder: Path
    mirror: Mirror | None = None
    store: str = ""

    def bring(self) -> None:
        """Brings what has changed in the folder into the store."""
        if self.mirror is not None:
            self.mirror.up()

    def _complete(self) -> None:
        """Takes the weights and tables from the store that other machines have left there."""
        if self.mirror is not None:
            self.mirror.rest_down(("family", "by_class", "weights"))

    def report(self) -> PlainDict:
        """Writes the report of what is known so far; returns its summary."""
        self._complete()
        summary = write_report(self.driver, self.folder)
        self.bring()
        return summary

    def emit(self) -> PlainDict:
        """Writes all that a run leaves at its end; returns its summary."""
        self._complete()
        summary = emit(self.driver, self.folder)
        self.bring()
        if self.mirror is not None:
            self.mirror.remove("checkpoints")
        return summary

    def ask_elsewhere(self) -> None:
        """Asks the workers of other machines to save and end."""
        if self.mirror is not None:
            self.mirror.touch("stop")


def _try_all(context: RunContext, first: Job | Wait, address: str | None) -> str:
    """Tries all that the driver hands out; returns in words which limit has ended that before its end.

    Raises:
        Interrupted: If a signal has ended it; the report is written then.
    """
    driver, folder = context.driver, context.folder
    if driver.study.evaluator.in_process and address is None:
        with stopping(folder) as stop, limits_enforced(folder, driver.study.ray, stop, lambda: 0):
            _try_in_process(driver, first, folder, stop)
    else:
        from scalesearch.runs.ray_tune import cluster, tune

        if context.mirror is not None:
            context.mirror.remove("stop")
        with cluster(driver.study, address), stopping(folder) as stop:
            stop.announce = context.ask_elsewhere
            tune(driver, first, Place(folder, store=context.store), stop, context.report)
    if stop.signal:
        with suppress(InputError):  # there may be nothing to report yet
            context.report()
        raise Interrupted(stop.signal)
    return stop.limit


def _try_in_process(driver: Driver, first: Job | Wait, folder: Path, stop: Stop) -> None:
    """Does one job after the other, so that none ever waits."""
    job: Job | Wait | None = first
    while isinstance(job, Job) and not stop:
        driver.notify(Event("started", job.step, job))
        for report in driver.study.evaluator.evaluate(job, Place(folder)):
            if report.numbers:
                driver.notify(Event("epoch", job.step, job, numbers=report.numbers))
        assert report.outcome is not None
        driver.finish(job, report.outcome)
        job = driver.next()
