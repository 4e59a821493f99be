"""Runs the jobs that the driver hands out by Ray Tune: one of the two importers of ray.

One Tune run serves all steps of a study, so that its actors, and the torch in them, are started once and
reused from trial to trial.
"""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from typing import Any, TextIO, cast

from scalesearch.arch import USER_BLOCKS
from scalesearch.errors import InputError
from scalesearch.files import process_folder
from scalesearch.machine import cores
from scalesearch.plain_data import PlainDict
from scalesearch.runs.failures import failure_reason
from scalesearch.runs.ledger import limits_enforced
from scalesearch.runs.ray_cleanup import cleanup_after
from scalesearch.runs.stopping import Stop
from scalesearch.runs.worker import Worker
from scalesearch.study import Driver, Study, parse_seconds
from scalesearch.trials import WAIT, Event, Job, Key, Outcome, Place, Wait

RAY_SETTINGS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # our own lets trials save themselves
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # it would take SIGTERM over and abort
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",  # after which a driver whose Ray was killed ends
    "RAY_ROTATION_MAX_BYTES": "20000000",  # of what a worker prints
    "RAY_ROTATION_BACKUP_COUNT": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
# As Ray does by itself on Windows and macOS, whose firewalls would ask.
LOCAL_SETTINGS = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
TUNE_NAMES = {"CPU": "cpu", "GPU": "gpu"}  # Tune's names for Ray's
# Set in the process of a Ray job; Ray removes the job's files when that process leaves
JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
MAX_TRIES = 3  # of a job whose process is killed, or whose machine is lost
OBJECT_STORE = 200 * 1024**2  # bytes; jobs and scores are small, images are loaded where they are used


class _OutputWithoutRay(io.TextIOBase):
    """Standard output without what Ray's own threads print about dead workers, which no option turns off."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    @property
    def closed(self) -> bool:
        return self.stream.closed

    def write(self, text: str) -> int:
        return len(text) if threading.current_thread().name.startswith("ray_") else self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()


@contextmanager
def cluster(study: Study, address: str | None) -> Iterator[None]:
    """Connects to the Ray cluster at `address`, or starts Ray here, while the block runs.

    Raises:
        InputError: If the cluster doesn't answer, or no node of it has what a trial takes.
    """
    os.environ |= RAY_SETTINGS if address not in (None, "local") else {**RAY_SETTINGS, **LOCAL_SETTINGS}
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # importing ray sets it; failed trials are reported by us
    if ray.is_initialized():
        yield
        return
    _check_reachable(address)
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(cast(TextIO, _OutputWithoutRay(sys.stdout))))
        local: PlainDict = {}
        if address in (None, "local"):
            folder = stack.enter_context(process_folder("scalesearch-ray"))
            stack.enter_context(cleanup_after(folder))
            local = {"include_dashboard": False, "object_store_memory": OBJECT_STORE, "_temp_dir": str(folder)}
        # From the main thread Ray would take SIGTERM over, and leave what it has started when one comes. What it starts
        # ends with the thread that has started it, which lives as long as the block.
        thread = stack.enter_context(ThreadPoolExecutor(1))
        try:
            thread.submit(
                ray.init,
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                configure_logging=False,
                **local,
            ).result()
        except (ValueError, ConnectionError) as error:
            raise _no_cluster(address, str(error).strip().splitlines()[0]) from None
        if JOB_VARIABLE in os.environ:
            os.chdir("/")  # a second node on the same machine would create the current folder anew
        else:
            stack.callback(ray.shutdown)
        _check_enough(study, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        yield


def _no_cluster(address: str | None, reason: object) -> InputError:
    return InputError(f"no Ray cluster answers at {address} ({reason}); give HOST:PORT of its head", "--address")


def _check_reachable(address: str | None) -> None:
    """Raises `InputError` at once if nobody answers, where Ray itself would wait for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from None


STUDY_KEYS = {"CPU": "cpus_per_trial", "GPU": "gpus_per_trial"}  # the keys of a study for Ray's names


