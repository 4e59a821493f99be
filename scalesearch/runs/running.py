"""Running a study: the jobs of its driver are done here or by Ray, and all results are written to one
folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scalesearch.arch import Arch
from scalesearch.errors import InputError, Interrupted, check_kind, format_count, unknown_message
from scalesearch.notebook import frame, html_table
from scalesearch.plain_data import PlainDict, rounded
from scalesearch.runs.artifacts import read_run, write_artifacts, write_report
from scalesearch.runs.folder import claim_folder, describe_damage
from scalesearch.runs.images import prepare_data
from scalesearch.runs.ledger import elapsed, limits_enforced
from scalesearch.runs.live import LiveFile
from scalesearch.runs.mirror import Mirror, is_remote
from scalesearch.runs.optuna_listener import OptunaListener, without_damage
from scalesearch.runs.single import init_weights_path, save_init_weights
from scalesearch.runs.stopping import Stop, stop_on_signals
from scalesearch.searchers import StudyWriter
from scalesearch.study import Driver, Figure, Info, Study, load_study
from scalesearch.trials import Event, Job, Observer, Place, Trial, TrialLog, Wait, broadcast
from scalesearch.zoo import WEIGHTS, load

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

    from scalesearch.network import Network

FAMILY = "family/"  # where the weights of a finished run are
JOURNAL = "optuna.journal"  # in the run's folder, unless another storage is given


@dataclass(frozen=True)
class Member:
    """A trained member of a run's family.

    Attributes:
        folder: Its folder, with `arch.yaml`, `model.py`, `weights.safetensors` and `card.md`.
        row: Its row of the report's table.
    """

    folder: Path
    row: PlainDict

    @property
    def arch(self) -> Arch:
        """Returns its architecture."""
        return load(self.folder)

    def model(self) -> Network:
        """Returns it as an `nn.Module` with its weights, in eval mode."""
        from scalesearch.network import build
        from scalesearch.weights import load_weights

        network = build(self.arch)
        load_weights(network, self.folder / WEIGHTS)
        return network.eval()

    def __repr__(self) -> str:
        return f"<Member {self.row['name']}: {self.row['macs']:,} MACs, in {self.folder}>"

    def _repr_html_(self) -> str:
        return html_table(repr(self)[1:-1], [self.row])


@dataclass(frozen=True, repr=False)
class Run:
    """Holds a finished run: its folder, the study, every trial in the order of steps and numbers, and the
    summary.
    """

    folder: Path
    study: Study
    trials: list[Trial]
    summary: PlainDict

    @property
    def family(self) -> list[Member]:
        """Returns the members of the family that have been trained, the smallest φ first."""
        rows = sorted(
            (row for row in self.summary.get("rows", ()) if row.get("phi") is not None), key=lambda row: row["phi"]
        )
        folders = [(self.folder / FAMILY / row["name"], row) for row in rows]
        return [Member(folder, row) for folder, row in folders if (folder / WEIGHTS).exists()]

    def frame(self) -> pandas.DataFrame:
        """Returns every trial as a row: step, decisions, cost, fidelity, scores."""
        return frame(rounded(self._info.trials))

    def figure(self, name: str) -> plotly.graph_objects.Figure:
        """Returns a figure of the report as plotly's own object.

        Args:
            name: One of `figures`.

        Raises:
            InputError: For any other name, with the nearest one.
        """
        if name not in self._figures:
            raise InputError(unknown_message("figure", name, self._figures), "figure")
        from scalesearch.report import plotly_figure

        return plotly_figure(self._figures[name])

    @property
    def figures(self) -> tuple[str, ...]:
        """Returns the names of the report's figures."""
        return tuple(self._figures)

    @cached_property
    def _figures(self) -> dict[str, Figure]:
        from scalesearch.report import run_figures

        return run_figures(self._info)

    @cached_property
    def _info(self) -> Info:
        return read_run(self.folder, str(self.folder))

    def __repr__(self) -> str:
        return f"<Run {self.study.name!r} in {self.folder}: {format_count(len(self.trials), 'trial')}>"

    def _repr_html_(self) -> str:
        return html_table(repr(self)[1:-1], self.printed)

    @property
    def printed(self) -> list[PlainDict]:
        """Returns the summary's rows with the columns that a terminal shows."""
        columns = next((step.printed_columns for step in self.study.steps if step.printed_columns), ())
        task = self.study.training.task if self.study.training else None
        score_columns = {split: task.key(split) for split in ("val", "test")} if task else {}
        rows = self.summary.get("rows", [])
        return [{key: row[key] for c in columns if (key := score_columns.get(c, c)) in row} for row in rows]


