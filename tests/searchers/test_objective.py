"""Searches by themselves: published tables, objectives that fail, logs that resume."""

from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest
from conftest import SHARED
from helpers import TINY_SPACE
from tabling import problem

from scalesearch.api.finding import search
from scalesearch.counting.counts import cost
from scalesearch.errors import InputError, WorkFailed
from scalesearch.searchers.problem import Past
from scalesearch.searchers.proposal import ask
from scalesearch.searchers.registry import SEARCHERS, check_searcher
from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import parse_bound, read_table
from scalesearch.space.schema import space_from_dict
from scalesearch.trials.log import TrialLog

NAS = SHARED / "data" / "nas"


@pytest.mark.parametrize("name", SEARCHERS)
class TestEverySearcherOnATable:
    def test_stays_inside_and_repeats_nothing(self, table, name):
        found = search(problem(table, bounds=dict([parse_bound("flops<=15")])), trials=25, with_=name, seed=1)
        assert len({r.identity for r in found.results}) == 25
        assert all(sum(r.decisions.values()) <= 5 for r in found.results)

    def test_ends_when_everything_was_asked_about(self, table, name):
        bounds = dict([parse_bound("flops<=11")])
        found = search(problem(table, bounds=bounds), trials=1_000, with_=name)
        assert found.exhausted
        assert len(found.results) == 5

    def test_resumes_by_replaying_its_log(self, table, name, tmp_path):
        options = {"trials": 14, "with_": name, "seed": 3}
        whole = search(problem(table), **options)
        log = tmp_path / "log.jsonl"
        search(problem(table), **options | {"trials": 9}, log=log)
        log.write_bytes(log.read_bytes() + b'{"number": 9, "dec')  # cut off by a kill
        assert search(problem(table), **options, log=log).results == whole.results
        assert len(log.read_text().splitlines()) == 15

    def test_survives_failing_trials(self, table, name):
        def fragile(decisions):
            if sum(decisions.values()) % 3 == 0:
                raise ArithmeticError("boom")
            return problem(table).measured_score(decisions)

        found = search(problem(table), fragile, trials=20, with_=name)
        assert len(found.results) == 20
        assert 0 < len(found.scored) < 20
        assert {r.reason for r in found.results if r.score is None} == {"ArithmeticError: boom"}

    def test_takes_several_objectives_or_says_that_it_does_not(self, table, name):
        if not SEARCHERS[name].several:
            with pytest.raises(InputError, match="takes one objective"):
                check_searcher(name, 2)
            return
        found = search(problem(table, objectives=["flops"]), trials=20, with_=name, objectives=["flops"])
        front = found.front
        assert all(a.costs < b.costs and a.score < b.score for a, b in itertools.pairwise(front))
        volumes = found.volumes()
        assert volumes == sorted(volumes)
        assert volumes[-1] > 0


def test_the_default_beats_the_others_where_there_is_structure(table):
    best = {
        name: np.mean([search(problem(table), trials=30, with_=name, seed=s).best.score for s in range(6)])
        for name in ("predictor", "random")
    }
    assert best["predictor"] == 10.0 > best["random"]


@pytest.mark.slow
@pytest.mark.skipif(not NAS.exists(), reason=f"needs whole tables, which are no part of the repository: {NAS}")
@pytest.mark.parametrize(
    "file, keys, column, final, bounds, queries, least",
    [
        ("nasbench201_cifar10.npz", "ops", "valid12", "test200", {}, 100, 94.2),
        ("nasbench_macro.npz", "arch", "test_acc", "test_acc", {}, 50, 93.10),
        ("nasbench_macro.npz", "arch", "test_acc", "test_acc", dict([parse_bound("flops<=60M")]), 100, 92.54),
    ],
)
def test_published_tables_are_searched_well(file, keys, column, final, bounds, queries, least):
    """A few seeds, as a guard; the figures over 300 seeds are in benchmarks/README.md."""
    table = read_table(NAS / file)
    outcome = table.column(final, "")
    tabular = TableProblem(table, [keys], column, numbers=["params", "flops"], bounds=bounds)
    found = [outcome[tabular.row(search(tabular, trials=queries, seed=seed).best.decisions)] for seed in range(4)]
    assert np.mean(found) >= least


def test_bad_scores_are_failures_and_a_broken_objective_is_said():
    space = space_from_dict(TINY_SPACE)
    answers = iter([0.5, math.nan, math.inf, None, "fine", -math.inf, 0.7] * 3)
    found = search(space, lambda arch: next(answers), trials=14, with_="random")
    assert [r.reason for r in found.results[:7]] == [
        "",
        "the score is nan",
        "the score is inf",
        "the objective gave no score",
        "the objective gave 'fine', which is no number",
        "the score is -inf",
        "",
    ]
    assert found.best.score == 0.7
    with pytest.raises(WorkFailed, match="all 10 trials failed: ZeroDivisionError"):
        search(space, lambda arch: 1 / 0, trials=14, with_="random")


