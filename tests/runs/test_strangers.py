"""What strangers call their studies, classes, files and networks is text wherever it is shown, and no path."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from random import Random

import pytest
from driving import drive, outcome_of, write_study
from helpers import invoke, refused
from making import folder

from scalesearch.runs.leaving import write_report
from scalesearch.searchers.log import TrialLog
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study

EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><script>alert(1)//", "{{7*7}}",
        "' onmouseover='alert(1)"]  # fmt: skip


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
    trials = [told | {"name": f"{called}{told['name']}"} for told in map(json.loads, lines)]
    path.write_text("\n".join([head, *map(json.dumps, trials)]) + "\n")
    write_report(Driver(study, TrialLog(path)), place)
    return (place / "report.html").read_text()


@pytest.mark.parametrize("evil", EVIL)
def test_names_and_reasons_of_a_log_are_text_in_its_report(evil, tmp_path):
    plain, page = report_of(tmp_path / "a", "plain"), report_of(tmp_path / "b", evil)
    assert Tags(page).found == Tags(plain).found and "<script>alert" not in page and "<img src=x" not in page


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
        assert done.exit_code == 2 and page.exists(), done.stderr  # more than 2 % are unreadable
        pages.append(Tags(page.read_text()).found)
    assert pages[0] == pages[1]


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "..", "x\x00y", "a\nb"])
def test_a_studys_name_leads_to_no_other_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name: " in refused("run", str(write_study(tmp_path, name=name)), "--dry-run")
