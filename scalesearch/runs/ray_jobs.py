"""Studies as jobs on a Ray cluster, by Ray's Job Submission: submitted, listed, followed, stopped and fetched.

The second importer of ray beside `ray_tune.py`: the client of a dashboard, which starts no Ray here.
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
METADATA_KEY = "scalesearch"  # in the metadata that Ray keeps about our jobs
POLL_SECONDS = 1.0  # seconds between two checks of a job
START_TIMEOUT = 60.0  # seconds that a cluster may take to start
NO_AGENT_YET = "No available agent"  # its error meanwhile
STOP_TIMEOUT = 30  # seconds that a stopped job has to save itself; Ray's default is 3
END_STATUSES = ("SUCCEEDED", "FAILED", "STOPPED")
DEFAULT_FOLDER = "$HOME/scalesearch"  # on the head node, where runs are by default


@dataclass(frozen=True)
class SubmittedJob:
    """Describes a submitted study: its job's id, the study's name, the run's folder on the cluster, its
    status and its times.
    """

    job: str
    study: str
    out: str
    status: str
    started: float | None  # seconds since 1970
    seconds: float | None


@dataclass(frozen=True)
class ClusterJobs:
    """The studies that were submitted to one cluster, whose dashboard answers at `address`."""

    address: str
    client: Any

    @staticmethod
    def connect(address: str) -> ClusterJobs:
        """Returns the jobs of the cluster at `address`.

        Ray's own token authentication is honoured: `RAY_AUTH_MODE` and `RAY_AUTH_TOKEN` in the environment.

        Raises:
            InputError: If no dashboard answers there, or it wants a token.
        """
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray").setLevel(logging.CRITICAL)  # importing ray sets it
        try:
            return ClusterJobs(address, JobSubmissionClient(address))
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
        """Submits a study and returns the job's id.

        The study's document, which contains its spaces and profiles, is sent along with this package.

        Args:
            study: The study to be run.
            out: The run's folder on the cluster; a new one below the home folder of the head node by default.
            blocks: Python files with a user's own blocks.
            resume: Whether a run in that folder is resumed.
        """
        with process_folder("scalesearch-submit") as folder:
            package, job_folder = folder / "package" / METADATA_KEY, folder / "job"
            shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
            job_folder.mkdir()
            save_text(dump(study.document), job_folder / "study.yaml")
            for number, path in enumerate(blocks):
                shutil.copy(path, job_folder / f"blocks{number}.py")
            block_options = "".join(f" --blocks blocks{number}.py" for number in range(len(blocks)))
            shell_name = re.sub(r"[^A-Za-z0-9_.-]+", "-", study.name)  # a shell reads it
            out = out or f"{DEFAULT_FOLDER}/{shell_name}-{time.strftime('%Y%m%d-%H%M%S')}"
            command = f'python -m scalesearch{block_options} run study.yaml --address auto --out "{out}"'
            environment = {
                "working_dir": str(job_folder),
                "py_modules": [str(package)],
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_TIMEOUT), "PYTHONUNBUFFERED": "1"},
            }
            metadata = {METADATA_KEY: "run", "study": study.name, "out": out}
            return self._send(command + " --resume" * resume, environment, metadata)

    def _send(self, command: str, environment: PlainDict, metadata: dict[str, str]) -> str:
        """Returns the job's id; waits for a cluster that has only just started, whose agents take no jobs yet."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                return cast(str, self.client.submit_job(entrypoint=command, runtime_env=environment, metadata=metadata))
            except RuntimeError as error:
                if NO_AGENT_YET not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(POLL_SECONDS)

    def newest_first(self) -> list[SubmittedJob]:
        """Returns the submitted studies, the newest first."""
        jobs = [_submitted_job(info) for info in self.client.list_jobs() if METADATA_KEY in (info.metadata or {})]
        return sorted(jobs, key=lambda job: job.started or 0.0, reverse=True)

    def get(self, job: str) -> SubmittedJob:
        """Returns a submitted study by its job's id.

        Raises:
            InputError: If there is none with this id; the message names those that there are.
        """
        jobs = {submitted.job: submitted for submitted in self.newest_first()}
        if job not in jobs:
            names = ", ".join(jobs) or "none yet"
            raise InputError(f"there is no such study at {self.address}; takes {names}", job)
        return jobs[job]

    def follow(self, job: str) -> Iterator[str]:
        """Yields what a job prints, line by line, from its beginning to its end."""
        printed = 0
        while True:
            ended = str(self.client.get_job_status(job).value) in END_STATUSES
            logs = self.client.get_job_logs(job)
            end = len(logs) if ended else logs.rfind("\n") + 1
            yield from logs[printed:end].splitlines()
            printed = max(printed, end)
            if ended:
                return
            time.sleep(POLL_SECONDS)

    def stop(self, job: str) -> None:
        """Asks a job to save itself and end, and waits until it has ended."""
        self.client.stop_job(job)
        while self.get(job).status not in END_STATUSES:
            time.sleep(POLL_SECONDS)

    def fetch(self, job: str, folder: Path) -> None:
        """Copies a job's run folder, as it is now, into a folder of this machine.

        Raises:
            WorkFailed: If there is nothing to copy.
        """
        submitted = self.get(job)
        environment = dict(self.client.get_job_info(job).runtime_env or {})
        command = f'python -m {archive.__name__} "{submitted.out}"'
        fetch_job = self._send(command, environment, {"carries": job})
        lines = list(self.follow(fetch_job))
        self.client.delete_job(fetch_job)
        archive.unpack(lines, folder, f"{job} has left nothing in {submitted.out} yet")


def _submitted_job(info: Any) -> SubmittedJob:
    started = info.start_time / 1000 if info.start_time else None
    ended = info.end_time / 1000 if info.end_time else time.time()
    return SubmittedJob(
        info.submission_id,
        info.metadata.get("study", ""),
        info.metadata.get("out", ""),
        str(info.status.value),
        started,
        round(ended - started, 1) if started else None,
    )


def check_ended_well(job: SubmittedJob) -> None:
    """Raises `WorkFailed` for a job that did not succeed."""
    if job.status != "SUCCEEDED":
        raise WorkFailed(f"{job.job} {job.status.lower()}; what it finished is in {job.out} on the cluster")
