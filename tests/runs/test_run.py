"""The real thing: a study through Ray and Optuna, killed and resumed, its folder and its report in a browser."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch
from browser import CHROMIUM, FLAGS, faults
from helpers import standalone
from safetensors.torch import load_file
from starting import STEPS, essence, finish, start

from scalesearch.errors import format_count
from scalesearch.network.modules import build
from scalesearch.space.schema import load_arch
from scalesearch.trials.log import TrialLog

pytestmark = pytest.mark.slow


def test_a_run_leaves_what_it_promises(finished):
    folder, message = finished
    log = TrialLog(folder / "trials.jsonl")
    assert {step: len(log.of(step)) for step in STEPS} == STEPS
    assert all(t.state == "done" and t.cost["macs"] <= 500_000 for t in log.of("base"))
    summary = json.loads((folder / "summary.json").read_text())
    text = json.dumps(summary | {"document": None, "recipe": None}) + (folder / "trials.csv").read_text()
    assert not re.findall(r"\d\.\d{8,}", text)  # six digits
    assert summary["finished"]
    assert summary["trials"] == STEPS
    names = {"small-phi0", "small-phi1", "shufflenet_v2_x0_5 (stem stride 1)", "resnet20_cifar"}
    assert {row["name"] for row in summary["rows"]} == names
    with open(folder / "trials.csv") as file:
        assert len(list(csv.DictReader(file))) == sum(STEPS.values())
    assert "small-phi1" in message
    assert "[18/18]" in message
    assert "report" in message
    assert not list(folder.rglob("*.tmp"))


def test_family_members_are_ready_to_use_elsewhere(finished, tmp_path):
    folder, _ = finished
    summary = {row["name"]: row for row in json.loads((folder / "summary.json").read_text())["rows"]}
    for name in ("small-phi0", "small-phi1"):
        member = folder / "family" / name
        assert sorted(p.name for p in member.iterdir()) == ["arch.yaml", "card.md", "model.py", "weights.safetensors"]
        arch = load_arch(member / "arch.yaml")
        network = build(arch).eval()
        state = load_file(member / "weights.safetensors")
        network.load_state_dict(state)
        x = torch.randn(3, 1, arch.resolution, arch.resolution)
        torch.save(state, tmp_path / "w.pt")
        torch.save(x, tmp_path / "x.pt")
        scored, _, params = standalone((member / "model.py").read_text(), tmp_path)
        assert torch.equal(network(x), scored)
        assert params == summary[name]["params"]
        assert f"{params:,}" in (member / "card.md").read_text()


def test_searches_lie_in_a_journal_as_optuna_studies(finished):
    import optuna

    backend = optuna.storages.journal.JournalFileBackend(str(finished[0] / "optuna.journal"))
    storage = optuna.storages.JournalStorage(backend)
    for step in ("base", "scale"):
        trials = optuna.load_study(study_name=f"small/{step}", storage=storage).trials
        logged = TrialLog(finished[0] / "trials.jsonl").of(step)
        assert len(trials) == len(logged)  # in the order in which they ended
        assert {t.user_attrs["name"]: t.value for t in trials} == {t.name: t.scores["val_accuracy"] for t in logged}


def test_killed_and_resumed_it_equals_the_uninterrupted_run(study, finished, tmp_path):
    """In the middle of the scaling search; at other moments in `test_faults` and `test_recovery`."""
    out = tmp_path / "run"
    process = start(study, out)
    log = out / "trials.jsonl"
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") > 8:
            break
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(started) > 4, "what it started has gone with it"
    assert not psutil.wait_procs(started, timeout=20)[1], "what it started has gone with it"
    assert not list(Path(tempfile.gettempdir()).glob(f"scalesearch-ray-{process.pid}-*"))
    before = log.read_bytes().splitlines() if log.exists() else []
    message = finish(start(study, out, "--resume"))
    assert essence(out) == essence(finished[0])
    assert [line for line in before if line.endswith(b"}")] == log.read_bytes().splitlines()[: len(before)]
    if len(before) > 1:
        assert f"going on after {format_count(len(before) - 1, 'finished trial')}\n" in message
    whole, resumed = (json.loads((folder / "summary.json").read_text()) for folder in (finished[0], out))
    for summary in (whole, resumed):
        del summary["seconds"]
        for row in summary["rows"]:
            del row["seconds"]
    assert resumed == whole


def test_a_folder_that_holds_a_run_is_not_written_over(study, finished, tmp_path):
    folder = finished[0]
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    again = start(study, folder)
    assert "go on with it by --resume" in again.communicate()[1]
    assert again.returncode == 2
    other = start(study, folder, "--resume", "--set", "seeds=[1]")
    assert "holds another study" in other.communicate()[1]
    assert other.returncode == 2
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    foreign = start(study, tmp_path / "full")
    assert "holds something else" in foreign.communicate()[1]
    assert foreign.returncode == 2
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_a_network_that_fails_is_recorded_and_the_study_goes_on(study, tmp_path):
    """A learning rate at which losses overflow in some trials."""
    message = start(study, tmp_path / "run", "--set", "recipe.learning_rate=1e30", "--set", "compare=[]")
    _out, err = message.communicate(timeout=300)
    assert message.returncode == 1
    assert "none of the 5 trials of the base search came to the end of its training: the loss became nan" in err
    log = TrialLog(tmp_path / "run" / "trials.jsonl")
    assert all(t.state == "failed" and "epoch 1" in t.reason for t in log)
    assert "Traceback" not in err


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_in_the_report(finished, tmp_path, dark):
    assert faults((finished[0] / "report.html").read_text(), tmp_path, dark) == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1400, 400])
def test_report_opens_in_a_browser_without_a_network(finished, tmp_path, width):
    page = finished[0] / "report.html"
    flags = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},1000",
        "--virtual-time-budget=8000",
    ]
    dom = subprocess.run([*flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120).stdout
    assert dom.count("main-svg") >= 4
    assert "small-phi1" in dom
    assert 'class="drawn"' in dom
    assert "EfficientNet's coefficients" in dom or "of the scaling search taught a network anything" in dom
    assert dom.count('class="ternary') + dom.count("ternarylayer") >= 1
    assert ('class="scroll cut"' in dom) == (width == 400)  # wide tables say that they scroll, where they do
    text = page.read_text()
    assert 'src="' not in text
    assert "http://" not in text
    assert "https://" not in text
    assert len(text) < 2_000_000
    assert dom.count('class="sort"') > 20  # tables sort, and can be copied and kept
    assert dom.count(">CSV<") == dom.count(">copy<") - dom.count('class="copy"') >= 3
    shot = tmp_path / "shot.png"
    subprocess.run([*flags, f"--screenshot={shot}", page.as_uri()], capture_output=True, timeout=120)
    assert shot.stat().st_size > 20_000
