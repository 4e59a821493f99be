"""Searches by themselves: published tables, objectives that fail, logs that resume; and what the searchers are built
of."""

from __future__ import annotations

import csv
import itertools
import json
import math
from random import Random

import numpy as np
import pytest
from conftest import SHARED
from helpers import TINY_SPACE
from hypothesis import given, strategies as st

from scalesearch import yamlfile
from scalesearch.counting.counts import cost
from scalesearch.errors import InputError, WorkFailed
from scalesearch.runs.folder import claimed
from scalesearch.runs.leaving import write_report
from scalesearch.runs.running import run
from scalesearch.searchers.asking import ask
from scalesearch.searchers.halving import Scheduler, modelled_rung, promotion
from scalesearch.searchers.log import TrialLog
from scalesearch.searchers.objective import search
from scalesearch.searchers.problem import Past
from scalesearch.searchers.table import SEARCHERS, check_searcher
from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import bound_of, read_table
from scalesearch.space.schema import space_from_dict
from scalesearch.statistics.correlations import correlation, interval, spearman, standard_error
from scalesearch.statistics.pareto import crowding, front_probability, hypervolume, ranks, volumes
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study

NAS = SHARED / "data" / "nas"


def score(row: tuple) -> float:
    """A landscape with interactions, its optimum at (3, 3, 3, 0)."""
    a, b, c, d = row
    return a + b + c - abs(a - b) - 0.5 * abs(b - c) - d * 0.3 + (a == b == c == 3)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "t.npz"
    rows = np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
    np.savez(path, ops=rows, acc=[score(tuple(r)) for r in rows], flops=10 + rows.sum(1),
             noise=np.full(len(rows), np.nan))
    return path


def problem(table, **options):
    return TableProblem(read_table(table), ["ops"], "acc", **{"numbers": ["flops"], **options})


@pytest.mark.parametrize("name", SEARCHERS)
class TestEverySearcherOnATable:
    def test_stays_inside_and_repeats_nothing(self, table, name):
        found = search(problem(table, bounds=dict([bound_of("flops<=15")])), trials=25, with_=name, seed=1)
        assert len({r.identity for r in found.results}) == 25
        assert all(sum(r.decisions.values()) <= 5 for r in found.results)

    def test_ends_when_everything_was_asked_about(self, table, name):
        bounds = dict([bound_of("flops<=11")])
        found = search(problem(table, bounds=bounds), trials=1_000, with_=name)
        assert found.exhausted and len(found.results) == 5

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
            return problem(table).measured(decisions)

        found = search(problem(table), fragile, trials=20, with_=name)
        assert len(found.results) == 20 and 0 < len(found.scored) < 20
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
        assert volumes == sorted(volumes) and volumes[-1] > 0


def test_the_default_beats_the_others_where_there_is_structure(table):
    best = {name: np.mean([search(problem(table), trials=30, with_=name, seed=s).best.score for s in range(6)])
            for name in ("predictor", "random")}
    assert best["predictor"] == 10.0 > best["random"]