def test_a_space_is_searched_inside_its_budget():
    space = space_from_dict(TINY_SPACE)
    found = search(space, lambda arch: cost(arch).params, trials=12, budget={"macs": "≤ 300k"}, objectives=["acts"])
    assert all(cost(space.at(r.decisions)).macs <= 300_000 for r in found.results)
    assert all(r.costs == (cost(space.at(r.decisions)).acts,) for r in found.results)
    with pytest.raises(InputError, match="nearest budget"):
        search(space, lambda arch: 0.0, trials=3, budget={"macs": "≤ 1k"})


def test_logs_of_other_searches_are_refused(table, tmp_path):
    log = tmp_path / "log.jsonl"
    search(problem(table), trials=3, with_="random", log=log)
    with pytest.raises(InputError, match='"seed" was 0, is 1'):
        search(problem(table), trials=3, with_="random", seed=1, log=log)
    for other in (
        problem(table, bounds=dict([parse_bound("flops<=14")])),
        TableProblem(read_table(table), ["ops"], "flops"),
    ):
        with pytest.raises(InputError, match="what is searched has changed"):
            search(other, trials=3, with_="random", log=log)
    for text, expected in (
        ("no log", "no log of trials"),
        ('{"search": 5}', "older format"),
        ("[]", "no log of trials"),
        ('{"step": "base", "number": 0}', "older format"),
        ('{"log": 3, "of": {}}', "of format 3, and this version writes 2"),
    ):
        log.write_text(f"{text}\n")
        with pytest.raises(InputError, match=expected):
            search(problem(table), trials=3, with_="random", log=log)
    log.write_text('{"log": 2, "of": {}}\n{}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:2: step: is missing"):
        TrialLog(log)


def test_a_log_of_another_space_is_refused(tmp_path):
    space, other = space_from_dict(TINY_SPACE), space_from_dict(TINY_SPACE | {"resolution": 64})
    assert list(space.decisions) == list(other.decisions)
    search(space, lambda arch: 1.0, trials=2, log=tmp_path / "l", with_="random")
    with pytest.raises(InputError, match="what is searched has changed"):
        search(other, lambda arch: 1.0, trials=4, log=tmp_path / "l", with_="random")


def test_a_mended_objective_goes_on(tmp_path):
    space = space_from_dict(TINY_SPACE)
    with pytest.raises(WorkFailed):
        search(space, lambda arch: 1 / 0, trials=20, log=tmp_path / "l", with_="random")
    assert len(search(space, lambda arch: 1.0, trials=20, log=tmp_path / "l", with_="random").scored) == 10


def test_an_objective_may_do_with_its_decisions_what_it_likes(table, tmp_path):
    def spoilt(decisions):
        return float(decisions.pop("ops.0"))

    found = search(problem(table), spoilt, trials=4, log=tmp_path / "l", with_="random")
    assert all(set(r.decisions) == {f"ops.{i}" for i in range(4)} for r in found.results)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "objective: needs a function"),
        ({"objective": abs, "objectives": ["flops"]}, 'objectives: unknown quantity "flops"'),
    ],
)
def test_faults_in_a_search_of_a_space(arguments, message):
    with pytest.raises(InputError, match=message):
        search(space_from_dict(TINY_SPACE), trials=3, **arguments)


def test_any_quantity_is_an_objective():
    """Memory, and latency where the budget names the device."""
    profile = {
        "version": 1,
        "device": "cpu",
        "threads": 1,
        "batch": 1,
        "blocks": {"a": {"kind": "conv", "seconds": 1e-3, "features": [1, 2, 3]}},
    }
    space, budget = space_from_dict(TINY_SPACE), {"latency": "9s", "device": profile}
    found = search(
        space, lambda arch: cost(arch).params, trials=3, budget=budget, objectives=["memory", "latency"], with_="random"
    )
    assert all(memory > 0 and latency > 0 for memory, latency in (r.costs for r in found.results))
    with pytest.raises(InputError, match="objectives: latency needs"):
        search(space, lambda arch: 1.0, trials=3, objectives=["latency"])


def test_faults_in_a_search_of_a_table(table):
    with pytest.raises(InputError, match="objectives: are flops, and of what is searched none"):
        search(problem(table), trials=3, objectives=["flops"])
    with pytest.raises(InputError, match="budget: is for spaces"):
        search(problem(table), trials=3, budget={"flops": 3})
    with pytest.raises(InputError, match="takes one objective"):
        search(problem(table, objectives=["flops"]), trials=3, objectives=["flops"], with_="cmaes")


def test_the_searcher_is_quick():
    """Asking stays cheap with a thousand results; the measured times are in benchmarks/README.md."""
    import time

    space = space_from_dict(TINY_SPACE)
    rows = list(space)
    from scalesearch.budget.bounds import Budget
    from scalesearch.searchers.space_problem import SpaceProblem

    tiny = SpaceProblem(space, Budget())
    past = Past([(rows[i % len(rows)], math.sin(i)) for i in range(1_000)])
    ask(tiny, "predictor", past, Random(0), set())
    start = time.perf_counter()
    ask(tiny, "predictor", past, Random(1), set())
    assert time.perf_counter() - start < 2
