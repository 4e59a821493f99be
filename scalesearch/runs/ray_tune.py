"""Ray Tune tries what the driver hands out. The only importer of ray.

One Tune run serves all steps of a study, so its actors (and the torch in them) are started once and reused from trial
to trial.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalesearch.arch import OWN
from scalesearch.errors import InputError
from scalesearch.files import own_folder
from scalesearch.machine import cores
from scalesearch.runs.afterwards import tidied
from scalesearch.runs.last_words import last_words
from scalesearch.runs.spent import counted
from scalesearch.runs.stopping import Stop
from scalesearch.runs.worker import Worker
from scalesearch.searchers import WAIT, Job, Key
from scalesearch.study import Driver, Study, seconds
from scalesearch.training import Place

QUIET = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours lets trials save themselves
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",  # after which a driver whose Ray was killed ends
    "RAY_ROTATION_MAX_BYTES": "20000000",
    "RAY_ROTATION_BACKUP_COUNT": "1",  # of what a worker prints
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
FEW_AHEAD = {"TUNE_MAX_PENDING_TRIALS_PG": "1"}  # what is asked for before there is room, other drivers don't get
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as Ray does by itself where these would ask their owner
RESOURCES = {"CPU": "cpu", "GPU": "gpu"}  # Tune's names for Ray's
OF_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set where we are a job's process; Ray takes its files away when it leaves
TRIES = 3  # of a job whose process is killed, or whose machine goes
OBJECT_STORE = 200 * 1024**2  # bytes; jobs and scores are small, images are loaded where they are used


@contextmanager
def cluster(study: Study, address: str | None) -> Iterator[None]:
    """Ray, at `address` or here, while the block runs. Raises `InputError` where it is silent or too small."""
    os.environ |= QUIET if address not in (None, "local") else {**QUIET, **ON_LOOPBACK}
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # importing ray sets it; we tell of trials that fail
    if ray.is_initialized():
        yield
        return
    with suppress(AttributeError):  # what Ray says of dead workers would stand in our output; no option turns it off
        ray._private.worker._worker_logs_enabled = False
    _check_reachable(address)
    with ExitStack() as stack:
        local: dict[str, Any] = {}
        if address in (None, "local"):
            folder = stack.enter_context(own_folder("scalesearch-ray"))
            stack.enter_context(tidied(folder))
            local = {"include_dashboard": False, "object_store_memory": OBJECT_STORE, "_temp_dir": str(folder)}
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                configure_logging=False,
                **local,
            )
        except (ValueError, ConnectionError) as error:
            said = str(error).strip().splitlines()[0]
            raise InputError(
                f"no Ray cluster answers at {address} ({said}); give HOST:PORT of its head", "--address"
            ) from None
        if OF_A_JOB in os.environ:
            os.chdir("/")  # a second node on the same machine lays the folder that we began in down anew
        else:
            stack.callback(ray.shutdown)
        _check_enough(study, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        yield


def _check_reachable(address: str | None) -> None:
    """Ray itself waits for minutes where nobody answers."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({error}); give HOST:PORT of its head", "--address"
        ) from None


PLACES = {"CPU": "cpus_per_trial", "GPU": "gpus_per_trial"}  # of Ray's names, in a study


def _check_enough(study: Study, nodes: list[dict[str, float]]) -> None:
    """Raises `InputError` where no node has what a trial wants."""
    wanted = study.ray.wanted
    if any(all(node.get(kind, 0) >= amount for kind, amount in wanted.items()) for node in nodes):
        return
    for kind, amount in wanted.items():
        most = max((node.get(kind, 0) for node in nodes), default=0)
        if amount > most:
            place = "accelerator_type" if ":" in kind else PLACES.get(kind, f"resources.{kind}")
            asked = kind if ":" in kind else f"{amount:g} {kind}"
            here = ", ".join(sorted({k for node in nodes for k in node if not k.startswith(("node:", "object_store"))}))
            raise InputError(
                f"a trial wants {asked}, and no node of the Ray cluster has "
                f"{f'more than {most:g}' if most else 'any'} (there are {here})",
                f"ray.{place}",
            )
    together = ", ".join(f"{amount:g} {kind}" for kind, amount in wanted.items() if amount)
    raise InputError(f"a trial wants {together} on one node, and no node of the Ray cluster has all of these", "ray")