@pytest.mark.skipif(not NAS.exists(), reason=f"{NAS} is not there")
@pytest.mark.parametrize("file, keys, column, final, bounds, queries, least", [
    ("nasbench201_cifar10.npz", "ops", "valid12", "test200", {}, 100, 94.2),
    ("nasbench_macro.npz", "arch", "test_acc", "test_acc", {}, 50, 93.10),
    ("nasbench_macro.npz", "arch", "test_acc", "test_acc", dict([bound_of("flops<=60M")]), 100, 92.54),
])
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
        "", "the score is nan", "the score is inf", "the objective gave no score",
        "the objective gave 'fine', which is no number",
        "the score is -inf", ""]
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
    for other in (problem(table, bounds=dict([bound_of("flops<=14")])),
                  TableProblem(read_table(table), ["ops"], "flops")):
        with pytest.raises(InputError, match="what is searched has changed"):
            search(other, trials=3, with_="random", log=log)
    for text, expected in (("no log", "no log of trials"), ('{"search": 5}', "older format"),
                           ("[]", "no log of trials"),
                           ('{"step": "base", "number": 0}', "older format"),
                           ('{"log": 3, "of": {}}', "of format 3, and this version writes 2")):
        log.write_text(f"{text}\n")
        with pytest.raises(InputError, match=expected):
            search(problem(table), trials=3, with_="random", log=log)
    log.write_text('{"log": 2, "of": {}}\n{}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:2: is no trial"):
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


@pytest.mark.parametrize("arguments, message", [
    ({}, "objective: needs a function"),
    ({"objective": abs, "objectives": ["flops"]}, 'objectives: unknown quantity "flops"'),
])
def test_faults_in_a_search_of_a_space(arguments, message):
    with pytest.raises(InputError, match=message):
        search(space_from_dict(TINY_SPACE), trials=3, **arguments)


def test_any_quantity_is_an_objective():
    """Memory, and latency where the budget names the device."""
    profile = {"version": 1, "device": "cpu", "threads": 1, "batch": 1,
               "blocks": {"a": {"kind": "conv", "seconds": 1e-3, "features": [1, 2, 3]}}}
    space, budget = space_from_dict(TINY_SPACE), {"latency": "9s", "device": profile}
    found = search(space, lambda arch: cost(arch).params, trials=3, budget=budget, objectives=["memory", "latency"],
                   with_="random")
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


# Tables with holes.

@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    """Some rows lack their flops, some their name, all their final score; `one` is the same in all."""
    path = tmp_path_factory.mktemp("holed") / "t.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "d", "acc", "flops", "final", "name", "one"])
        for i, row in enumerate(np.ndindex(4, 4, 4, 4)):
            writer.writerow([*row, score(row), "" if i % 3 else 10 + sum(row), "", "" if i % 2 else f"n{i}", 1])
    return path


def holed_study(holed, folder, search, **table):
    return load_study(write_study(folder, search={"trials": 25, **search}, seeds=[0], budget={}, table={
        "file": str(holed), "decisions": list("abcd"), "score": "acc", **table}))


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n
                                  for n in SEARCHERS if SEARCHERS[n].several])
def test_rows_without_a_cost_are_outside(holed, tmp_path, name):
    summary = run_table(holed_study(holed, tmp_path, {"with": name, "objective": ["flops"]}), tmp_path / "run")
    costs = [t.cost["flops"] for t in TrialLog(tmp_path / "run" / "trials.jsonl")]
    assert all(map(math.isfinite, costs)) and 0 < summary["rows"][0]["hypervolume share"] <= 1


