"""A driver that is killed, or whose disk, database or clock fails it: nothing finished is lost or done twice."""

from __future__ import annotations

import itertools
import random
import sqlite3
import subprocess
import threading
import time

import psutil
import pytest
from starting import finish, start

import scalesearch as ss
from scalesearch import yamlfile
from scalesearch.trials.log import TrialLog


@pytest.fixture(scope="module")
def searched(table, tmp_path_factory):
    """A study that needs no Ray and takes some seconds."""
    path = tmp_path_factory.mktemp("searched") / "searched.yaml"
    path.write_text(
        yamlfile.dump(
            {
                "name": "searched",
                "table": {"file": str(table), "decisions": ["ops"], "score": "acc"},
                "search": {"with": "predictor", "trials": 60},
                "seeds": [*range(8)],
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def alone(searched, tmp_path_factory):
    """The log of a run left alone."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    ss.run(searched, folder)
    return payload(folder)


def payload(folder):
    return [(t.key, t.decisions, t.scores, t.rejected) for t in TrialLog(folder / "trials.jsonl", repair=False)]


@pytest.mark.slow
def test_a_driver_killed_at_twenty_random_moments_loses_nothing(searched, alone, tmp_path):
    dice, kills, folders = random.Random(0), 0, (tmp_path / str(i) for i in itertools.count())
    folder = next(folders)
    while kills < 20:
        before = (folder / "trials.jsonl").read_bytes() if (folder / "trials.jsonl").exists() else b""
        process = start(searched, folder, *(["--resume"] if (folder / "study.yaml").exists() else []))
        try:
            process.communicate(timeout=dice.uniform(0.3, 4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        else:  # it came to its end
            assert process.returncode == 0
            assert payload(folder) == alone
            folder = next(folders)
            continue
        if before:
            assert (folder / "trials.jsonl").read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    finish(start(searched, folder, *(["--resume"] if (folder / "study.yaml").exists() else [])))
    assert payload(folder) == alone


def test_a_full_disk_and_a_line_that_was_cut_lose_nothing(searched, alone, tmp_path):
    folder = tmp_path / "run"
    log = folder / "trials.jsonl"
    process = start(searched, folder)
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 20):
        time.sleep(0.01)
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (log.stat().st_size + 1000,) * 2)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 1
    assert message.strip().splitlines()[-1] == f"scalesearch: {log}: File too large; make room there"
    before = log.read_bytes()
    assert before.endswith(b"\n")
    assert 20 < before.count(b"\n") < 400
    with open(log, "ab") as file:
        file.write(before.splitlines()[-1][:57])  # as a kill in the middle of writing would leave it
    finish(start(searched, folder, "--resume"))
    assert payload(folder) == alone
    assert log.read_bytes().startswith(before)


@pytest.mark.slow
def test_a_locked_database_is_waited_for(searched, alone, tmp_path):
    """A backup, or a viewer, that holds it for a while."""
    path = tmp_path / "shared.db"
    held = sqlite3.connect(path, check_same_thread=False)
    held.execute("create table t (x)")
    held.commit()
    held.execute("begin exclusive")
    release = threading.Timer(7, held.rollback)  # longer than SQLite waits by itself
    release.start()
    ss.run(searched, tmp_path / "run", storage=f"sqlite:///{path}")
    release.join()
    assert sorted(payload(tmp_path / "run")) == sorted(alone)


def test_a_clock_that_jumps_back_changes_nothing(searched, alone, tmp_path, monkeypatch):
    clock = itertools.count(2e9, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    run = ss.run(searched, tmp_path / "run")
    assert payload(tmp_path / "run") == alone
    assert all(t.seconds >= 0 for t in run.trials)
    assert run.summary["seconds"] >= 0