def tune(
    driver: Driver, first: Any, folder: Path, observer: Any, stop: Stop, report: Callable[[], Any], store: str = ""
) -> None:
    """Try `first`, and all that the driver hands out after it, until it is told to stop. `report` writes down what is
    known, `store` is where the folder is kept if not on this machine."""
    from ray import cloudpickle, tune

    if not driver.alone:
        os.environ |= FEW_AHEAD
    source = _source()(driver, first, folder, observer, stop, report)
    wanted = driver.study.ray
    place = Place(
        folder.resolve(),
        max(1, int(wanted.cpus_per_trial)),
        wanted.gpus_per_trial > 0,
        wanted.save_every,
        min(1.0, wanted.gpus_per_trial or wanted.cpus_per_trial / cores()),
        seconds(wanted.trial_timeout, "trial_timeout"),
        max(1, int(wanted.gpus_per_trial)),
        store=store,
    )
    for block in OWN.values():  # the workers have no such module to import them from
        module = sys.modules.get(block.function.__module__)
        if module is not None and module.__name__ != "__main__":
            cloudpickle.register_pickle_by_value(module)
    if place.processes > 1 and OWN:
        place = replace(place, blocks=cloudpickle.dumps(OWN))
    trainable = tune.with_parameters(_trainable(), evaluator=driver.study.evaluator, place=place, blocks=OWN)
    taken = {RESOURCES.get(kind, kind): amount for kind, amount in wanted.wanted.items()}

    def running():
        return len(source.jobs)

    with own_folder("scalesearch-tune") as scratch, counted(folder, wanted, stop, running):
        tune.Tuner(
            tune.with_resources(trainable, taken),
            tune_config=tune.TuneConfig(
                search_alg=source, num_samples=-1, reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id
            ),
            run_config=tune.RunConfig(
                storage_path=str(scratch),
                name="run",
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    if source.failure:
        raise source.failure


def _source() -> Any:
    from ray.tune.search import Searcher

    class Source(Searcher):
        """Tune's way to ask the driver for jobs and to tell it what came of them.

        Ray's own `OptunaSearch` passes on neither constraints nor user attributes, and takes an early-stopped trial for
        a complete one.
        """

        def __init__(
            self, driver: Driver, first: Any, folder: Path, observer: Any, stop: Stop, report: Callable[[], Any]
        ):
            super().__init__()  # no metric: Tune would insist on it in the results of failed trials
            self.driver, self.first, self.folder, self.observer, self.stop = driver, first, folder, observer, stop
            self.report = report
            self.jobs: dict[str, Job] = {}
            self.again: list[Job] = []  # whose process was killed
            self.tries: Counter[Key] = Counter()
            self.step = ""
            self.failure: Exception | None = None  # Tune would wrap or swallow it; it is raised when Tune has ended

        def suggest(self, trial_id: str) -> Any:
            job = None
            try:
                if self.failure is None and not self.stop:
                    job = self.again.pop() if self.again else self.first or self.driver.next()
                    self.first = None
            except Exception as failure:
                self.failure = failure
            if job is None and (self.failure or self.stop or not self.jobs):
                return Searcher.FINISHED
            if job is None or job is WAIT:  # one that is under way may have to be tried again
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
            lines = [
                line for step in self.driver.study.steps if step.name in needed for line in step.tells(self.driver)
            ]
            if lines:
                self.report()
            for line in lines:
                self.observer.told(line)

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
            job = self.jobs.pop(trial_id, None)
            try:
                if job is not None and self.failure is None:
                    place = Place(self.folder)
                    words = last_words(place.last_words(job.key))
                    outcome = _outcome(result, error, words)
                    if outcome is None:
                        self.tries[job.key] += 1
                        if self.tries[job.key] < TRIES:
                            self.again.append(job)
                            return
                        outcome = {"reason": f"its process was killed {TRIES} times, or its machine has gone"}
                    if "stopped" in outcome:
                        return
                    self.driver.finish(job, outcome)
                    place.unfinished(job.key).unlink(missing_ok=True)
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


def _outcome(result: dict | None, error: bool, words: str) -> dict[str, Any] | None:
    """What came of a job; none where its process was killed, which may be no fault of the job's."""
    if error or not result or "outcome" not in result:
        return {"reason": words} if words else None
    return json.loads(result["outcome"])


def _trainable() -> type:
    from ray import tune

    class Train(tune.Trainable):
        """A process of Ray's with a `Worker` in it. It is sent there as it stands here, globals copied, so that all it
        does is in modules that are imported there."""

        def setup(self, config: dict[str, Any], **given: Any) -> None:
            self.worker = Worker(**given)
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.worker.take(new_config["job"])
            return True

        def step(self) -> dict[str, Any]:
            return self.worker.step()

    return Train
