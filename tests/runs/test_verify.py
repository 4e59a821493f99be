"""A run's proof: it comes out again to the last bit, and what was changed in its log is found."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner
from helpers import invoke, refused

from scalesearch.cli import main
from scalesearch.runs.verifying import Verification

pytestmark = pytest.mark.slow


def changed(folder, out, step, change):
    """A copy of a run's folder, the first trial of a step changed in its log."""
    shutil.copytree(folder, out)
    head, *lines = (out / "trials.jsonl").read_text().splitlines()
    trials = [json.loads(line) for line in lines]
    change(next(trial for trial in trials if trial["step"] == step))
    (out / "trials.jsonl").write_text("\n".join([head, *map(json.dumps, trials)]) + "\n")
    return out


def payload(folder, *options):
    done = CliRunner().invoke(main, ["verify", str(folder), "--json", *options])
    return done.exit_code, json.loads(done.stdout), done.stderr


def test_a_run_comes_out_again_to_the_last_bit(finished):
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    found = json.loads(invoke("verify", str(folder), "-n", "4", "--json").stdout)
    assert found["verified"]
    assert found["same_machine"]
    assert found["tolerance"] == 0
    assert found["trials"] == 18
    assert len(found["again"]) == 4
    assert all(v["off"] == 0 and v["network"] and v["recipe"] for v in found["again"])
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert len({v["name"] for v in found["again"]}) > 1
    assert len(Verification.of(folder).replayed) == 18
    assert (
        "18 of 18 trials follow from the study's seeds; 1 trained again (tolerance 0)"
        in invoke("verify", str(folder), "-n", "1").stdout
    )


def test_a_changed_score_is_found_and_a_tolerance_bears_it(finished, tmp_path):
    def better(trial):
        trial["scores"]["val_accuracy"] += 0.01

    folder = changed(finished[0], tmp_path / "run", "compare", better)
    code, found, message = payload(folder, "-n", "18")
    faults = [v for v in found["again"] if v["fault"]]
    assert code == 1
    assert len(faults) == 1
    assert faults[0]["step"] == "compare"
    assert faults[0]["off"] == pytest.approx(0.01)
    assert "its scores are up to 0.01 off" in message
    assert payload(folder, "-n", "18", "--tolerance", "0.02")[0] == 0


def test_a_trial_that_the_study_would_not_have_tried_is_found(finished, tmp_path):
    def other(trial):
        trial["recipe"] = "0" * 16

    code, found, message = payload(changed(finished[0], tmp_path / "run", "base", other), "-n", "1")
    assert code == 1
    assert found["strangers"] == ["base-000"]
    assert "base-000: would not have been tried with this study's seeds" in message


def test_what_is_no_run_is_refused(tmp_path):
    assert "is no run's folder: it has no study.yaml" in refused("verify", str(tmp_path))