def test_rows_without_a_number_a_name_or_a_final_score(holed, tmp_path):
    study = holed_study(holed, tmp_path, {}, numbers=["flops"], same="name", final="final")
    assert len(study.problem.rows) == 86 and len({study.problem.identity(study.problem.at_row(r))
                                                  for r in study.problem.rows}) == 86
    summary = run_table(study, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["mean"] is None and written["rows"][0]["final"] is None


def test_a_cost_that_is_always_the_same(holed, tmp_path):
    summary = run_table(holed_study(holed, tmp_path, {"objective": ["one"]}), tmp_path / "run")
    assert summary["rows"][0]["hypervolume share"] is None and summary["rows"][0]["hypervolume"] == 0


def test_lists_in_a_parquet_are_several_decisions(tmp_path):
    import pandas

    rows = list(np.ndindex(3, 3))
    pandas.DataFrame({"ops": [list(r) for r in rows], "acc": [float(sum(r))
                                                              for r in rows]}).to_parquet(tmp_path / "t.parquet")
    assert TableProblem(read_table(tmp_path / "t.parquet"), ["ops"], "acc").measured({"ops.0": 2, "ops.1": 1}) == 3.0


# Table studies.

def run_table(study, folder, resume=False):
    return run(study, folder, resume=resume).summary


STUDY = {"search": {"trials": 12, "objective": ["flops"]}, "budget": {"flops": "≤ 18"}, "seeds": [0, 1]}


def write_study(folder, **changes):
    path = folder / "study.yaml"
    path.write_text(yamlfile.dump(STUDY | changes))
    return path


def test_a_table_is_a_study(table, tmp_path):
    path = write_study(tmp_path, table={"file": str(table), "decisions": ["ops"], "score": "acc"})
    folder = tmp_path / "run"
    summary = run_table(load_study(path), folder)
    assert [row["queries"] for row in summary["rows"]] == [12, 12] and summary["interval"] >= 0
    assert {p.name for p in folder.iterdir()} == {
        "study.yaml", "run.lock", "trials.jsonl", "seconds.json", "summary.json", "trials.csv", "report.html"}
    with open(folder / "trials.csv") as file:
        assert len(list(csv.DictReader(file))) == 24
    with pytest.raises(InputError, match="--resume"):
        run_table(load_study(path), folder)
    again = run_table(load_study(path), folder, resume=True)
    assert {key: again[key] for key in summary if key != "seconds"} == {key: summary[key] for key in summary
                                                                        if key != "seconds"}
    written = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    write_report(Driver(load_study(folder / "study.yaml"), TrialLog(folder / "trials.jsonl", repair=False)), folder,
                 0.0)
    assert (folder / "report.html").read_text().count("plotly") == written.count("plotly")
    with pytest.raises(InputError, match=r"budget.flops was '≤ 18', is 17"):
        run_table(load_study(path, {"budget.flops": 17}), folder, resume=True)


def test_a_space_whose_decisions_are_columns(tmp_path):
    """A table in .csv of which a row is missing: that trial fails, named, and the others go on."""
    space = space_from_dict(TINY_SPACE)
    rows = list(space)
    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["acc", *space.decisions])
        writer.writeheader()
        writer.writerows({"acc": i / len(rows), **d} for i, d in enumerate(rows) if i % 2)
    path = write_study(tmp_path, space=TINY_SPACE, table={"file": "t.csv", "score": "acc"}, budget={"macs": "≤ 600k"},
                       search={"trials": 16, "with": "random"})
    folder = tmp_path / "run"
    summary = run_table(load_study(path), folder)
    assert 0 < summary["rows"][0]["failed"] < 16
    reasons = [t.reason for t in TrialLog(folder / "trials.jsonl")]
    assert any("no row of" in reason and "stages.0.depth" in reason for reason in reasons)


def test_one_search_at_a_time_in_a_folder(table, tmp_path):
    """Two that start together on a new folder: one runs, the other is refused, whoever comes first."""
    path = write_study(tmp_path, table={"file": str(table), "decisions": ["ops"], "score": "acc"})
    studies = [load_study(path, {"seeds": [seed]}) for seed in (0, 1)]
    with (claimed(tmp_path / "run", studies[0].document, False),
          pytest.raises(InputError, match="another run is at work")):
        run_table(studies[1], tmp_path / "run")
    assert yamlfile.read(tmp_path / "run" / "study.yaml").data["seeds"] == [0]


def test_a_table_that_changed_is_refused(table, tmp_path):
    copy = tmp_path / "t.npz"
    copy.write_bytes(table.read_bytes())
    path = write_study(tmp_path, table={"file": "t.npz", "decisions": ["ops"], "score": "acc"})
    run_table(load_study(path), tmp_path / "run")
    with np.load(table) as data:
        np.savez(copy, **{**data, "acc": data["acc"] + 1})
    with pytest.raises(InputError, match="what is searched has changed"):
        run_table(load_study(path), tmp_path / "run", resume=True)


