"""The report of a whole study: what it gathers, and the page that it becomes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from random import Random

import pytest
from driving import FULL, drive, scored, write_study

from scalesearch.report.figures import score_over_trials
from scalesearch.report.html import page
from scalesearch.report.info import faults, gather
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.trials.log import TrialLog


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    study = load_study(write_study(folder, **FULL))
    return study, drive(study, folder / "trials.jsonl", Random(0), outcome=scored)


@pytest.fixture(scope="module")
def info(full):
    return gather(Driver(*full), seconds=12.34)


class Elements(HTMLParser):
    """Collects the start tags with their attributes, and the figures' data."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.figures, self.in_figure = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.in_figure = dict(attrs).get("class") == "figure"

    def handle_data(self, data):
        if self.in_figure:
            self.figures.append(json.loads(data))
            self.in_figure = False


def headings(text: str) -> list[str]:
    return [re.sub("<.*?>", "", heading).strip() for heading in re.findall("<h2.*?>(.*?)</h2>", text, re.DOTALL)]


def test_what_is_gathered_follows_the_log(full, info):
    study, log = full
    assert info.seconds == 12.3
    assert info.finished
    assert info.counts == {step.name: len(log.of(step.name)) for step in study.steps}
    assert len(info.trials) == len(log)
    assert info.early == sum(trial.early for trial in log) > 0
    assert sum(row["macs"] for row in info.layers) == sum(row["macs"] for row in info.stages)
    assert list(info.fragments) == sorted(info.fragments, key=lambda fragment: fragment.order)


def test_every_section_of_every_step_is_on_the_page_in_its_order(info):
    titles = headings(page(info))
    assert len(titles) == len(set(titles))
    expected = [title for f in info.fragments for title in headings(f.template.read_text(encoding="utf-8"))]
    plain = [title for title in expected if "{" not in title]
    positions = [titles.index(title) for title in plain if title in titles]
    assert positions == sorted(positions)
    assert len(positions) >= 5


def test_the_page_loads_nothing(info):
    tags = Elements(page(info)).tags
    assert not [a for tag, a in tags if tag in ("script", "img", "iframe") and a.get("src", "data:")[:5] != "data:"]
    assert not [a for tag, a in tags if tag == "link" and a.get("rel") == "stylesheet"]


def test_its_figures_are_what_was_gathered(info):
    drawn = Elements(page(info)).figures
    assert len(drawn) >= len(info.figures) > 3
    ternary = next(f for f in drawn if f["data"][0]["type"] == "scatterternary")
    scores = [p.score for p in info.conclusions["scaling"].points if p.score is not None]
    assert sorted(ternary["data"][0]["marker"]["color"]) == pytest.approx(sorted(scores))


def test_the_best_so_far_never_falls(info):
    traces = score_over_trials(info)["data"]
    best = [trace["y"] for trace in traces if trace["mode"] == "lines"]
    tried = [trace["y"] for trace in traces if trace["mode"] == "markers"]
    assert len(best) == len(tried) == 2  # of the base search and of the scaling search
    assert [[max(y[: i + 1]) for i in range(len(y))] for y in tried] == [list(y) for y in best]


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    study = load_study(write_study(tmp_path, **FULL))
    begun = gather(Driver(study, TrialLog(tmp_path / "trials.jsonl")))
    assert not begun.finished
    assert not begun.trials
    assert study.name in page(begun)


@pytest.mark.parametrize("measure", ["trainings", "rates"])
def test_a_study_that_measures_fidelity_alone_has_a_page(measure, tmp_path):
    study = load_study(write_study(tmp_path, fidelity={"measure": measure}))
    log = drive(study, tmp_path / "trials.jsonl", Random(0), outcome=scored)
    measured = gather(Driver(study, log))
    assert measured.recipe["search epochs"] == measured.recipe["scaling epochs"] == 1
    assert study.name in page(measured)


def test_what_differs_on_paper_and_trained_alike_is_a_fault(full, tmp_path):
    study, log = full
    driver = Driver(study, log)
    assert faults(driver.trials) == []

    def alike(job):
        return scored(job) | {"history": [{"epoch": 1.0, "train_loss": 0.5}]}

    other = load_study(write_study(tmp_path))
    silent = drive(other, tmp_path / "trials.jsonl", Random(0), outcome=alike)
    assert "took no effect" in faults(Driver(other, silent).trials)[0]
    twice = TrialLog(tmp_path / "twice.jsonl")
    for number in range(2):
        twice.append(replace(log.of("base")[0], number=number, name=f"base-{number}"))
    assert "base-0 and base-1 are the same network" in faults(Driver(study, twice).trials)[0]