def _check_enough(study: Study, nodes: list[dict[str, float]]) -> None:
    """Raises `InputError` if no node has what a trial takes."""
    amounts = study.ray.amounts
    if any(all(node.get(kind, 0) >= amount for kind, amount in amounts.items()) for node in nodes):
        return
    for kind, amount in amounts.items():
        most = max((node.get(kind, 0) for node in nodes), default=0)
        if amount > most:
            place = "accelerator_type" if ":" in kind else STUDY_KEYS.get(kind, f"resources.{kind}")
            request = kind if ":" in kind else f"{amount:g} {kind}"
            kinds = {k for node in nodes for k in node if not k.startswith(("node:", "object_store"))}
            raise InputError(
                f"a trial wants {request}, and no node of the Ray cluster has "
                f"{f'more than {most:g}' if most else 'any'} (there are {', '.join(sorted(kinds))})",
                f"ray.{place}",
            )
    all_amounts = ", ".join(f"{amount:g} {kind}" for kind, amount in amounts.items() if amount)
    raise InputError(f"a trial wants {all_amounts} on one node, and no node of the Ray cluster has all of these", "ray")


def tune(driver: Driver, first: Job | Wait, place: Place, stop: Stop, report: Callable[[], object]) -> None:
    """Runs `first`, and all jobs that the driver hands out after it, until the run is to stop.

    Args:
        driver: Hands out the jobs and takes their results.
        first: The first of them.
        place: The run's folder, and the address where it is kept if that is not this machine.
        stop: Says whether to stop.
        report: Writes the report of what is known so far; called between two steps.
    """
    from ray import cloudpickle, tune

    jobs = JobSource(driver, first, place, stop, report)
    place = _worker_place(driver.study, place)
    for block in USER_BLOCKS.values():  # the workers have no such module to import them from
        module = sys.modules.get(block.function.__module__)
        if module is not None and module.__name__ != "__main__":
            cloudpickle.register_pickle_by_value(module)
    if place.processes > 1 and USER_BLOCKS:
        place = replace(place, blocks=cloudpickle.dumps(USER_BLOCKS))
    trainable = tune.with_parameters(_trainable(), evaluator=driver.study.evaluator, place=place, blocks=USER_BLOCKS)
    resources = {TUNE_NAMES.get(kind, kind): amount for kind, amount in driver.study.ray.amounts.items()}
    with (
        process_folder("scalesearch-tune") as scratch,
        limits_enforced(place.folder, driver.study.ray, stop, lambda: len(jobs.running)),
    ):
        tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=_searcher(jobs),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(scratch),
                name="run",
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    if jobs.failure:
        raise jobs.failure


def _worker_place(study: Study, place: Place) -> Place:
    """Returns the folder and the resources of one trial."""
    resources = study.ray
    return Place(
        place.folder.resolve(),
        max(1, int(resources.cpus_per_trial)),
        resources.gpus_per_trial > 0,
        resources.save_every,
        min(1.0, resources.gpus_per_trial or resources.cpus_per_trial / cores()),
        parse_seconds(resources.trial_timeout, "trial_timeout"),
        max(1, int(resources.gpus_per_trial)),
        store=place.store,
    )


