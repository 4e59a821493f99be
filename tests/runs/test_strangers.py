"""What strangers call their studies, classes, files and networks is text wherever it is shown, and no path."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from html.parser import HTMLParser
from random import Random
from shutil import copytree, rmtree

import pytest
from driving import drive, outcome_of, write_study
from helpers import invoke, refused
from making import folder

from scalesearch.runs.artifacts import write_report
from scalesearch.runs.folder import describe_damage
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.trials.log import TrialLog
from scalesearch.yamlfile import dump

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)//",
    "{{7*7}}",
    "' onmouseover='alert(1)",
]


class Tags(HTMLParser):
    """How often a page has each element, with the names of its attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.found: Counter[tuple] = Counter()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found[tag, tuple(sorted(name for name, _ in attrs))] += 1


def report_of(place, called):
    """Of a run whose log has such names and reasons in it."""
    place.mkdir()
    study = load_study(write_study(place))
    path = place / "trials.jsonl"
    drive(study, path, Random(0), outcome=lambda job: {"reason": called} if job.key[2] == 3 else outcome_of(job))
    head, *lines = path.read_text().splitlines()
    trials = [payload | {"name": f"{called}{payload['name']}"} for payload in map(json.loads, lines)]
    path.write_text("\n".join([head, *map(json.dumps, trials)]) + "\n")
    write_report(Driver(study, TrialLog(path)), place)
    return (place / "report.html").read_text()


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A run's folder, to be copied."""
    place = tmp_path_factory.mktemp("left") / "run"
    report_of(place, "")
    study = load_study(place / "study.yaml")
    (place / "study.yaml").write_text(dump(study.document))
    _, *lines = (place / "trials.jsonl").read_text().splitlines()
    head = json.dumps({"log": 2, "of": {"study": study.digest, "problem": study.problem.digest}})
    (place / "trials.jsonl").write_text("\n".join([head, *lines]) + "\n")
    (place / "by_class" / "family").mkdir(parents=True)
    (place / "by_class" / "family" / "study-phi0-s0.json").write_text(
        json.dumps({"classes": [], "recall": [0.5] * 10, "confusion": [[1] * 10] * 10})
    )
    return place


@pytest.fixture
def theirs(left, tmp_path):
    return copytree(left, tmp_path / "run")


@pytest.mark.parametrize("name", ["report.html", "summary.json", "trials.jsonl", "family", "by_class/family"])
def test_nothing_is_written_or_read_where_a_link_leads_out_of_a_runs_folder(name, theirs, tmp_path):
    outside, there = tmp_path / "outside", theirs / name
    if there.is_dir():
        rmtree(there)
        outside.mkdir()
    else:
        there.unlink(missing_ok=True)
        outside.write_text("mine")
    there.symlink_to(outside)
    known = [outside.read_text() if outside.is_file() else list(outside.iterdir())]
    for command in (
        ["report", str(theirs)],
        ["verify", str(theirs)],
        ["run", str(theirs / "study.yaml"), "--out", str(theirs), "--resume"],
    ):
        assert f"{there}: is a link that leads out of the run's folder" in refused(*command)
    assert known == [outside.read_text() if outside.is_file() else list(outside.iterdir())]


def test_links_inside_a_runs_folder_and_one_to_it_are_followed(theirs, tmp_path):
    (theirs / "kept.jsonl").write_bytes((theirs / "trials.jsonl").read_bytes())
    (theirs / "trials.jsonl").unlink()
    (theirs / "trials.jsonl").symlink_to("kept.jsonl")
    (tmp_path / "way").symlink_to(theirs)
    assert invoke("report", str(tmp_path / "way")).exit_code == 0


def test_what_is_no_file_is_not_waited_for(theirs):
    (theirs / "trials.jsonl").unlink()
    os.mkfifo(theirs / "trials.jsonl")
    assert "trials.jsonl: is no file" in refused("report", str(theirs))


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("number", "x", "trials.jsonl:2: number: should be a valid integer, got 'x'"),
        ("number", -1, "2: number: should be greater than or equal to 0, got -1"),
        ("fidelity", {}, "2: fidelity.seed: is missing"),
        ("fidelity", {"seed": 0}, "base-001.fidelity.epochs: is missing"),
        ("fidelity", {"seed": 0, "resolution": [3, "a"]}, "2: fidelity.resolution: should be a valid integer"),
        ("cost", {"macs": 3}, "2: cost.params: is missing"),
        ("cost", {"macs": math.nan}, "2: cost.macs: should be finite"),
        ("scores", {"val_accuracy": "high"}, "2: scores.val_accuracy: should be a valid number or a valid integer"),
        ("scores", {}, "trials.jsonl: base-001.scores.val_accuracy: is missing, and the trial is done"),
        ("arch", {}, "2: arch.resolution: is missing"),
        ("arch", {"resolution": [], "name": "x"}, 'arch: an architecture needs "stages"'),
        ("decisions", [], "2: decisions: should be an object"),
        ("decisions", {"stages.0.depth": {}}, "2: decisions.stages.0.depth: should be"),
        ("decisions", {}, "base-001.decisions.stem.0.conv.width: is missing"),
        ("decisions", {"stem.0.conv.width": 11}, "base-001.decisions.stem.0.conv.width: takes one of 8, 16, got 11"),
        ("decisions", {"what": 1}, "base-001.decisions.what: is no decision of this space"),
        ("used", {"weights": {"file": 3}}, "2: used.weights.file: should be a valid string, got 3"),
        ("state", "over", "2: state: should be 'done' or 'failed', got 'over'"),
        ("etats", "done", "2: etats: is no key of it"),
    ],
)
def test_a_log_that_was_edited_is_told_by_its_line_and_key(key, value, message, theirs):
    log = theirs / "trials.jsonl"
    head, *lines = log.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {key: value})
    if key == "arch" and value:  # of the network that the study went on with
        lines = [
            json.dumps(payload | {key: value} if (payload := json.loads(line))["step"] == "base" else payload)
            for line in lines
        ]
    log.write_text("\n".join([head, *lines]) + "\n")
    assert message in refused("report", str(theirs))
    if key == "decisions" and "base-001" in message:
        assert message in refused("run", str(theirs / "study.yaml"), "--out", str(theirs), "--resume")


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("candidate", 999, "candidate: 999 at rung 0 can't have been asked for here"),
        ("candidate", 0, "candidate: 0 at rung 0 can't have been asked for here"),
        ("name", "../../outside", "name: is no name that a search gives: '../../outside'"),
        (
            "fidelity",
            {"parent": "../../outside"},
            "fidelity.parent: is no earlier trial of the search: '../../outside'",
        ),
    ],
)
def test_a_run_does_not_go_on_with_what_its_search_cannot_have_asked_for(key, value, message, theirs):
    log = theirs / "trials.jsonl"
    head, *lines = log.read_text().splitlines()
    payload = list(map(json.loads, lines))
    for trial in payload:
        if trial["step"] == "base" and trial["number"] == 1:
            trial[key] = trial[key] | value if isinstance(value, dict) else value
    log.write_text("\n".join([head, *map(json.dumps, payload)]) + "\n")
    assert message in refused("run", str(theirs / "study.yaml"), "--out", str(theirs), "--resume")