@pytest.mark.parametrize("changes, line, message", [
    ({"table": {"file": "none.npz", "decisions": ["ops"], "score": "acc"}}, "", "cannot be read"),
    ({"table": {"file": "t.npz", "decisions": ["op"], "score": "acc"}}, "table.decisions|decisions",
     'unknown column "op".*Did you mean "ops"'),
    ({"table": {"file": "t.npz", "decisions": ["ops"], "score": "accuracy"}}, "table.score", "unknown column"),
    ({"table": {"file": "t.npz", "decisions": ["ops"]}}, "table", 'needs "score"'),
    ({"table": {"file": "t.npz", "score": "acc"}}, "table.decisions", "needs the columns"),
    ({"table": {"file": "t.pkl", "decisions": ["ops"], "score": "acc"}}, "table",
     "takes a file ending in .npz, .csv, .parquet"),
    ({"table": {"file": "t.npz", "decisions": ["ops"], "score": "acc", "same": "nme"}}, "table.same",
     'table.same: unknown column "nme"'),
    ({"table": {"file": "t.npz", "decisions": ["ops"], "score": "acc", "numbers": ["flips"]}}, "table.numbers",
     r"study.yaml:\d+: table.numbers"),
    ({"search": {"objective": ["acc"]}}, "search.objective", 'search.objective: holds the score "acc"'),
    ({"search": {"objective": ["flops", "flops"]}}, "search.objective", "stands there twice"),
    ({"search": {"objective": ["noise"]}}, "search.objective", "no row of"),
    ({"space": TINY_SPACE}, "table.decisions", "table.decisions: is told by the space"),
    ({"space": TINY_SPACE, "table": {"file": "t.npz", "score": "acc"}, "search": {"objective": ["flops"]}},
     "search.objective", 'unknown quantity "flops"'),
    ({"space": TINY_SPACE, "table": {"file": "t.npz", "score": "acc"}, "search": {}, "budget": {}}, "table.file",
     'lacks a column for the decision "stem'),
    ({"budget": {"flops": "≤ 1"}}, "budget.flops", "the nearest has flops: 10"),
    ({"budget": {"flips": 1}}, "budget.flips", 'unknown column "flips"'),
    ({"search": {"with": "predictr"}}, "search.with", 'Did you mean "predictor"'),
    ({"seeds": []}, "seeds", "at least one seed"),
])  # fmt: skip
def test_faults_in_a_table_study_are_located(table, tmp_path, changes, line, message):
    (tmp_path / "t.npz").write_bytes(table.read_bytes())
    path = write_study(tmp_path, **{"table": {"file": "t.npz", "decisions": ["ops"], "score": "acc"}} | changes)
    with pytest.raises(InputError, match=message) as caught:
        load_study(path)
    assert str(caught.value).startswith(str(tmp_path))


def test_damaged_tables_are_refused(tmp_path):
    for name, content in (("a.npz", b"PK\x03\x04nonsense"), ("b.csv", b""), ("c.parquet", b"PAR1"), ("d.npz", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"is no|unequal|cannot be read"):
            read_table(tmp_path / name)
    np.savez(tmp_path / "e.npz", a=[1, 2], b=[1, 2, 3])
    with pytest.raises(InputError, match="unequal length"):
        read_table(tmp_path / "e.npz")
    np.savez(tmp_path / "f.npz", a=np.array([{"x": 1}], dtype=object))  # objects would run code
    with pytest.raises(InputError):
        read_table(tmp_path / "f.npz")


# Halving.

@given(st.lists(st.floats(0, 1), min_size=3, max_size=40), st.integers(2, 4), st.integers(2, 4))
def test_halving_sends_on_the_best_share_once(scores, rungs, eta):
    entries = [(i, 0) for i in range(len(scores))]
    results = {entry: (value,) for entry, value in zip(entries, scores)}
    while (entry := promotion(entries, results, rungs, eta)) is not None:
        assert entry not in entries
        entries.append(entry)
        results[entry] = (scores[entry[0]],)
    for rung in range(1, rungs):
        there = [c for c, r in entries if r == rung]
        below = sorted((scores[c] for c, r in entries if r == rung - 1), reverse=True)
        assert len(there) == len(below) // eta
        assert all(scores[c] >= below[len(there) - 1] for c in there)


def test_failed_and_unknown_results_are_not_sent_on():
    entries = [(i, 0) for i in range(6)]
    results = {(0, 0): None, (1, 0): (0.9,), (2, 0): (0.1,), (3, 0): (0.2,)}
    assert promotion(entries, results, 2, 3) == (1, 0 + 1)
    assert promotion([*entries, (1, 1)], results, 2, 3) is None


def test_with_several_objectives_the_front_is_sent_on():
    entries = [(i, 0) for i in range(6)]
    points = [(0.9, -5.0), (0.5, -1.0), (0.4, -4.0), (0.3, -3.0), (0.2, -6.0), (0.1, -7.0)]
    results = dict(zip(entries, points))
    first = promotion(entries, results, 2, 3)
    assert {first[0], promotion([*entries, first], results, 2, 3)[0]} == {0, 1}


def test_searchers_learn_from_one_rung():
    results = {(i, 0): (0.1,) for i in range(12)} | {(i, 1): (0.5,) for i in range(4)}
    assert modelled_rung(results, 2, 10) == 0 and modelled_rung(results, 2, 4) == 1


def test_rungs_and_brackets():
    assert Scheduler("asha", 3, 1).rungs(9) == (1, 3, 9) and Scheduler("asha", 3, 2).rungs(10) == (2, 6, 10)
    assert Scheduler().rungs(7) == (7,)
    firsts = [Scheduler("hyperband", 3).first_rung(i, 3) for i in range(17)]
    # Li et al. 2018, n = ⌈(s_max+1)/(s+1)·η^s⌉
    assert firsts.count(0) == 9 and firsts.count(1) == 5 and firsts.count(2) == 3


# Fronts and intervals.

points = st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=10)


