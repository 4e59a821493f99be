"""Ray Tune tries what the driver hands out. The only importer of ray.

One Tune run serves all steps of a study, so its actors (and the torch in them) are started once and reused from trial
to trial.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scalesearch.arch import BLOCKS, OWN
from scalesearch.errors import InputError
from scalesearch.machine import cores
from scalesearch.runs.leaving import seconds_spent, write_report
from scalesearch.searchers import WAIT, Job
from scalesearch.study import Driver, Study
from scalesearch.training import Place

QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0",
         "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
         "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0"}  # fmt: skip
OBJECT_STORE = 200 * 1024**2  # bytes; jobs and scores are small, images are loaded where they are used


@contextmanager
def cluster(study: Study, address: str | None) -> Iterator[None]:
    """Ray, at `address` or here, while the block runs. Raises `InputError` where it is silent or too small."""
    os.environ |= QUIET
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)  # importing ray sets it
    if ray.is_initialized():
        yield
        return
    _check_reachable(address)
    local: dict[str, Any] = {"include_dashboard": False,
                             "object_store_memory": OBJECT_STORE} if address in (None, "local") else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, configure_logging=False,
                 **local)
    except (ValueError, ConnectionError) as error:
        said = str(error).strip().splitlines()[0]
        raise InputError(f"no Ray cluster answers at {address} ({said}); give HOST:PORT of its head",
                         "--address") from None
    try:
        _check_enough(study, ray.cluster_resources())
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Ray itself waits for minutes where nobody answers."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at {address} ({error}); give HOST:PORT of its head",
                         "--address") from None


def _check_enough(study: Study, there: dict[str, float]) -> None:
    for kind, wanted in (("CPU", study.ray.cpus_per_trial), ("GPU", study.ray.gpus_per_trial)):
        if wanted > there.get(kind, 0):
            raise InputError(f"a trial wants {wanted:g} {kind}, and the Ray cluster has {there.get(kind, 0):g}",
                             f"ray.{kind.lower()}s_per_trial")  # fmt: skip


def tune(driver: Driver, first: Any, folder: Path, observer: Any) -> None:
    """Try `first`, and all that the driver hands out after it."""
    from ray import tune

    source = _source()(driver, first, folder, observer)
    on_interrupt = signal.getsignal(signal.SIGINT)  # Tune sets its own and leaves it
    wanted = driver.study.ray
    place = Place(folder.resolve(), max(1, int(wanted.cpus_per_trial)), wanted.gpus_per_trial > 0,
                  wanted.save_every, min(1.0, wanted.gpus_per_trial or wanted.cpus_per_trial / cores()))
    trainable = tune.with_parameters(_trainable(), evaluator=driver.study.evaluator, place=place, blocks=OWN)
    with tempfile.TemporaryDirectory(prefix="scalesearch-") as scratch:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": wanted.cpus_per_trial, "gpu": wanted.gpus_per_trial}),
            tune_config=tune.TuneConfig(search_alg=source, num_samples=-1, reuse_actors=True,
                                        trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(storage_path=scratch, name="run", verbose=0,
                                      checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)),
        ).fit()  # fmt: skip
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, on_interrupt)
    if source.failure:
        raise source.failure
    if driver.next() is not None:  # Tune ends early on Ctrl-C alone, and without a word
        raise KeyboardInterrupt


def _source() -> Any:
    from ray.tune.search import Searcher

    class Source(Searcher):
        """Tune's way to ask the driver for jobs and to tell it what came of them.

        Ray's own `OptunaSearch` passes on neither constraints nor user attributes, and takes an early-stopped trial for
        a complete one.
        """

        def __init__(self, driver: Driver, first: Any, folder: Path, observer: Any):
            super().__init__()  # no metric: Tune would insist on it in the results of failed trials
            self.driver, self.first, self.folder, self.observer = driver, first, folder, observer
            self.jobs: dict[str, Job] = {}
            self.step = ""
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
            if job is WAIT:
                return None
            if job.step != self.step:
                self._tell(before=job.step)
            self.jobs[trial_id] = job
            self.observer.started(job)
            return {"job": job}

        def _tell(self, before: str) -> None:
            """What the last steps have found, before anybody pays for the next one."""
            self.step = before
            needed = next(step.needs for step in self.driver.study.steps if step.name == before)
            lines = [line for step in self.driver.study.steps if step.name in needed
                     for line in step.tells(self.driver)]
            if lines:
                write_report(self.driver, self.folder, seconds_spent(self.folder))
            for line in lines:
                self.observer.told(line)

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
            job = self.jobs.pop(trial_id, None)
            try:
                if job is not None and self.failure is None:
                    self.driver.finish(job, _outcome(result, error))
                    Place(self.folder).unfinished(job.key).unlink(missing_ok=True)
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


def _outcome(result: dict | None, error: bool) -> dict[str, Any]:
    if error or not result or "outcome" not in result:
        return {"reason": "the worker process died; see Ray's logs"}
    return json.loads(result["outcome"])


def _trainable() -> type:
    from ray import tune

    class Train(tune.Trainable):
        """One job after another in one process; a step is an epoch."""

        tries: Iterator[dict[str, Any]] | None

        def setup(self, config: dict[str, Any], **given: Any) -> None:
            self.evaluator, self.place = given["evaluator"], given["place"]
            BLOCKS.update(given["blocks"])  # a person's own, which the driving process has registered
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.tries, self.job = None, new_config["job"]
            return True

        def step(self) -> dict[str, Any]:
            try:
                tries = self.tries = self.tries or self.evaluator.tries(self.job, self.place)
                said = next(tries)
            except Exception as error:  # whatever goes wrong in a network is that trial's failure and no other's
                last = traceback.extract_tb(error.__traceback__)[-1]
                reason = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                said = {"outcome": {"reason": reason.replace("\n", " ")[:500]}}
            if "outcome" not in said:
                return {**said, "done": False}
            return {**said, "done": True, "outcome": json.dumps(said["outcome"])}  # Tune takes mappings apart

    return Train