@pytest.mark.parametrize("file", ["family/../../outside", "/etc/hostname"])
def test_weights_that_lie_outside_are_not_looked_at(file, theirs, tmp_path):
    (tmp_path / "outside").write_bytes(b"x")
    assert describe_damage(theirs, {"file": file}).endswith("lies outside of the run's folder")


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("trials.jsonl", "[" * 100_000, "trials.jsonl:1: is no log of trials"),
        (
            "trials.jsonl",
            '{"log": 2, "of": {}}\n' + "[" * 100_000 + "\n",
            "trials.jsonl:2: is no JSON: recursion limit",
        ),
        ("by_class/family/study-phi0-s0.json", "{}", "study-phi0-s0.json: classes: is missing"),
        (
            "by_class/family/study-phi0-s0.json",
            '{"classes": [], "recall": ["x"]}',
            "recall.0: should be a valid number",
        ),
        (
            "by_class/family/study-phi0-s0.json",
            '{"classes": ["a"], "recall": [1.0, 1.0]}',
            "recall: has more than 1 class",
        ),
        (
            "by_class/family/study-phi0-s0.json",
            '{"classes": ["a"], "recall": [1.0], "confusion": [[1], [2]]}',
            "confusion: should have as many columns as rows",
        ),
        ("by_class/family/study-phi0-s0.json", '{"classes": ["a"], "ap50": [1.0]}', "interval: is missing"),
        ("data.json", "{}", "data.json: facts: is missing"),
        ("data.json", "[" * 100_000, "data.json: is no JSON"),
    ],
)
def test_other_files_of_a_run_are_told_by_their_key(name, text, message, theirs):
    (theirs / name).write_text(text)
    assert message in refused("report", str(theirs))


@pytest.mark.parametrize("text", ["{}", "[]", "x", '{"seconds": "x"}', '{"seconds": NaN}', "[" * 100_000])
def test_what_a_run_has_spent_is_nothing_where_it_cannot_be_read(text, theirs):
    (theirs / "spent.json").write_text(text)
    assert invoke("report", str(theirs)).exit_code == 0


@pytest.mark.parametrize("evil", EVIL)
def test_names_and_reasons_of_a_log_are_text_in_its_report(evil, tmp_path):
    plain, page = report_of(tmp_path / "a", "plain"), report_of(tmp_path / "b", evil)
    assert Tags(page).found == Tags(plain).found
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("evil", EVIL)
def test_a_study_and_a_space_bear_names_that_are_names(evil, tmp_path):
    space = load_study(write_study(tmp_path)).document["space"]
    assert "name: takes a name" in refused("check", str(write_study(tmp_path, name=evil)))
    assert "space.name: takes a name" in refused("check", str(write_study(tmp_path, space=space | {"name": evil})))


@pytest.mark.parametrize("evil", [name for name in EVIL if "/" not in name])
def test_classes_and_files_are_text_in_the_page_of_their_health(evil, tmp_path):
    pages = []
    for name in ("plain", evil):
        data = tmp_path / f"data-{len(pages)}"
        folder(data, {name: 12, "dog": 12})
        (data / "dog" / f"{name}.png").write_bytes(b"no image")
        (data / "dog" / f"{name}-again.png").write_bytes((data / "dog" / "000.png").read_bytes())
        page = tmp_path / f"{len(pages)}.html"
        done = invoke("data", str(data), "--html", str(page))
        assert done.exit_code == 2, done.stderr
        assert page.exists(), done.stderr  # more than 2 % are unreadable
        pages.append(Tags(page.read_text()).found)
    assert pages[0] == pages[1]


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "..", "x\x00y", "a\nb"])
def test_a_studys_name_leads_to_no_other_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name: " in refused("run", str(write_study(tmp_path, name=name)), "--dry-run")
