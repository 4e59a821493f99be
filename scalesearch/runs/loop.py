"""The run of a study: Ray Tune trains what the driver hands out, and everything it finds lands in one folder.

The only importer of ray. One Tune run serves all steps of a study, so its actors (and the torch in them) are started once
and reused from trial to trial.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from scalesearch.study import Driver, Job
from scalesearch.runs.leaving import emit, seconds_spent, write_report
from scalesearch.errors import InputError
from scalesearch.report import transfers as told_transfers
from scalesearch.report import Transfer
from scalesearch.runs.folder import claimed
from scalesearch.study import Study, load_study
from scalesearch.study import Trial
from scalesearch.study import TrialLog

QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
         "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0"}  # fmt: skip
OBJECT_STORE = 200 * 1024**2  # bytes; jobs and scores are small, images are loaded where they are used


class Observer(Protocol):
    """Whoever shows progress."""

    def known(self, trials: list[Trial]) -> None: ...

    def started(self, job: Job) -> None: ...

    def finished(self, trial: Trial) -> None: ...

    def transferred(self, transfers: list[Transfer]) -> None: ...


class Silent:
    def known(self, trials: list[Trial]) -> None: ...

    def started(self, job: Job) -> None: ...

    def finished(self, trial: Trial) -> None: ...

    def transferred(self, transfers: list[Transfer]) -> None: ...


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the study and every trial."""

    folder: Path
    study: Study
    log: TrialLog
    summary: dict[str, Any]


def run(study: Study | str | Path, out: str | Path | None = None, *, address: str | None = None, resume: bool = False,
        observer: Observer | None = None) -> Run:
    """Run `study` (or the study in a file) whole and leave its family and report in the folder `out` (`reports/NAME` by default).

    `address` is a Ray cluster's; without it Ray starts here and stops at the end. With `resume`, trials in the folder's log
    are taken as they are. Raises `InputError` where the folder holds another study, or this one without `resume`.
    """
    study = study if isinstance(study, Study) else load_study(study)
    folder = Path(out) if out else Path("reports") / study.name
    with claimed(folder, study.document, resume):
        log = TrialLog(folder / "trials.jsonl")
        observer = observer or Silent()
        driver = Driver(study, log, observer.finished)
        observer.known(list(log))
        started = time.time()
        first = driver.next()
        if first is not None:
            with _ray(study, address):
                _tune(driver, first, folder, observer)
        summary = emit(driver, folder, time.time() - started)
        return Run(folder, study, log, summary)


@contextmanager
def _ray(study: Study, address: str | None) -> Iterator[None]:
    os.environ |= QUIET
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)  # importing ray sets it
    if ray.is_initialized():
        yield
        return
    _reachable(address)
    local = {"include_dashboard": False, "object_store_memory": OBJECT_STORE} if address is None else {}
    ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **local)
    _enough(study, ray.cluster_resources())
    try:
        yield
    finally:
        ray.shutdown()


def _reachable(address: str | None) -> None:
    """Ray itself waits for minutes where nobody answers."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at {address} ({error}); give HOST:PORT of its head", "--address") from None


def _enough(study: Study, there: dict[str, float]) -> None:
    for kind, wanted in (("CPU", study.ray.cpus_per_trial), ("GPU", study.ray.gpus_per_trial)):
        if wanted > there.get(kind, 0):
            raise InputError(f"a trial wants {wanted:g} {kind}, and the Ray cluster has {there.get(kind, 0):g}",
                             f"ray.{kind.lower()}s_per_trial")


def _source() -> type:
    from ray.tune.search import Searcher

    class Source(Searcher):
        """Tune's way to ask the driver for jobs and to tell it what came of them.

        Ray's own `OptunaSearch` passes on neither constraints nor user attributes, and takes an early-stopped trial for a
        complete one.
        """

        def __init__(self, driver: Driver, first: Any, folder: Path, observer: Observer):
            super().__init__()  # no metric: Tune would insist on it in the results of failed trials
            self.driver, self.first, self.folder, self.observer = driver, first, folder, observer
            self.jobs: dict[str, Job] = {}
            self.family = False  # whether its training has begun
            self.failure: Exception | None = None  # Tune would wrap or swallow it; it is raised when Tune has ended

        def suggest(self, trial_id: str) -> Any:
            job = None
            try:
                if self.failure is None:
                    job, self.first = (self.first or self.driver.next()), None
            except Exception as failure:
                self.failure = failure
            if job is None:
                return Searcher.FINISHED
            if job is self.driver.WAIT:
                return None
            if job.step == "family" and not self.family:  # what is dearest comes last, and not before its reasons are told
                self.family = True
                self._tell_transfers()
            self.jobs[trial_id] = job
            self.observer.started(job)
            return _config(self.driver.study, job, self.folder)

        def _tell_transfers(self) -> None:
            if transfers := told_transfers(self.driver):
                write_report(self.driver, self.folder, seconds_spent(self.folder))
                self.observer.transferred(transfers)

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
            job = self.jobs.pop(trial_id, None)
            try:
                if job is not None and self.failure is None:
                    self.driver.finish(job, _outcome(result, error))
            except Exception as failure:
                self.failure = failure

        def __getstate__(self) -> dict:
            """Nothing, when Tune writes down its own state: the trial log is what a run resumes from."""
            return {}

        def save(self, checkpoint_path: str) -> None:
            """Nothing, likewise."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing, likewise."""

    return Source