class JobSource:
    """Hands out jobs to Tune and takes their results.

    An exception is kept in `failure`, since Tune would wrap or swallow it; it is raised when Tune has ended.
    """

    def __init__(self, driver: Driver, first: Job | Wait, place: Place, stop: Stop, report: Callable[[], object]):
        self.driver, self.place, self.stop, self.report = driver, place, stop, report
        self.first: Job | Wait | None = first
        self.running: dict[str, Job] = {}
        self.retries: list[Job] = []  # jobs whose process was killed
        self.tries: Counter[Key] = Counter()
        self.step = ""
        self.failure: Exception | None = None

    def next(self, trial_id: str) -> Job | Wait | None:
        """Returns the next job, `WAIT` while there is none yet, or None at the end."""
        job = None
        try:
            if self.failure is None and not self.stop:
                job = self.retries.pop() if self.retries else self.first or self.driver.next()
                self.first = None
        except Exception as failure:
            self.failure = failure
        if job is None and (self.failure or self.stop or not self.running):
            return None
        if not isinstance(job, Job):  # a running job may have to be tried again
            return WAIT
        if job.step != self.step:
            self._enter_step(job.step)
        self.running[trial_id] = job
        self.driver.notify(Event("started", job.step, job))
        return job

    def _enter_step(self, name: str) -> None:
        """Reports what the steps before have found, before anything is spent on the next one."""
        self.step = name
        steps = self.driver.study.steps
        needs = next(step.needs for step in steps if step.name == name)
        lines = [line for step in steps if step.name in needs for line in step.log_lines(self.driver)]
        if lines:
            self.report()
        for line in lines:
            self.driver.message(line)

    def progress(self, trial_id: str, numbers: PlainDict) -> None:
        """Passes on the numbers of an epoch as an event."""
        job = self.running.get(trial_id)
        if job is not None and "epoch" in numbers:
            keys = (*EPOCH_KEYS, *(key for key in numbers if key.startswith("val_")))
            worker = f"{numbers['hostname']}:{numbers['pid']}" if "hostname" in numbers and "pid" in numbers else ""
            losses = {k: numbers[k] for k in keys if k in numbers}
            self.driver.notify(Event("epoch", job.step, job, numbers=losses, worker=worker))

    def finish(self, trial_id: str, result: PlainDict | None, error: bool) -> None:
        """Takes the result of a job; a job whose process was killed is tried again, twice."""
        job = self.running.pop(trial_id, None)
        try:
            if job is not None and self.failure is None:
                self._finish(job, None if error else result)
        except Exception as failure:
            self.failure = failure

    def _finish(self, job: Job, result: PlainDict | None) -> None:
        if result and "outcome" in result:
            outcome: Outcome = json.loads(result["outcome"])
        elif reason := failure_reason(job, self.place):
            outcome = {"reason": reason}
        else:  # its process was killed, which need not be the job's fault
            self.tries[job.key] += 1
            if self.tries[job.key] < MAX_TRIES:
                self.retries.append(job)
                return
            outcome = {"reason": f"its process was killed {MAX_TRIES} times, or its machine has gone"}
        if "stopped" not in outcome:
            self.driver.finish(job, outcome)
            self.place.unfinished_file(job.key).unlink(missing_ok=True)


EPOCH_KEYS = ("epoch", "train_loss")


def _searcher(jobs: JobSource) -> Any:
    from ray.tune.search import Searcher

    class Source(Searcher):
        """Tune's interface to a `JobSource`.

        Ray's own `OptunaSearch` passes on neither constraints nor user attributes, and takes an early-stopped trial for
        a complete one.
        """

        def __init__(self, jobs: JobSource):
            super().__init__()  # no metric: Tune would insist on it in the results of failed trials
            self.jobs = jobs

        def suggest(self, trial_id: str) -> Any:
            job = self.jobs.next(trial_id)
            return Searcher.FINISHED if job is None else {"job": job} if isinstance(job, Job) else None

        def on_trial_result(self, trial_id: str, result: PlainDict) -> None:
            self.jobs.progress(trial_id, result)

        def on_trial_complete(self, trial_id: str, result: PlainDict | None = None, error: bool = False) -> None:
            self.jobs.finish(trial_id, result, error)

        def __getstate__(self) -> PlainDict:
            """Returns nothing when Tune saves its own state: the trial log is what a run resumes from."""
            return {}

        def save(self, checkpoint_path: str) -> None:
            """Saves nothing, for the same reason."""

        def restore(self, checkpoint_path: str) -> None:
            """Restores nothing, for the same reason."""

    return Source(jobs)


def _trainable() -> type:
    from ray import tune

    class Train(tune.Trainable):
        """A process of Ray with a `Worker` in it.

        Ray pickles this class with its globals; all that it does is in modules that are imported there.
        """

        def setup(self, config: PlainDict, **arguments: Any) -> None:
            self.worker = Worker(**arguments)
            self.reset_config(config)

        def reset_config(self, new_config: PlainDict) -> bool:
            self.worker.take(new_config["job"])
            return True

        def step(self) -> PlainDict:
            return self.worker.step()

    return Train
