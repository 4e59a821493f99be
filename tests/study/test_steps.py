"""The steps through a whole study: rungs, controls, finalists, transfers, and what they conclude."""

from __future__ import annotations

import json
import math
from random import Random

import pytest
from driving import FULL, drive, essence, outcome_of, scored, write_study

from scalesearch import zoo
from scalesearch.arch.adapting import adapt
from scalesearch.counting.counts import cost
from scalesearch.errors import InputError, WorkFailed
from scalesearch.space.schema import arch_from_dict
from scalesearch.study.document import document_difference
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.study.steps import base as base_step, finalists, random_control, transfer
from scalesearch.trials.job import Job
from scalesearch.trials.log import TrialLog
from scalesearch.trials.recipe import PROXIES
from scalesearch.trials.trial import comparable_trials


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    study = load_study(write_study(folder, **FULL))
    return study, drive(study, folder / "trials.jsonl", Random(0), outcome=scored)


def test_the_steps_of_a_full_study(full):
    study, log = full
    assert base_step.rungs(study) == (1, 3, 9)
    assert len(log.of("screen")) == 6
    base = log.of("base")
    by_rung = [sum(t.rung == r for t in base) for r in range(3)]
    assert by_rung[0] == 14
    assert 14 // 3 <= by_rung[1] < 14
    assert 1 <= by_rung[2] < by_rung[1]
    assert len(log.of("finalists")) == 3 * min(2, by_rung[2])
    assert {t.fidelity["seed"] for t in log.of("finalists")} == {0, 1, 2}
    assert len(log.of("transfer")) == 4
    assert all(t.decisions["phi"] == 2 for t in log.of("transfer"))
    assert all(t.fidelity["resolution"] == t.arch["resolution"] for t in log)


def test_early_trials_never_look_final(full):
    study, log = full
    driver = Driver(study, log)
    early = [t for t in log.of("base") if t.early]
    assert early
    assert driver.best("base") not in early
    assert finalists.base_of(driver) not in early
    levels = {t.level for t in comparable_trials(log.of("base"), study.evaluator.score)}
    assert len(levels) == 1
    assert levels.pop()[:2] == (9, 9)
    assert all(t.fidelity["epochs"] < t.fidelity["of"] == 9 for t in early)


def test_halving_survives_any_kill_and_any_order(full, tmp_path):
    study, log = full
    for stop in (3, 9, 17, 25, 29):
        path = tmp_path / f"{stop}.jsonl"
        drive(study, path, Random(stop), workers=1 + stop % 4, stop_after=stop, outcome=scored)
        assert essence(drive(study, path, Random(stop + 1), outcome=scored)) == essence(log)


def test_with_too_few_to_halve_somebody_comes_to_the_end(tmp_path):
    study = load_study(write_study(tmp_path, **FULL), {"search.trials": 2})
    log = drive(study, tmp_path / "trials.jsonl", Random(0), outcome=scored)
    assert [t.rung for t in log.of("base")].count(2) == 1


@pytest.mark.parametrize("trials", [6, 12])
def test_where_the_first_to_come_to_the_end_fails_the_next_best_comes(tmp_path, trials):
    study = load_study(
        write_study(tmp_path, search={"with": "random", "trials": trials, "epochs": 9, "scheduler": {"with": "asha"}})
    )
    lost = []

    def outcome(job):
        if job.until == 9 and not lost:
            lost.append(job.name)
            return {"reason": "the worker died"}
        return scored(job)

    log = drive(study, tmp_path / "trials.jsonl", Random(0), outcome=outcome)
    assert lost
    assert Driver(study, log).best("base").state == "done"
    with pytest.raises(WorkFailed, match=r"none of the .* came to the end of its training: nan"):
        drive(
            study,
            tmp_path / "all.jsonl",
            Random(0),
            outcome=lambda job: {"reason": "nan"} if job.until == 9 else scored(job),
        )


def test_finalists_alone_of_what_is_searched_are_scored_on_the_test_split(tmp_path):
    study, final = load_study(write_study(tmp_path, finalists={"top": 2, "seeds": [0, 1]})), set()
    log = drive(
        study,
        tmp_path / "trials.jsonl",
        Random(0),
        outcome=lambda job: final.add((job.step, job.final)) or outcome_of(job),
    )
    assert final == {("base", False), ("finalists", True), ("scale", False), ("family", True), ("compare", True)}
    assert len(log.of("finalists")) == 4