def run(
    study: Study | str | Path,
    out: str | Path | None = None,
    *,
    address: str | None = None,
    resume: bool = False,
    observer: Observer = lambda event: None,
    storage: str = "",
) -> Run:
    """Runs a study to its end and writes its family and report into a folder.

    Args:
        study: The study, or the path of its file.
        out: The folder, `reports/NAME` by default, or an address that fsspec knows (`s3://bucket/run`).
        address: The address of a Ray cluster. Without it Ray is started here and stopped at the end, or, if
            scoring is cheap, everything is done in this process.
        resume: Whether the trials in the folder's log are kept and the run goes on after them.
        observer: Called with every event of the run.
        storage: Where Optuna's studies of the searches are written as trials end: `sqlite:///FILE`,
            `postgresql://…`, `mysql://…` or `journal:FILE`; `optuna.journal` in the folder by default.

    Raises:
        InputError: If the folder holds another study, or this one without `resume`.
        Interrupted: If Ctrl-C or SIGTERM has ended it, after everything unfinished was saved.
    """
    if out is not None:
        check_kind(out, (str, Path), "a folder, or an address such as s3://bucket/run", "out")
    study = study if isinstance(study, Study) else load_study(study)
    mirror = Mirror(str(out)) if is_remote(out) else None
    if mirror is not None:
        mirror.download_all()
    folder = mirror.folder if mirror else Path(out) if out else Path("reports") / study.name
    folder = folder.absolute() if address else folder  # a cluster's processes have other working folders
    subject = {"study": study.digest, "problem": study.problem.digest}
    with claim_folder(folder, study.document, resume):
        log = TrialLog(folder / "trials.jsonl", subject, advice="give another folder with --out")

        def message(text: str) -> None:
            observer(Event("message", text=text))

        def keep_remote(event: Event) -> None:
            if mirror is not None and event.trial is not None:
                mirror.upload_trial(event.trial, log)

        forget_damaged(folder, log, message)
        prefix = f"{study.name}-{study.digest}" if storage else study.name
        writer = StudyWriter(storage) if storage else None  # raises at once if there is none at that address

        def optuna_writer() -> StudyWriter:
            return writer or StudyWriter(f"journal:{without_damage(folder / JOURNAL)}")

        with (
            closing(OptunaListener(optuna_writer, prefix, message)) as optuna,
            closing(LiveFile(folder)) as live_file,
        ):
            long_trials = () if study.evaluator.in_process else (live_file,)
            notify = broadcast((keep_remote, observer, optuna, *long_trials))
            driver = Driver(study, log, notify, _clock(folder))
            context = RunContext(driver, folder, mirror, str(out) if mirror else "")
            _prepare(study, folder, message)
            context.upload()
            for trial in driver.trials:
                observer(Event("finished", trial.step, trial=trial, resumed=True))
            if driver.trials:
                driver.check()
            optuna.attach(driver)
            first = driver.next()
            limit = _run_all(context, first, address) if first is not None else ""
            if limit:
                message(f"{limit}: what is unfinished is saved, and goes on with --resume and more of it")
            summary = context.report() if limit else context.write_artifacts()
        context.upload()
        return Run(folder, study, driver.trials, summary)


def _clock(folder: Path) -> Callable[[], float]:
    """Returns a clock of the seconds that the runs of a folder have been at work."""
    earlier, started = elapsed(folder).seconds, time.monotonic()
    return lambda: earlier + time.monotonic() - started


