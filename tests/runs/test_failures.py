"""What a process that dies while doing a job leaves, on the same machine and on another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scalesearch.runs.failures import failure_reason
from scalesearch.runs.mirror import Mirror
from scalesearch.trials import Job, Place

JOB = Job("base", 3, "base-003", "digest", {}, 0)
# a worker on a machine of its own, whose job ends as it is told
WORKER = """
import ctypes, os, sys, time
from scalesearch.runs.worker import Worker
from scalesearch.trials import Job, Place, Progress, Score

class Deadly:
    score, in_process = Score("x"), False
    def fidelity(self, job):
        return {"seed": job.seed}
    def evaluate(self, job, place):
        yield Progress({"epoch": 1})
        {"segfault": lambda: ctypes.string_at(0), "hang": lambda: time.sleep(60), "kill": lambda: os._exit(9),
         "well": lambda: None}[sys.argv[2]]()
        yield Progress(outcome={"scores": {"x": 1.0}})

worker = Worker(Deadly(), Place(store=sys.argv[1], timeout=2.0 if sys.argv[2] == "hang" else None), {})
worker.take(Job("base", 3, "base-003", "digest", {}, 0))
while not worker.step()["done"]:
    pass
"""


@pytest.mark.parametrize(
    "end, reason",
    [
        ("segfault", "the process died: segmentation fault, at File"),
        ("hang", "it took longer than trial_timeout, at File"),
        ("kill", ""),
    ],
)
def test_what_a_dying_worker_wrote_reaches_a_driver_on_another_machine(end, reason, tmp_path, monkeypatch):
    store = f"file://{tmp_path / 'store'}"
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "theirs"))
    ended = subprocess.run([sys.executable, "-c", WORKER, store, end], capture_output=True, timeout=60, check=False)
    assert ended.returncode != 0
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "ours"))
    mirror = Mirror(store)
    place = Place(mirror.folder, store=store)
    assert not place.failure_note(JOB.key).exists()
    assert failure_reason(JOB, place).startswith(reason)
    assert not mirror.has(place.failure_note(JOB.key).relative_to(mirror.folder).as_posix())  # told once


def test_a_job_that_ends_well_leaves_no_note(tmp_path, monkeypatch):
    store = f"file://{tmp_path / 'store'}"
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "theirs"))
    monkeypatch.setattr("scalesearch.runs.failures.PATIENCE", 1.0)
    subprocess.run([sys.executable, "-c", WORKER, store, "well"], capture_output=True, timeout=60, check=True)
    mirror = Mirror(store, tmp_path / "ours")
    assert failure_reason(JOB, Place(mirror.folder, store=store)) == ""
    assert not list((tmp_path / "store").rglob("*.died"))
