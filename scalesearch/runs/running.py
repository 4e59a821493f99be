"""The run of a study: what its driver hands out is tried here or by Ray, and all of it lands in one folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scalesearch.errors import InputError, Interrupted, WorkFailed
from scalesearch.files import in_turn
from scalesearch.report import gather
from scalesearch.runs.folder import LOCK, claimed, damaged
from scalesearch.runs.images import keep_data
from scalesearch.runs.leaving import emit, write_report
from scalesearch.runs.mirror import Mirror, is_remote
from scalesearch.runs.sharing import Ledger, SharedDriver, is_database, run_id, with_driver
from scalesearch.runs.single import begin, initial
from scalesearch.runs.spent import counted, spent
from scalesearch.runs.stopping import Stop, stopping
from scalesearch.searchers import WAIT, Job, Trial, TrialLog, outcome_of
from scalesearch.study import Driver, Study, load_study
from scalesearch.training import Place
from scalesearch.zoo import WEIGHTS, load

STAYS = "family/"  # where weights lie that a run leaves


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


def run(
    study: Study | str | Path,
    out: str | Path | None = None,
    *,
    address: str | None = None,
    resume: bool = False,
    observer: Observer | None = None,
    storage: str = "",
) -> Run:
    """Run `study` (or the study in a file) whole and leave its family and report in the folder `out` (`reports/NAME` by
    default), or wherever else fsspec has a place for it (`s3://bucket/run`).

    `address` is a Ray cluster's; without it Ray starts here and stops at the end, or, where a try only looks something
    up, all is done in this process. With `resume`, trials in the folder's log are taken as they are. `storage` is where
    the searches are left as Optuna studies too: a database's URL (`postgresql://…`), or `journal:FILE`. Drivers that
    name one folder and one database share the work. Raises `InputError` where the folder holds another study, or this
    one without `resume`; `Interrupted` where Ctrl-C or SIGTERM has ended it, with all that was unfinished saved.
    """
    study = study if isinstance(study, Study) else load_study(study)
    observer = observer or Silent()
    mirror = Mirror(str(out)) if is_remote(out) else None
    if mirror is not None:
        mirror.all_down()
    folder = mirror.folder if mirror else Path(out) if out else Path("reports") / study.name
    folder = folder.absolute() if address else folder  # a cluster's processes are in others
    storage = with_driver(storage)
    shared = is_database(storage)
    with claimed(folder, study.document, resume or shared, beside=shared) as alone, ExitStack() as stack:
        log = TrialLog(
            folder / "trials.jsonl" if alone else None,
            {"study": study.digest, "problem": study.problem.digest},
            otherwise="give another folder with --out",
        )

        def finished(trial: Trial) -> None:
            if mirror is not None:
                mirror.keep(trial, log)
            observer.finished(trial)

        if alone and not shared:
            take_back_damaged(folder, log, observer.told)
        earlier, started = spent(folder).seconds, time.monotonic()

        def clock():
            return earlier + time.monotonic() - started

        driver = Driver(study, log, finished, clock)
        if shared:
            ledger = Ledger(storage, run_id(folder, study))
            stack.enter_context(ledger.alive())
            driver = SharedDriver(study, log, finished, ledger, clock)
        desk = Desk(driver, folder, alone, mirror, str(out) if mirror else "", storage)
        if study.training is not None:
            keep_data(study.training.data, study.document.get("data"), folder)
            if study.training.init and not initial(folder).exists():
                began = Path(study.document["init"])
                begin(load(began), str(began / WEIGHTS), folder)
        desk.bring()
        observer.known(driver.trials)
        first = driver.next()
        if first is not None:
            reached = _tried(desk, first, observer, address)
            if reached:
                observer.told(f"{reached}: what is unfinished is saved, and goes on with --resume and more of it")
                return Run(folder, study, driver.trials, desk.report())
        return Run(folder, study, driver.trials, desk.emit(shared))


def take_back_damaged(folder: Path, log: TrialLog, told: Callable[[str], None]) -> None:
    """Trials whose networks were to stay, and whose weights are gone or are not those that were left, count as not
    done, so that they are trained again; the log keeps both."""
    for trial, damage in list(hurt_by(folder, log)):
        told(f"{damage}; {trial.name} is trained again")
        log.forget(trial)


def hurt_by(folder: Path, trials: Iterable[Trial], to_the_byte: bool = True) -> Iterator[tuple[Trial, str]]:
    """The trials whose networks were to stay and whose weights are gone or are not those that were left; and how."""
    for trial in trials:
        left: dict[str, Any] = {**trial.used.get("weights", {})}
        if not to_the_byte:
            left.pop("sha256", None)
        if left and left["file"].startswith(STAYS) and (damage := damaged(folder, left)):
            yield trial, damage


@dataclass(frozen=True)
class Desk:
    """A run at work: its driver, its folder, and where that is kept if not on this machine."""

    driver: Driver
    folder: Path
    alone: bool = True  # in the folder; else another driver writes what stands in it
    mirror: Mirror | None = None
    store: str = ""
    storage: str = ""

    def bring(self) -> None:
        if self.mirror is not None:
            self.mirror.up()

    def _complete(self) -> None:
        """The weights and tables that other machines have left in the store."""
        if self.mirror is not None:
            self.mirror.rest_down(("family", "by_class", "weights"))

    def report(self) -> dict[str, Any]:
        if not self.alone:
            return gather(self.driver).summary()
        self._complete()
        summary = write_report(self.driver, self.folder)
        self.bring()
        return summary

    def emit(self, shared: bool = False) -> dict[str, Any]:
        self._complete()
        # Two drivers may have trained one network, one of which was taken for dead: the same tensors in other words.
        if shared and (hurt := next(hurt_by(self.folder, self.driver.trials, to_the_byte=False), None)):
            raise WorkFailed(
                f"{hurt[1]}; drivers may share this run, so it is left as it is: --resume without "
                "--storage trains it again"
            )
        with nullcontext() if self.alone else in_turn(self.folder / LOCK):
            if not self.alone:
                self._log_all()
            summary = emit(self.driver, self.folder, self.storage)
        self.bring()
        if self.mirror is not None:
            self.mirror.remove("checkpoints")
        return summary

    def _log_all(self) -> None:
        """Whoever had the folder may have been killed before."""
        log = TrialLog(self.folder / "trials.jsonl", self.driver.log.of_what)
        for trial in self.driver.log:
            if trial.key not in log.trials:
                log.append(trial)

    def ask_elsewhere(self) -> None:
        """To save and end."""
        if self.mirror is not None:
            self.mirror.touch("stop")


def _tried(desk: Desk, first: Any, observer: Observer, address: str | None) -> str:
    """Try all that the driver hands out; which limit has ended that before its end, in words.

    Raises `Interrupted` where a signal has, the report written.
    """
    driver, folder = desk.driver, desk.folder
    if driver.study.evaluator.here and address is None:
        with stopping(folder) as stop, counted(folder, driver.study.ray, stop, lambda: 0):
            _try_here(driver, first, folder, observer, stop)
    else:
        from scalesearch.runs.ray_tune import cluster, tune

        if desk.mirror is not None:
            desk.mirror.remove("stop")
        with cluster(driver.study, address), stopping(folder) as stop:
            stop.tell = desk.ask_elsewhere
            tune(driver, first, folder, observer, stop, desk.report, desk.store)
    if stop.signal:
        with suppress(InputError):  # there may be nothing to report yet
            desk.report()
        raise Interrupted(stop.signal)
    return stop.limit


def _try_here(driver: Driver, job: Any, folder: Path, observer: Observer, stop: Stop) -> None:
    """One job after the other, so that none ever waits but for other drivers."""
    while job is not None and not stop:
        if job is WAIT:
            time.sleep(0.1)
            job = driver.next()
            continue
        observer.started(job)
        driver.finish(job, outcome_of(driver.study.evaluator, job, Place(folder)))
        job = driver.next()