def test_a_network_keeps_its_parent_and_is_compared_with_such_as_have_one(full, tmp_path):
    study, log = full
    parents = {}
    for trial in log.of("base"):
        assert parents.setdefault(trial.candidate, trial.fidelity["parent"]) == trial.fidelity["parent"]
    study = load_study(
        write_study(
            tmp_path, search={"with": "random", "trials": 12, "inherit": True}, finalists={"top": 3, "seeds": [0]}
        )
    )

    def favoured(job):
        return (output := outcome_of(job)) | (
            {} if job.parent else {"scores": {**output["scores"], "val_accuracy": 0.99}}
        )

    driver = Driver(study, drive(study, tmp_path / "trials.jsonl", Random(0), outcome=favoured))
    assert {bool(t.fidelity["parent"]) for t in driver.log.of("base")} == {True, False}
    assert driver.best("base").fidelity["parent"]
    assert all(f.searched < 0.99 for f in finalists.finalists(driver))


def test_a_parent_whose_weights_are_gone_is_no_parent(full, tmp_path):
    study, log = full
    child = next(t for t in log.of("base") if t.fidelity["parent"])
    job = Job(
        "base",
        child.number,
        child.name,
        child.network,
        child.decisions,
        0,
        arch_from_dict(child.arch),
        recipe=study.recipe_of("base"),
        until=9,
        of=9,
        parent="base-000",
    )
    trial = Driver(study, TrialLog(tmp_path / "trials.jsonl")).finish(job, scored(job) | {"inherited": 0.0})
    assert trial.state == "failed"
    assert "nothing was inherited from base-000" in trial.reason


@pytest.mark.parametrize(
    "output, reason",
    [
        ({"scores": {"val_accuracy": math.nan}}, "val_accuracy is nan"),
        ({"scores": {"val_accuracy": math.inf}}, "val_accuracy is inf"),
        ({"scores": {}}, "gave no score"),
        ({}, "gave no score"),
        ({"scores": None}, "gave no score"),
        ({"reason": "boom"}, "boom"),
        ({"scores": {"val_accuracy": 0.5}, "network": "0" * 16}, "another network was trained"),
        ({"scores": {"val_accuracy": 0.5}, "recipe": "0" * 16}, "another recipe was used"),
    ],
)
def test_outcomes_that_are_none_are_failures_with_a_reason(tmp_path, output, reason):
    study = load_study(write_study(tmp_path))
    driver = Driver(study, TrialLog(tmp_path / "trials.jsonl"))
    trial = driver.finish(driver.next(), output)
    assert trial.state == "failed"
    assert reason in trial.reason
    assert not trial.scores
    _, line = (tmp_path / "trials.jsonl").read_text().splitlines()
    json.loads(line, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))


