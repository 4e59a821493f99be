"""Tables as studies: one log, holes in the columns, faults located."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from helpers import TINY_SPACE, invoke, refused
from tabling import score

from scalesearch import yamlfile
from scalesearch.errors import InputError, WorkFailed
from scalesearch.runs.artifacts import write_report
from scalesearch.runs.folder import claim_folder
from scalesearch.runs.running import run
from scalesearch.searchers.registry import SEARCHERS
from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import read_table
from scalesearch.space.schema import space_from_dict
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.trials.log import TrialLog


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
    return load_study(
        write_study(
            folder,
            search={"trials": 25, **search},
            seeds=[0],
            budget={},
            table={"file": str(holed), "decisions": list("abcd"), "score": "acc", **table},
        )
    )


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n for n in SEARCHERS if SEARCHERS[n].several]
)
def test_rows_without_a_cost_are_outside(holed, tmp_path, name):
    summary = run_table(holed_study(holed, tmp_path, {"with": name, "objective": ["flops"]}), tmp_path / "run")
    costs = [t.cost["flops"] for t in TrialLog(tmp_path / "run" / "trials.jsonl")]
    assert all(map(math.isfinite, costs))
    assert 0 < summary["rows"][0]["hypervolume share"] <= 1


def test_rows_without_a_number_a_name_or_a_final_score(holed, tmp_path):
    study = holed_study(holed, tmp_path, {}, numbers=["flops"], same="name", final="final")
    assert len(study.problem.rows) == 86
    assert len({study.problem.identity(study.problem.at_row(r)) for r in study.problem.rows}) == 86
    summary = run_table(study, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["mean"] is None
    assert written["rows"][0]["final"] is None


def test_a_cost_that_is_always_the_same(holed, tmp_path):
    summary = run_table(holed_study(holed, tmp_path, {"objective": ["one"]}), tmp_path / "run")
    assert summary["rows"][0]["hypervolume share"] is None
    assert summary["rows"][0]["hypervolume"] == 0


def test_lists_in_a_parquet_are_several_decisions(tmp_path):
    import pandas

    rows = list(np.ndindex(3, 3))
    pandas.DataFrame({"ops": [list(r) for r in rows], "acc": [float(sum(r)) for r in rows]}).to_parquet(
        tmp_path / "t.parquet"
    )
    assert (
        TableProblem(read_table(tmp_path / "t.parquet"), ["ops"], "acc").measured_score({"ops.0": 2, "ops.1": 1}) == 3.0
    )


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
    assert [row["queries"] for row in summary["rows"]] == [12, 12]
    assert summary["interval"] >= 0
    assert {p.name for p in folder.iterdir()} == {
        "study.yaml",
        "run.lock",
        "trials.jsonl",
        "spent.json",
        "summary.json",
        "trials.csv",
        "report.html",
    }
    with open(folder / "trials.csv") as file:
        assert len(list(csv.DictReader(file))) == 24
    with pytest.raises(InputError, match="--resume"):
        run_table(load_study(path), folder)
    again = run_table(load_study(path), folder, resume=True)
    assert {key: again[key] for key in summary if key != "seconds"} == {
        key: summary[key] for key in summary if key != "seconds"
    }
    written = (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    write_report(Driver(load_study(folder / "study.yaml"), TrialLog(folder / "trials.jsonl", repair=False)), folder)
    assert (folder / "report.html").read_text().count("plotly") == written.count("plotly")
    with pytest.raises(InputError, match=r"budget.flops was '≤ 18', is 17"):
        run_table(load_study(path, {"budget.flops": 17}), folder, resume=True)


def test_random_drawing_is_the_control_of_a_tables_search(table, tmp_path):
    columns = {"file": str(table), "decisions": ["ops"], "score": "acc"}
    study = load_study(write_study(tmp_path, table=columns, control={"random": 5}, seeds=[0, 1, 2]))
    summary = run_table(study, tmp_path / "run")
    assert summary["trials"] == {"search": 36, "random": 15}
    log = TrialLog(tmp_path / "run" / "trials.jsonl", repair=False)
    found = summary["random"]
    best = {str(seed): max(t.scores["acc"] for t in log.of("random", seed)) for seed in (0, 1, 2)}
    assert {str(seed): score for seed, score in found["finals"].items()} == pytest.approx(best)
    assert found["mean"] == pytest.approx(sum(best.values()) / 3)
    assert found["queries"] == 5
    assert found["improvement"] == pytest.approx((summary["mean"] - found["median"]) / abs(found["median"]), rel=1e-4)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The search against random drawing" in page
    assert "Random drawing of 5 rows with the same seeds ends at" in page
    again = run_table(study, tmp_path / "run", resume=True)
    assert again["random"] == found


def test_a_table_has_no_ablations(table, tmp_path):
    columns = {"file": str(table), "decisions": ["ops"], "score": "acc"}
    with pytest.raises(InputError, match=r"study\.yaml:.*ablate"):
        load_study(write_study(tmp_path, table=columns, ablate=["search"]))


def test_a_space_whose_decisions_are_columns(tmp_path):
    """A table in .csv of which a row is missing: that trial fails, named, and the others go on."""
    space = space_from_dict(TINY_SPACE)
    rows = list(space)
    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["acc", *space.decisions])
        writer.writeheader()
        writer.writerows({"acc": i / len(rows), **d} for i, d in enumerate(rows) if i % 2)
    path = write_study(
        tmp_path,
        space=TINY_SPACE,
        table={"file": "t.csv", "score": "acc"},
        budget={"macs": "≤ 600k"},
        search={"trials": 16, "with": "random"},
    )
    folder = tmp_path / "run"
    summary = run_table(load_study(path), folder)
    assert 0 < summary["rows"][0]["failed"] < 16
    reasons = [t.reason for t in TrialLog(folder / "trials.jsonl")]
    assert any("no row of" in reason and "stages.0.depth" in reason for reason in reasons)


def test_one_search_at_a_time_in_a_folder(table, tmp_path):
    """Two that start together on a new folder: one runs, the other is refused, whoever comes first."""
    path = write_study(tmp_path, table={"file": str(table), "decisions": ["ops"], "score": "acc"})
    studies = [load_study(path, {"seeds": [seed]}) for seed in (0, 1)]
    with (
        claim_folder(tmp_path / "run", studies[0].document, False),
        pytest.raises(InputError, match="another run is at work"),
    ):
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


@pytest.mark.parametrize(
    "changes, line, message",
    [
        ({"table": {"file": "none.npz", "decisions": ["ops"], "score": "acc"}}, "", "cannot be read"),
        (
            {"table": {"file": "t.npz", "decisions": ["op"], "score": "acc"}},
            "table.decisions|decisions",
            'unknown column "op".*Did you mean "ops"',
        ),
        ({"table": {"file": "t.npz", "decisions": ["ops"], "score": "accuracy"}}, "table.score", "unknown column"),
        ({"table": {"file": "t.npz", "decisions": ["ops"]}}, "table", 'needs "score"'),
        ({"table": {"file": "t.npz", "score": "acc"}}, "table.decisions", "needs the columns"),
        (
            {"table": {"file": "t.pkl", "decisions": ["ops"], "score": "acc"}},
            "table",
            "takes a file ending in .npz, .csv, .parquet",
        ),
        (
            {"table": {"file": "t.npz", "decisions": ["ops"], "score": "acc", "same": "nme"}},
            "table.same",
            'table.same: unknown column "nme"',
        ),
        (
            {"table": {"file": "t.npz", "decisions": ["ops"], "score": "acc", "numbers": ["flips"]}},
            "table.numbers",
            r"study.yaml:\d+: table.numbers",
        ),
        ({"search": {"objective": ["acc"]}}, "search.objective", 'search.objective: holds the score "acc"'),
        ({"search": {"objective": ["flops", "flops"]}}, "search.objective", "stands there twice"),
        ({"search": {"objective": ["noise"]}}, "search.objective", "no row of"),
        ({"space": TINY_SPACE}, "table.decisions", "table.decisions: is given by the space"),
        (
            {"space": TINY_SPACE, "table": {"file": "t.npz", "score": "acc"}, "search": {"objective": ["flops"]}},
            "search.objective",
            'unknown quantity "flops"',
        ),
        (
            {"space": TINY_SPACE, "table": {"file": "t.npz", "score": "acc"}, "search": {}, "budget": {}},
            "table.file",
            'lacks a column for the decision "stem',
        ),
        ({"budget": {"flops": "≤ 1"}}, "budget.flops", "the nearest has flops: 10"),
        ({"budget": {"flips": 1}}, "budget.flips", 'unknown column "flips"'),
        ({"search": {"with": "predictr"}}, "search.with", 'Did you mean "predictor"'),
        ({"seeds": []}, "seeds", "at least one seed"),
    ],
)
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


def test_a_seed_that_finds_nothing_fails_the_run(tmp_path):
    """Said as before; what is known so far is told by `report` of a running study alone."""
    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["a", "b", "acc"], *((i, j, 0.5 if (i, j) == (3, 3) else "") for i, j in np.ndindex(4, 4))])
    path = write_study(
        tmp_path,
        table={"file": "t.csv", "decisions": ["a", "b"], "score": "acc"},
        budget={},
        search={"trials": 4, "with": "random"},
        seeds=[0, 1, 2],
    )
    with pytest.raises(WorkFailed, match="all 4 trials failed: the objective gave no score"):
        run_table(load_study(path), tmp_path / "run")


def test_logs_of_a_version_before_are_refused_in_both_places(table, tmp_path):
    path = write_study(tmp_path, table={"file": str(table), "decisions": ["ops"], "score": "acc"})
    folder = tmp_path / "run"
    run_table(load_study(path), folder)
    (folder / "trials.jsonl").rename(folder / "seed0.jsonl")
    before = sorted(p.name for p in folder.iterdir())
    with pytest.raises(InputError, match="holds logs of an older format"):
        run_table(load_study(path), folder, resume=True)
    assert "holds logs of an older format" in refused("report", str(folder))
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_column_may_be_called_as_one_likes(tmp_path):
    """`device` is a device's profile where networks are bounded, and a column where columns are."""
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([["a", "device", "acc"], *((i, i, i / 10) for i in range(8))])
    path = write_study(
        tmp_path,
        table={"file": "t.csv", "decisions": ["a"], "score": "acc"},
        budget={"device": "<= 3"},
        search={"trials": 8},
        seeds=[0],
    )
    summary = run_table(load_study(path), tmp_path / "run")
    assert summary["rows"][0]["queries"] == 4
    assert summary["budget"] == "device ≤ 3"
    assert summary["wanted"] == {"search": 8}


