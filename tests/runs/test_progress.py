"""The time left goes by the pace of trainings like those that are left, and by how many run side by side."""

from __future__ import annotations

from random import Random

import pytest
from driving import outcome_of, write_study

from scalesearch.runs import ProgressDisplay
from scalesearch.runs.progress import GROWTH
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.trials import Event
from scalesearch.trials.job import Job
from scalesearch.trials.log import TrialLog

SLOTS = 2


@pytest.fixture(params=[1.0, 3.0])
def played(request, tmp_path, monkeypatch):
    """A study on a clock of its own: after each trial the time left as said, and as it was.

    The hand-built networks take `request.param` times as long as networks of the space with as many MACs.
    """
    monkeypatch.setattr("scalesearch.runs.progress.cores", lambda: SLOTS)
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    study = load_study(write_study(tmp_path, parallel=1))
    display, said = ProgressDisplay(study), []
    driver = Driver(study, TrialLog(tmp_path / "log.jsonl"), display, lambda: clock[0])
    running: list[tuple[float, Job, float]] = []
    rng, job = Random(0), driver.next()
    while job is not None or running:
        while isinstance(job, Job) and len(running) < SLOTS:
            kind = request.param if job.step == "compare" else 1.0
            seconds = kind * 1e-4 * job.cost["macs"] ** GROWTH * rng.uniform(0.9, 1.1)
            driver.notify(Event("started", job.step, job))
            running.append((clock[0] + seconds, job, seconds))
            job = driver.next()
        running.sort(key=lambda entry: entry[0])
        clock[0], ended, seconds = running.pop(0)
        driver.finish(ended, outcome_of(ended) | {"seconds": seconds})
        said.append((clock[0], display.seconds_left, ended.step, display._remaining()))
        if not isinstance(job, Job):
            job = driver.next()
    return [(left, clock[0] - now, step, text) for now, left, step, text in said]


def test_time_left_is_about_right_once_a_kind_of_network_was_seen(played, request):
    """Of a kind that trains three times as slowly nothing is known until the first of it has ended."""
    alike = request.node.callspec.params["played"] == 1.0
    known = [(left, true) for left, true, step, _ in played if alike or step == "compare"]
    assert len(known) > 3
    assert all(0.6 < left / true < 1.6 for left, true in known if true > 30)


def test_nothing_is_left_at_the_end(played):
    *_, (left, true, _, text) = played
    assert left == true == 0
    assert text == ""
