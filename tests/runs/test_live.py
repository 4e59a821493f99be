"""What `scalesearch status` says of a run that is going on, has ended or was stopped."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from click.testing import CliRunner

import scalesearch as ss
from scalesearch.cli import main
from scalesearch.files import exclusive_lock, is_locked
from scalesearch.runs import run_status
from scalesearch.runs.live import FILE, LiveFile
from scalesearch.trials import Event, Job

STUDY = "table: {file: table.csv, decisions: [arch], score: score}\nsearch: {trials: 8}\n"


@pytest.fixture
def study(tmp_path):
    rows = [f"{i},{0.5 + 0.01 * ((i * 37) % 40)}" for i in range(60)]
    (tmp_path / "table.csv").write_text("arch,score\n" + "\n".join(rows) + "\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_a_run_says_how_far_it_has_come_while_it_goes_on(study, tmp_path):
    folder, seen = tmp_path / "run", []

    def observe(event: Event) -> None:
        if event.kind == "finished" and event.trial is not None and event.trial.number == 4:
            seen.append(run_status(folder, "run"))

    ss.run(study, folder, observer=observe)
    assert [(s.state, s.done, s.planned) for s in seen] == [("running", 5, 8)]
    ended = run_status(folder, "run")
    assert (ended.state, ended.done, ended.failed, ended.running) == ("finished", 8, 0, [])
    assert ended.best
    assert not (folder / FILE).exists()


def test_a_stopped_run_is_told_from_one_that_goes_on(study, tmp_path):
    class Killed(BaseException):
        pass

    def observe(event: Event) -> None:
        if event.kind == "finished" and event.trial is not None and event.trial.number == 2:
            raise Killed

    with pytest.raises(Killed):
        ss.run(study, tmp_path / "run", observer=observe)
    done = CliRunner().invoke(main, ["status", str(tmp_path / "run")])
    assert done.exit_code == 0
    assert done.output.startswith("study: stopped, ")
    assert "3 of 8 trials" in done.output
    payload = json.loads(CliRunner().invoke(main, ["status", str(tmp_path / "run"), "--json"]).output)
    assert (payload["state"], payload["done"]) == ("stopped", 3)


def test_the_file_lists_the_trials_under_way(tmp_path):
    live = LiveFile(tmp_path)
    job = Job("base", 3, "base-003", "digest", {}, 0, None, {}, until=6)
    live(Event("started", "base", job))
    live(Event("started", "base", replace(job, number=4, name="base-004")))  # in the same moment
    assert [t["name"] for t in json.loads((tmp_path / FILE).read_text())["trials"]] == ["base-003", "base-004"]
    live(Event("epoch", "base", job, numbers={"epoch": 2, "train_loss": 1.5}, worker="node:7"))
    trial, _ = json.loads((tmp_path / FILE).read_text())["trials"]
    assert (trial["name"], trial["epoch"], trial["epochs"], trial["train_loss"], trial["worker"]) == (
        *("base-003", 2, 6, 1.5, "node:7"),
    )
    live.close()
    assert not (tmp_path / FILE).exists()


def test_no_run_is_one_line(tmp_path):
    done = CliRunner().invoke(main, ["status", str(tmp_path)])
    assert done.exit_code == 2
    assert "is no run's folder: it has no study.yaml" in done.output


def test_looking_at_a_lock_does_not_refuse_it_to_a_run(tmp_path):
    """A run that begins while somebody looks waits for a moment."""
    path, ended = tmp_path / "run.lock", threading.Event()
    path.touch()

    def look() -> None:
        while not ended.is_set():
            is_locked(path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with exclusive_lock(path, "another run is at work"):
                pass
    finally:
        ended.set()
        thread.join()