@given(points)
def test_hypervolume_is_the_share_of_cells_that_are_dominated(items):
    cells = sum(any(all(c < v for c, v in zip(cell, item)) for item in items)
                for cell in np.ndindex(6, 6, 6))
    assert hypervolume(items, (0, 0, 0)) == pytest.approx(cells)


@given(points, st.integers(1, 3))
def test_volumes_grow_to_the_whole(items, values):
    items = [item[:values] for item in items]
    found = volumes([None, *items], (0,) * values)
    assert found == [0.0, *(pytest.approx(hypervolume(items[: i + 1], (0,) * values)) for i in range(len(items)))]


def test_volumes_of_four_objectives_take_no_minutes():
    rng = np.random.default_rng(0)
    assert sorted(found := volumes(list(rng.normal(size=(200, 4))), (-4,) * 4)) == found


@given(points)
def test_ranks_of_two_values(items):
    test_ranks_peel_fronts_off.hypothesis.inner_test([item[:2] for item in items])


@given(points)
def test_ranks_peel_fronts_off(items):
    rank = ranks(items)
    beats = lambda a, b: all(x >= y for x, y in zip(a, b)) and a != b
    for i, item in enumerate(items):
        above = [rank[j] for j, other in enumerate(items) if beats(other, item)]
        assert rank[i] == (max(above) + 1 if above else 0)
    assert len(crowding(items)) == len(items)


def test_probability_of_being_on_the_front():
    costs, means = {"a": 1, "b": 2, "c": 3}, {"a": 0.5, "b": 0.5, "c": 0.9}
    sure = front_probability(costs, means, {"a": 1e-9, "b": 1e-9, "c": 1e-9})
    assert sure["a"] == 1.0 and sure["c"] == 1.0 and 0.4 < sure["b"] < 0.6  # a tie, told apart by nothing
    unsure = front_probability(costs, means, {"a": 0.1, "b": 0.1, "c": 1.0})
    assert unsure["a"] == 1.0 and 0.4 < unsure["b"] < 0.6 and 0.5 < unsure["c"] < 0.8


def test_correlations_and_intervals_are_the_textbooks():
    from scipy import stats

    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30)
    found = correlation(list(x), list(y))
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic) and found.low < found.value < found.high
    assert correlation([1, 2, 3], [1, 2, 3]).value is None and spearman([1, 1], [1, 2]) == 0
    values = [0.9, 0.91, 0.94]
    assert interval(values) == pytest.approx(stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))[1]
                                             - np.mean(values))
    assert interval([0.5]) is None
    assert standard_error([0.5], 100) == pytest.approx(0.05)


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
