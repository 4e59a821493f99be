"""The driver's promise: the outcome depends on no timing and survives any kill."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from conftest import ROOT
from driving import drive, essence, write_study
from hypothesis import given, settings, strategies as st

from scalesearch.arch.expansion import expand
from scalesearch.counting.counts import cost
from scalesearch.errors import WorkFailed
from scalesearch.scaling.closed_loop import PRESETS
from scalesearch.space.schema import arch_from_dict
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.study.steps import family, finalists, hand_built, scale
from scalesearch.trials.log import TrialLog


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(write_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    return essence(drive(study, tmp_path_factory.mktemp("run") / "trials.jsonl", Random(0)))


@given(order=st.integers(0, 1000), workers=st.integers(1, 6))
@settings(max_examples=15)
def test_outcome_depends_neither_on_workers_nor_on_order(study, whole, tmp_path_factory, order, workers):
    log = drive(study, tmp_path_factory.mktemp("run") / "trials.jsonl", Random(order), workers)
    assert essence(log) == whole


@pytest.mark.parametrize("tail", ["", '{"step": "base", "num'], ids=["clean", "cut line"])
@pytest.mark.parametrize("stop", [1, 5, 11, 12, 14, 19, 20, 24, 28])
def test_stopped_anywhere_and_gone_on_it_ends_the_same(study, whole, tmp_path, stop, tail):
    path = tmp_path / "trials.jsonl"
    drive(study, path, Random(stop), stop_after=stop)
    with open(path, "a") as file:
        file.write(tail)
    log = drive(study, path, Random(stop + 1))
    assert essence(log) == whole == essence(TrialLog(path))
    assert len(path.read_text().splitlines()) == 1 + len(whole)


def test_scaling_trials_are_on_budget_and_hold_the_presets(study, whole, tmp_path):
    log = drive(study, tmp_path / "trials.jsonl", Random(0))
    driver = Driver(study, log)
    networks = {t.network for t in log.of("scale")}
    base = cost(arch_from_dict(driver.best("base").arch)).macs
    for name in ("efficientnet", "depth", "width", "resolution"):
        assert expand(scale.preset_networks(driver)[name].arch).digest in networks
    always = {(PRESETS[n].depth, PRESETS[n].width) for n in ("efficientnet", "depth", "width", "resolution")}
    for trial in log.of("scale"):
        assert abs(trial.cost["macs"] / (2 * base) - 1) <= 0.3 or tuple(trial.decisions.values()) in always
    for phi, member in family.members(driver).items():
        assert member.target == round(base * 2**phi)
        assert phi or member.macs == base


def test_what_is_concluded_follows_the_log(study, tmp_path):
    """Though it is remembered: a trial that goes on takes the place of its own line, and one may be taken back."""
    driver = Driver(study, drive(study, tmp_path / "trials.jsonl", Random(0)))
    first = driver.best("base")
    assert finalists.base_of(driver) is first is driver.best("base")
    driver.log.append(replace(first, scores={"val_accuracy": -1.0}))
    second = driver.best("base")
    assert finalists.base_of(driver) is second is not first
    assert len(driver.log.of("base")) == 12
    driver.log.forget(second)
    assert second not in driver.log.of("base")
    assert driver.best("base") is finalists.base_of(driver) is not second


def test_a_searched_out_space_ends_the_search(tmp_path):
    study = load_study(write_study(tmp_path), {"search.trials": 10_000, "budget.macs": 400_000})
    log = drive(study, tmp_path / "trials.jsonl", Random(0))
    space = study.adapted_space
    inside = {expand(space.at(d)).digest for d in space if cost(space.at(d)).macs <= 400_000}
    assert {t.network for t in log.of("base")} == inside


@pytest.mark.parametrize(
    "trials, message",
    [
        (12, "none of the 12 trials of the base search came to the end of its training: the loss became nan"),
        (40, "all 10 trials of the base search failed: the loss became nan"),
    ],
)
def test_all_failing_is_said(tmp_path, trials, message):
    driver = Driver(load_study(write_study(tmp_path), {"search.trials": trials}), TrialLog(tmp_path / "trials.jsonl"))

    def fail_all():
        return [driver.finish(job, {"reason": "the loss became nan"}) for job in iter(driver.next, None)]

    with pytest.raises(WorkFailed, match=message):
        fail_all()


def test_repositorys_study_is_what_the_readme_says():
    study = load_study(ROOT / "studies" / "effnet_phi.yaml")
    assert len(study.options(hand_built.Options).networks) == 5
    assert study.options(family.Options).phi == (0, 1, 2, 3)
    assert study.options(scale.Options).tolerance == 0.02


def test_a_study_is_written_in_one_line(tmp_path):
    text = repr(load_study(write_study(tmp_path)))
    assert text.startswith("<Study 'study': networks of ")
    assert "on digits; budget macs ≤ 700,000; base, scale, family, compare>" in text