def test_findings_of_a_full_study(full):
    study, log = full
    driver = Driver(study, log)
    names = {p["name"] for p in base_step.proxies(driver)}
    assert names == {*PROXIES, "params", "macs"}
    found = finalists.finalists(driver)
    assert {f.seeds for f in found} == {3}
    assert found[0].chosen
    assert not any(f.chosen for f in found[1:])
    assert transfer.transfers(driver)[0].ranks.pairs == 4
    volumes = [v for _, v in base_step.front_volumes(driver)]
    assert volumes == sorted(volumes)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"search": {"scheduler": {"with": "ahsa"}}},
            'search.scheduler.with: unknown scheduler "ahsa".*Did you mean "asha"',
        ),
        ({"search": {"scheduler": {"etta": 2}}}, 'search.scheduler.etta: unknown key.*Did you mean "eta"'),
        ({"search": {"objective": ["macs"]}}, "search.objective: must hold accuracy"),
        ({"search": {"objective": ["accuracy", "latency"]}}, "search.objective: latency needs"),
        ({"search": {"objective": ["accuracy", "mac"]}}, r'search.objective\[1\]: unknown objective "mac"'),
        ({"search": {"with": "cmaes", "objective": ["accuracy", "macs"]}}, "takes one objective"),
        ({"search": {"proxies": ["zenn"]}}, 'unknown proxy "zenn"'),
        ({"search": {"screen": 4, "proxies": []}}, "search.screen: needs proxies"),
        ({"scale": {"phi": [2]}}, "scale.phi: must hold 1"),
        ({"finalists": {"top": 2, "seeds": []}}, "finalists.seeds"),
        ({"budget": {"macs": "2x resnet19 ± 2%"}}, 'budget.macs: unknown network "resnet19"'),
        ({"budget": {"latency": "5ms"}}, "budget.latency: needs"),
        ({"budget": {"latency": "5ms", "device": "none.json"}}, "cannot be read"),
        ({"scale": {"budget": {"actts": 1}}}, "scale.budget.actts: unknown quantity"),
        ({"scale": {"budget": {"acts": "2x bse"}}}, 'scale.budget.acts: unknown network "bse"'),
    ],
)
def test_faults_in_these_options_are_located(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        load_study(write_study(tmp_path, **changes))
    assert str(tmp_path) in str(caught.value) or "none.json" in str(caught.value)


def test_a_budget_may_be_relative_to_a_network_people_know(tmp_path):
    study = load_study(write_study(tmp_path, budget={"macs": "≤ 0.01x resnet18"}))
    resnet = adapt(zoo.model("resnet18"), resolution=16, classes=10, channels=1)
    assert study.budget.bounds["macs"].high == pytest.approx(0.01 * cost(resnet).macs)


def test_scaling_keeps_to_a_budget_relative_to_its_base(tmp_path):
    study = load_study(write_study(tmp_path, scale={"trials": 8, "tolerance": 0.3, "budget": {"acts": "≤ 1.6x base"}}))
    log = drive(study, tmp_path / "trials.jsonl", Random(0))
    driver = Driver(study, log)
    assert log.of("scale")
    assert all(t.cost["acts"] <= 1.6 * finalists.base_of(driver).cost["acts"] for t in log.of("scale"))
    study = load_study(write_study(tmp_path, scale={"trials": 8, "tolerance": 0.3, "budget": {"acts": "≤ 0.1x base"}}))
    with pytest.raises(WorkFailed, match=r"scale.budget: none of the .* networks near φ = 1 has acts ≤"):
        drive(study, tmp_path / "none.jsonl", Random(0))


def test_a_run_of_another_budget_is_told_apart(tmp_path):
    a, b = (load_study(write_study(tmp_path), {"budget.macs": m}).document for m in (600_000, 700_000))
    assert document_difference(a, b) == "budget.macs was 600000, is 700000"


def test_random_networks_are_a_control_of_the_search_at_its_own_fidelity(tmp_path):
    changes = {"search": {"with": "evolution", "trials": 9, "epochs": 2}, "finalists": {"top": 2, "seeds": [0, 1]}}
    study = load_study(write_study(tmp_path, **changes, control={}, recipe={"epochs": 5}))
    log = drive(study, tmp_path / "trials.jsonl", Random(0), outcome=scored)
    drawn, again = log.of("random"), log.of("random finalists")
    assert len({t.network for t in drawn}) == len(drawn) == 9
    assert all(t.cost["macs"] <= 700_000 for t in drawn)
    assert {t.fidelity["epochs"] for t in drawn} == {t.fidelity["epochs"] for t in log.of("base")} == {2}
    assert {t.fidelity["epochs"] for t in again} == {t.fidelity["epochs"] for t in log.of("finalists")} == {5}
    by_score = sorted(drawn, key=lambda t: -t.scores["val_accuracy"])
    assert {t.candidate for t in again} == {by_score[i].candidate for i in (0, 1, 4)}
    found = random_control.random_control(Driver(study, log))

    def score(step, candidates):
        return max(t.scores["val_accuracy"] for t in log.of(step) if t.candidate in candidates)

    median = score("random finalists", [by_score[4].candidate])
    best, lucky = score("finalists", range(9)), score("random finalists", range(9))
    assert (found.drawn, found.tried, found.searched.score) == (9, 9, pytest.approx(best))
    assert found.difference == pytest.approx(best - lucky)
    assert found.improvement == pytest.approx(best / median - 1)
    assert found.random_improvement == pytest.approx(lucky / median - 1)
    assert "of 9 random networks of the same bounds" in random_control.RandomFinalists().notes(Driver(study, log))[0]


def test_the_control_survives_any_kill_and_trains_to_the_end_where_the_search_halves(tmp_path):
    path = write_study(tmp_path, **FULL, control={"random": 4})
    study = load_study(path)
    log = drive(study, tmp_path / "whole.jsonl", Random(0), outcome=scored)
    assert [t.fidelity["epochs"] for t in log.of("random")] == [9] * 4
    for stop in (25, 33, 41):
        drive(study, tmp_path / f"{stop}.jsonl", Random(stop), stop_after=stop, outcome=scored)
        assert essence(drive(study, tmp_path / f"{stop}.jsonl", Random(1), outcome=scored)) == essence(log)


def test_there_is_no_control_without_its_section_and_none_without_finalists(tmp_path):
    assert random_control.count(load_study(write_study(tmp_path))) == 0
    with pytest.raises(InputError, match=r"study.yaml:\d+: control: needs finalists"):
        load_study(write_study(tmp_path, control={"random": 3}))
    with pytest.raises(InputError, match=r"control\.random: must be at least 0"):
        load_study(write_study(tmp_path, control={"random": -1}, finalists={"top": 1}))