def _tune(driver: Driver, first: Any, folder: Path, observer: Observer) -> None:
    from ray import tune

    source = _source()(driver, first, folder, observer)
    on_interrupt = signal.getsignal(signal.SIGINT)  # Tune sets its own and leaves it
    wanted = driver.study.ray
    resources = {"cpu": wanted.cpus_per_trial, "gpu": wanted.gpus_per_trial}
    with tempfile.TemporaryDirectory(prefix="scalesearch-") as scratch:
        tune.Tuner(
            tune.with_resources(_trainable(), resources),
            tune_config=tune.TuneConfig(search_alg=source, num_samples=-1, reuse_actors=True,
                                        trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(storage_path=scratch, name="run", verbose=0,
                                      checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)),
        ).fit()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, on_interrupt)
    if source.failure:
        raise source.failure
    if driver.next() is not None:  # Tune ends early on Ctrl-C alone, and without a word
        raise KeyboardInterrupt


def _config(study: Study, job: Job, folder: Path) -> dict[str, Any]:
    folder = folder.resolve()
    trials = folder / "weights"
    inherits = study.search.inherit and job.step == "base"
    weights = folder / "family" / job.name / "weights.safetensors" if job.keep else (
        trials / f"{job.name}.safetensors" if inherits and job.until == study.rungs[-1] else None)
    searching = job.step in ("screen", "base")
    halves = job.step == "base" and len(study.rungs) > 1
    return {"arch": job.arch.to_dict(), "data": study.data.name, "recipe": asdict(study.recipe_of(job.step)),
            "seed": job.seed, "gpu": study.ray.gpus_per_trial > 0, "threads": max(1, int(study.ray.cpus_per_trial)),
            "final": job.final, "weights": weights and str(weights), "from": job.start, "until": job.until,
            "parent": str(trials / f"{job.parent}.safetensors") if job.parent else None,
            "proxies": study.search.proxies if searching and not job.start else (),
            "checkpoint": str(folder / "checkpoints" / f"base-{job.candidate:03d}.pt") if halves else None,
            "latency": study.budget.profile is not None and not study.ray.gpus_per_trial and job.final}


def _outcome(result: dict | None, error: bool) -> dict[str, Any]:
    if error or not result or "outcome" not in result:
        return {"reason": "the worker process died; see Ray's logs"}
    return json.loads(result["outcome"])


def _trainable() -> type:
    from ray import tune

    class Train(tune.Trainable):
        """One job after another in one process; a step is an epoch."""

        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.session, self.job_config = None, new_config
            return True

        def step(self) -> dict[str, Any]:
            from scalesearch.runs.worker import Session

            try:
                self.session = self.session or Session(self.job_config)
                return self.session.step()
            except Exception as error:  # whatever goes wrong in a network is that trial's failure and no other's
                last = traceback.extract_tb(error.__traceback__)[-1]
                reason = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                return {"done": True, "outcome": json.dumps({"reason": reason.replace("\n", " ")[:500]})}

    return Train