def test_a_report_of_nothing_is_refused(table, tmp_path):
    path = write_study(tmp_path, table={"file": str(table), "decisions": ["ops"], "score": "acc"})
    run_table(load_study(path), tmp_path / "run")
    log = tmp_path / "run" / "trials.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    assert "run: holds no results yet" in refused("report", str(tmp_path / "run"))


@pytest.mark.slow
def test_a_table_through_ray_finds_the_same(table, tmp_path):
    path = write_study(tmp_path, table={"file": str(table), "decisions": ["ops"], "score": "acc"})
    here = run_table(load_study(path), tmp_path / "here")
    there = run(load_study(path), tmp_path / "there", address="local").summary
    assert there["rows"] == here["rows"]


def repeated(tmp_path, rows, **changes):
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([["arch", "seed", "acc", "flops"], *rows])
    return write_study(
        tmp_path,
        table={"file": "t.csv", "decisions": ["arch"], "score": "acc"},
        search={"trials": 5, "with": "random"},
        seeds=[0],
        **changes,
    )


def test_rows_of_one_network_are_their_mean_told_with_number_and_spread(tmp_path):
    rows = [(f"a{i}", s, 50 + i + (30 if s and i == 0 else 0), 10) for i in range(5) for s in range(3)]
    path = repeated(tmp_path, rows)
    summary = run_table(load_study(path), tmp_path / "run")
    assert summary["rows"][0]["decisions"] == {"arch": "a0"}
    assert summary["rows"][0]["final"] == pytest.approx(70)
    assert summary["rows"][0]["queries"] == 5
    (row,) = json.loads(invoke("check", str(path), "--json").stdout)
    assert row["architectures"] == 5
    assert row["note"].startswith("15 rows of 5 networks, 3 for each")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "15 rows of 5 networks, 3 for each; their means are searched" in page
    assert "± 7.746" in page  # the square root of (400 + 100 + 100) / 10: only a0's three are apart


def test_repetitions_without_a_score_are_left_out_and_uneven_ones_told(tmp_path):
    path = repeated(
        tmp_path, [("a", 0, 1.0, 5), ("a", 1, "nan", 7), ("b", 0, 0.5, 5), ("b", 1, 0.7, 5), ("b", 2, 0.9, 5)]
    )
    summary = run_table(load_study(path), tmp_path / "run")
    assert summary["rows"][0]["final"] == 1.0
    assert summary["rows"][0]["queries"] == 2
    assert "5 rows of 2 networks, 2 to 3 for each" in invoke("check", str(path)).stdout


def test_a_seed_is_no_decision(tmp_path):
    repeated(tmp_path, [("a", s, 0.5, 5) for s in range(3)])
    path = write_study(tmp_path, table={"file": "t.csv", "decisions": ["arch", "seed"], "score": "acc"})
    assert '"seed" tells repetitions of one network apart and is no decision' in refused("check", str(path))
