"""A study of detection end to end: boxes in, a family of detectors and a report out."""

from __future__ import annotations

import json

import pytest
from boxed import NAMES, SPACE, rectangles
from helpers import invoke

pytestmark = pytest.mark.slow

STUDY = """name: boxes
space: space.yaml
data: data
resolution: 64
budget: {macs: 60M}
search: {trials: 3, epochs: 2}
finalists: {top: 1}
scale: {factor: 1.5, trials: 4, epochs: 1}
family: {phi: [0, 1]}
compare: [resnet20_cifar+yolov8]
recipe: {base: detect, epochs: 6, batch_size: 6, learning_rate: 5e-3, mosaic: 0.2, zoom: 0.1}
parallel: 2
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALESEARCH_CACHE", str(folder / "cache"))
        rectangles(folder / "data")
        (folder / "space.yaml").write_text(SPACE)
        (folder / "study.yaml").write_text(STUDY)
        done = invoke("run", str(folder / "study.yaml"), "--out", str(folder / "run"))
        assert done.exit_code == 0, done.output
        yield folder / "run"


def test_the_family_is_compared_by_average_precision(run):
    summary = json.loads((run / "summary.json").read_text())
    rows = {row["name"]: row for row in summary["rows"]}
    assert {"boxes-phi0", "boxes-phi1", "resnet20_cifar+yolov8"} <= rows.keys()
    assert all(0 <= row["test_ap"] <= 1 for row in rows.values())
    assert max(r["test_ap"] for r in rows.values()) > 0.05
    assert abs(rows["boxes-phi1"]["deviation"]) <= 0.1
    beaten = {(row["name"], row["other"]): row for row in summary["beaten"]}
    assert len(beaten) == 2
    for (own, other), row in beaten.items():
        assert row["more"] == pytest.approx(rows[own]["test_ap"] - rows[other]["test_ap"], abs=1e-3)
        assert row["low"] <= row["high"]
        assert 0 <= row["wins"] <= 1
    payload = {row["name"]: row for row in summary["by_class"]}["boxes-phi1"]
    assert set(payload["ap50"]) == set(payload["threshold"]) == set(NAMES)
    assert payload["interval"][0] <= rows["boxes-phi1"]["test_ap"] <= payload["interval"][1]


def test_the_report_shows_boxes(run):
    page = (run / "report.html").read_text()
    for message in (
        "Average precision against compute",
        "Worst and best images of boxes-phi1",
        "Precision and recall of boxes-phi1",
        "F1 of boxes-phi1 by confidence",
        "Which finds better",
        "have a side under 8 pixels at 64",
        "true boxes",
    ):
        assert message in page


def test_a_member_finds_boxes_and_is_a_model(run):
    photo = next((run.parent / "data" / "images" / "test").iterdir())
    done = invoke("detect", str(run / "family" / "boxes-phi1"), str(photo), "--confidence", "0.01", "--json")
    assert done.exit_code == 0
    assert {row["name"] for row in json.loads(done.stdout)} <= set(NAMES)


def test_going_on_with_what_is_done_trains_nothing(run):
    before = (run / "trials.jsonl").read_text()
    assert invoke("run", str(run.parent / "study.yaml"), "--out", str(run), "--resume").exit_code == 0
    assert (run / "trials.jsonl").read_text() == before
