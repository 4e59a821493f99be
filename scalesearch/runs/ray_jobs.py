"""Studies as jobs on a Ray cluster, by Ray's own Job Submission: sent, followed, found again, stopped, brought home.

A second importer of ray beside `ray_tune.py`: the client of a dashboard, which starts no Ray here.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from scalesearch.errors import InputError, WorkFailed
from scalesearch.files import process_folder, save_text
from scalesearch.plain_data import PlainDict
from scalesearch.runs import archive
from scalesearch.study import Study
from scalesearch.yamlfile import dump

PACKAGE = Path(__file__).parents[1]
MARK = "scalesearch"  # of our jobs, in what Ray keeps about them
LOOK = 1.0  # seconds between two looks at a job
STARTING, NOBODY_YET = 60.0, "No available agent"  # how long a cluster may take to start, and what it says meanwhile
STOPPING = 30  # seconds that a job has to save itself when it is stopped; Ray gives 3 unless told
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
HOME = "$HOME/scalesearch"  # on the head node, where runs lie unless told


@dataclass(frozen=True)
class Submitted:
    """A job of ours: its id, the study's name, the run's folder as the cluster sees it, and how far it is."""

    job: str
    study: str
    out: str
    status: str
    started: float | None  # seconds since 1970
    seconds: float | None


@dataclass(frozen=True)
class Jobs:
    """Those of one cluster, whose dashboard answers at `address`."""

    address: str
    client: Any

    @staticmethod
    def at(address: str) -> Jobs:
        """Raises `InputError` where nobody answers. Ray's token authentication is its own: what the environment says
        (`RAY_AUTH_MODE`, `RAY_AUTH_TOKEN`) is honoured."""
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray").setLevel(logging.CRITICAL)  # importing ray sets it
        try:
            return Jobs(address, JobSubmissionClient(address))
        except AuthenticationError:
            raise InputError(
                f"the cluster at {address} wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN "
                "or RAY_AUTH_TOKEN_PATH (without them ~/.ray/auth_token is read)",
                "--address",
            ) from None
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise InputError(
                f"no Ray dashboard answers at {address} ({reason}); give http://HEAD:8265", "--address"
            ) from None

    def submit(self, study: Study, out: str = "", blocks: Sequence[Path] = (), resume: bool = False) -> str:
        """Send the study whole (its spaces and profiles are in it), files of a person's own `blocks`, and this package;
        the job's id."""
        with process_folder("scalesearch-submit") as folder:
            package, sent = folder / "package" / MARK, folder / "job"
            shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
            sent.mkdir()
            save_text(dump(study.document), sent / "study.yaml")
            for number, path in enumerate(blocks):
                shutil.copy(path, sent / f"blocks{number}.py")
            own = "".join(f" --blocks blocks{number}.py" for number in range(len(blocks)))
            shell_name = re.sub(r"[^A-Za-z0-9_.-]+", "-", study.name)  # a shell reads it
            out = out or f"{HOME}/{shell_name}-{time.strftime('%Y%m%d-%H%M%S')}"
            command = f'python -m scalesearch{own} run study.yaml --address auto --out "{out}"'
            environment = {
                "working_dir": str(sent),
                "py_modules": [str(package)],
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOPPING), "PYTHONUNBUFFERED": "1"},
            }
            return self._send(
                command + " --resume" * resume, environment, {MARK: "run", "study": study.name, "out": out}
            )

    def _send(self, command: str, environment: PlainDict, metadata: dict[str, str]) -> str:
        """The job's id. A cluster that has only just started takes a while to have somebody who takes jobs."""
        deadline = time.monotonic() + STARTING
        while True:
            try:
                return cast(str, self.client.submit_job(entrypoint=command, runtime_env=environment, metadata=metadata))
            except RuntimeError as error:
                if NOBODY_YET not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(LOOK)

    def all(self) -> list[Submitted]:
        """Ours, the newest first."""
        ours = [_submitted(info) for info in self.client.list_jobs() if MARK in (info.metadata or {})]
        return sorted(ours, key=lambda job: job.started or 0.0, reverse=True)

    def one(self, job: str) -> Submitted:
        """Raises `InputError` for a job that is not ours, with those that are."""
        ours = {one.job: one for one in self.all()}
        if job not in ours:
            names = ", ".join(ours) or "none yet"
            raise InputError(f"there is no such study at {self.address}; takes {names}", job)
        return ours[job]

    def follow(self, job: str) -> Iterator[str]:
        """What the job says, line by line, from its beginning to its end."""
        printed = 0
        while True:
            ended = str(self.client.get_job_status(job).value) in ENDED
            logs = self.client.get_job_logs(job)
            end = len(logs) if ended else logs.rfind("\n") + 1
            yield from logs[printed:end].splitlines()
            printed = max(printed, end)
            if ended:
                return
            time.sleep(LOOK)

    def stop(self, job: str) -> None:
        """Ask the job to save itself and end, and wait until it has."""
        self.client.stop_job(job)
        while self.one(job).status not in ENDED:
            time.sleep(LOOK)

    def fetch(self, job: str, to: Path) -> None:
        """Bring the job's run folder home, as it is now. Raises `WorkFailed` where there is nothing to bring."""
        submitted = self.one(job)
        environment = dict(self.client.get_job_info(job).runtime_env or {})
        command = f'python -m {archive.__name__} "{submitted.out}"'
        courier = self._send(command, environment, {"carries": job})
        lines = list(self.follow(courier))
        self.client.delete_job(courier)
        archive.unpack(lines, to, f"{job} has left nothing in {submitted.out} yet")


def _submitted(info: Any) -> Submitted:
    started = info.start_time / 1000 if info.start_time else None
    ended = info.end_time / 1000 if info.end_time else time.time()
    return Submitted(
        info.submission_id,
        info.metadata.get("study", ""),
        info.metadata.get("out", ""),
        str(info.status.value),
        started,
        round(ended - started, 1) if started else None,
    )


def check_ended_well(job: Submitted) -> None:
    """Raises `WorkFailed` for a job that did not succeed."""
    if job.status != "SUCCEEDED":
        raise WorkFailed(f"{job.job} {job.status.lower()}; what it finished is in {job.out} on the cluster")
