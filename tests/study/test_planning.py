"""A budget of hours: planned by the pace that is measured, kept, and the forecast scored."""

from __future__ import annotations

import heapq
from random import Random

import pytest
from driving import outcome_of, write_study
from helpers import refused

from scalesearch.errors import WorkFailed
from scalesearch.study.driver import Driver
from scalesearch.study.planning import forecasts
from scalesearch.study.reading import load_study
from scalesearch.trials.job import Job
from scalesearch.trials.log import TrialLog


def played(study, log, workers=3, stop_after=10**9):
    """The study on a machine that takes five seconds a training and the more an epoch the more a network counts, give
    or take a tenth; its driver."""
    now, dice = [max((t.at for t in log), default=0.0)], Random(1)
    driver = Driver(study, log, clock=lambda: now[0])
    running, ended = [], 0
    while ended < stop_after:
        while len(running) < workers and isinstance(job := driver.next(), Job):
            epoch = 0.5 + 3e-6 * job.cost["macs"] + 1e-5 * job.cost["acts"]
            took = (5 + job.until * epoch) * dice.uniform(0.9, 1.1)
            heapq.heappush(running, (now[0] + took, ended + len(running), job, took))
        if not running:
            return driver
        now[0], _, job, took = heapq.heappop(running)
        history = [{"epoch": i + 1, "train_loss": 1.0} for i in range(job.until)]
        driver.finish(job, outcome_of(job) | {"seconds": took, "history": history})
        ended += 1
    return driver


def asked(folder, hours, **changes):
    return load_study(write_study(folder, budget={"macs": 700_000, "hours": hours}, recipe={"epochs": 4}, **changes))


@pytest.mark.parametrize("hours, workers", [(1, 3), (5, 3), (20, 8), (3, 1)])
def test_a_run_takes_the_hours_that_it_has(hours, workers, tmp_path):
    study = asked(tmp_path, hours)
    driver = played(study, TrialLog(), workers)
    took = max(t.at for t in driver.log) / 3600
    assert took == pytest.approx(hours, rel=0.1)
    assert driver.finished
    payload = forecasts(study, driver.log)
    assert [f.before for f in payload] == ["base", "scale", "family"]
    assert all(f.seconds == pytest.approx(f.took, rel=0.15) for f in payload)
    assert any(f"{hours} h were asked for and" in note for step in study.steps for note in step.notes(driver))


def test_the_plan_is_the_same_after_a_resume(tmp_path):
    study = asked(tmp_path, 2)
    whole = played(study, TrialLog())
    path = tmp_path / "trials.jsonl"
    for _ in range(4):
        played(study, TrialLog(path), stop_after=17)
    again = Driver(study, TrialLog(path))
    for trial in TrialLog(path):
        assert trial.fidelity["epochs"] == whole.log.trials[trial.key].fidelity["epochs"] or trial.step != "base"
    assert again.study.training.recipe == Driver(study, again.log).study.training.recipe


def test_fewer_hours_than_the_least_takes_are_refused_as_soon_as_that_is_known(tmp_path):
    with pytest.raises(WorkFailed, match=r"the least that the study asks for takes about .* h, and budget.hours is 0"):
        played(asked(tmp_path, 0.1), TrialLog())


@pytest.mark.parametrize("hours", [-1, "soon", True, 10**9, [2]])
def test_no_hours(hours, tmp_path):
    path = write_study(tmp_path, budget={"macs": 700_000, "hours": hours})
    assert "budget.hours: takes a number of hours" in refused("check", str(path))


def test_epochs_are_planned_once(tmp_path):
    path = write_study(
        tmp_path, budget={"macs": 700_000, "hours": 1}, search={"trials": 4, "epochs": "auto"}, recipe={"epochs": 16}
    )
    assert "search.epochs: takes no auto beside budget.hours" in refused("check", str(path))