def _prepare(study: Study, folder: Path, message: Callable[[str], None]) -> None:
    """Writes the facts of the run's images, and the weights that its trainings start from."""
    if study.training is None:
        return
    prepare_data(study.training.data, study.document.get("data", ""), folder)
    if study.training.init and not init_weights_path(folder).exists():
        network = Path(study.document["init"])
        classes, seed = study.training.data.class_names, study.seeds[0]
        for part in save_init_weights(load(network), str(network / WEIGHTS), folder, classes=classes, seed=seed):
            message(f"took {part} from {network}")


def forget_damaged(folder: Path, log: TrialLog, message: Callable[[str], None]) -> None:
    """Takes trials out of the log's memory whose weights in `family/` are gone or changed, so that they are
    trained again.

    The log's file keeps both.
    """
    for trial, problem in list(damaged_trials(folder, log)):
        message(f"{problem}; {trial.name} is trained again")
        log.forget(trial)


def damaged_trials(folder: Path, trials: Iterable[Trial]) -> Iterator[tuple[Trial, str]]:
    """Yields the trials whose weights in `family/` are gone or changed, each with what is wrong in words."""
    for trial in trials:
        weights = trial.used.get("weights")
        if weights and weights["file"].startswith(FAMILY) and (problem := describe_damage(folder, weights)):
            yield trial, problem


@dataclass(frozen=True)
class RunContext:
    """Holds what a run needs at work: its driver, its folder, and the store where it is kept if not on
    this machine.
    """

    driver: Driver
    folder: Path
    mirror: Mirror | None = None
    store: str = ""

    def upload(self) -> None:
        """Uploads what has changed in the folder, if the run is kept elsewhere."""
        if self.mirror is not None:
            self.mirror.upload()

    def _write(self, write: Callable[[Driver, Path], PlainDict]) -> PlainDict:
        """Writes files of the run, for which the weights and tables of other machines are downloaded."""
        if self.mirror is not None:
            self.mirror.download_missing(("family", "by_class", "weights"))
        summary = write(self.driver, self.folder)
        self.upload()
        return summary

    def report(self) -> PlainDict:
        """Writes the report of the results so far; returns its summary."""
        return self._write(write_report)

    def write_artifacts(self) -> PlainDict:
        """Writes the files of a run that has ended; returns its summary."""
        summary = self._write(write_artifacts)
        if self.mirror is not None:
            self.mirror.remove("checkpoints")
        return summary

    def stop_remote_workers(self) -> None:
        """Asks the workers of other machines to save and end."""
        if self.mirror is not None:
            self.mirror.touch("stop")


def _run_all(context: RunContext, first: Job | Wait, address: str | None) -> str:
    """Does all jobs that the driver hands out; returns in words the limit that has ended it early, if any.

    Raises:
        Interrupted: If a signal has ended it; the report is written before.
    """
    driver, folder = context.driver, context.folder
    if driver.study.evaluator.in_process and address is None:
        with stop_on_signals(folder) as stop, limits_enforced(folder, driver.study.ray, stop, lambda: 0):
            _run_in_process(driver, first, folder, stop)
    else:
        from scalesearch.runs.ray_tune import cluster, tune

        if context.mirror is not None:
            context.mirror.remove("stop")
        with stop_on_signals(folder) as stop, ExitStack() as stack:
            with stop.only_noted():
                stack.enter_context(cluster(driver.study, address))
            stop.announce = context.stop_remote_workers
            if not stop:
                tune(driver, first, Place(folder, store=context.store), stop, context.report)
    if stop.signal:
        with suppress(InputError):  # there may be nothing to report yet
            context.report()
        raise Interrupted(stop.signal)
    return stop.limit


def _run_in_process(driver: Driver, first: Job | Wait, folder: Path, stop: Stop) -> None:
    """Does one job after the other in this process."""
    job: Job | Wait | None = first
    while isinstance(job, Job) and not stop:
        driver.notify(Event("started", job.step, job))
        for report in driver.study.evaluator.evaluate(job, Place(folder)):
            if report.numbers:
                driver.notify(Event("epoch", job.step, job, numbers=report.numbers))
        assert report.outcome is not None
        driver.finish(job, report.outcome)
        job = driver.next()
