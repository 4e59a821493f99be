"""The live page of a run: it fills as trials end, touches nothing, and answers this machine alone."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
import urllib.request
from pathlib import Path

import pytest

import scalesearch as ss
from scalesearch.errors import InputError
from scalesearch.runs import live_server
from scalesearch.runs.live import Follower
from scalesearch.runs.serving import updates
from scalesearch.trials import Event

STUDY = """table: {file: table.csv, decisions: [arch], score: score, numbers: [flops]}
search: {trials: 30, objective: [flops]}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    rows = [f"{i},{i + 5},{0.5 + 0.01 * ((i * 37) % 40)}" for i in range(60)]
    (folder / "table.csv").write_text("arch,flops,score\n" + "\n".join(rows) + "\n")
    (folder / "study.yaml").write_text(STUDY)
    ss.run(folder / "study.yaml", folder / "run")
    return folder / "run"


def get(address: str, path: str = "") -> str:
    with urllib.request.urlopen(address + path, timeout=30) as answer:
        return answer.read().decode()


def events(address: str) -> list[dict]:
    lines = get(address, "events").splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


def test_a_finished_run_is_shown_whole_and_nothing_is_written(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with live_server(run) as address:
        page = get(address)
        (update,) = events(address)
        assert "Score over trials" in get(address, "report")
        assert get(address, "plotly.js").count("Plotly") > 10
    assert '<script src="plotly.js">' in page
    assert (update["status"]["state"], len(update["trials"])) == ("finished", 30)
    assert all(trial["x"] == trial_cost for trial, trial_cost in zip(update["trials"], flops(run), strict=True))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def flops(run: Path) -> list[float]:
    lines = (run / "trials.jsonl").read_text().splitlines()[1:]
    rows = map(json.loads, lines)
    return [(row["cost"] | row["scores"])["flops"] for row in rows]


def test_trials_come_as_they_end(run, tmp_path):
    """A log that grows by one line sends that one trial; an incomplete line is waited for."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    lines = (run / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "trials.jsonl").write_bytes(b"".join(lines[:11]))
    follower = Follower(folder, "run")
    stream = updates(follower)
    assert len(next(stream)["trials"]) == 10
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(lines[11] + lines[12][:20])
        file.flush()
        update = next(stream)
        assert ([trial["name"] for trial in update["trials"]], update["status"]["done"]) == (
            *([json.loads(lines[11])["name"]], 11),
        )
        file.write(lines[12][20:])
        file.flush()
        assert next(stream)["status"]["done"] == 12


def test_viewers_come_and_go_while_a_run_goes_on(run, tmp_path):
    folder, done = tmp_path / "run", []

    def slowly(event: Event) -> None:
        if event.kind == "finished" and event.trial is not None:
            done.append(event.trial.number)
            time.sleep(0.05)

    thread = threading.Thread(target=lambda: ss.run(run.parent / "study.yaml", folder, observer=slowly))
    thread.start()
    while len(done) < 3:
        time.sleep(0.02)
    with live_server(folder) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        gone = http.client.HTTPConnection("127.0.0.1", port)
        gone.request("GET", "/events")
        gone.getresponse().readline()
        gone.close()
        seen = events(address)
    thread.join()
    assert sum(len(update["trials"]) for update in seen) == 30
    assert seen[-1]["status"]["state"] == "finished"
    assert len(done) == 30


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", ""])
def test_a_request_by_another_name_is_refused(run, host):
    with live_server(run) as address:
        connection = http.client.HTTPConnection("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))
        connection.putrequest("GET", "/events", skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        assert connection.getresponse().status == 403


def test_a_folder_without_a_run_and_a_port_in_use_are_one_line(run, tmp_path):
    with pytest.raises(InputError, match="is no run's folder"), live_server(tmp_path):
        pass
    with live_server(run) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(InputError, match="cannot be used"), live_server(run, port):
            pass


def test_a_trial_more_among_ten_thousand_takes_little(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    header, *lines = (run / "trials.jsonl").read_text().splitlines()
    many = [json.loads(lines[i % len(lines)]) | {"number": i, "name": f"t{i}"} for i in range(10_001)]
    text = [json.dumps(row) for row in many]
    (folder / "trials.jsonl").write_text("\n".join([header, *text[:-1]]) + "\n")
    follower = Follower(folder, "run")
    assert len(follower.new_trials()) == 10_000
    with (folder / "trials.jsonl").open("a") as file:
        file.write(text[-1] + "\n")
    began = time.perf_counter()
    assert len(follower.new_trials()) == 1
    payload = json.dumps(follower.display.seconds_left)
    assert time.perf_counter() - began < 0.1, payload
