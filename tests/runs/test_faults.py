"""Runs that are stopped, limited or hit by faults: nothing finished is lost, and they end as those left alone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from helpers import refused, same_weights
from starting import essence, finish, start

from scalesearch.errors import InputError
from scalesearch.runs.ray_cleanup import cleanup_after
from scalesearch.runs.ray_tune import _check_enough
from scalesearch.study.reading import load_study
from scalesearch.study.study import Resources, parse_seconds
from scalesearch.trials.log import TrialLog


def wait_for(log: Path, lines: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") > lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"it ended or hung before {lines} trials")


def left_over() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("scalesearch-*")}


def size(folder: str) -> int:
    """Of all files in a folder for temporary ones, some of which may go meanwhile."""
    total = 0
    for place, _, names in os.walk(Path(tempfile.gettempdir()) / folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def gone(processes: list[psutil.Process], timeout: float = 20) -> bool:
    return not psutil.wait_procs(processes, timeout=timeout)[1]


@pytest.mark.slow
def test_signals_end_a_run_saved_and_told_how_to_go_on(study, finished, tmp_path):
    before, out = left_over(), tmp_path / "run"
    again = [sys.executable, "-m", "scalesearch", "run", str(study), "--out", str(out)]
    for number, lines in ((signal.SIGTERM, 2), (signal.SIGINT, 8)):
        process = subprocess.Popen(again, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(out / "trials.jsonl", lines, process)
        helpers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, number)
        _, message = process.communicate(timeout=60)
        assert process.returncode == 128 + number, message
        assert "Traceback" not in message, message
        assert (out / "report.html").exists()
        assert gone(helpers)
        assert left_over() <= before
        command = shlex.split(message.split("go on with: ")[1])
        assert command[:2] == ["scalesearch", "run"]
        assert command[-1] == "--resume"
        again = [sys.executable, "-m", *command]
    done = subprocess.run(again, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0
    assert essence(out) == essence(finished[0])


@pytest.mark.slow
def test_a_second_ctrl_c_ends_it_at_once(study, tmp_path):
    out = tmp_path / "run"
    process = start(study, out, "--set", "recipe.epochs=2000", "--set", "search.epochs=2000")
    wait_for(out / "study.yaml", 0, process)
    deadline = time.monotonic() + 60
    while not list(out.glob("checkpoints/*")) and time.monotonic() < deadline:  # a trial has begun
        time.sleep(0.1)
    helpers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in message
    assert "Traceback" not in message
    assert gone(helpers)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.0, 1.5])
def test_a_signal_while_ray_starts_ends_the_run_in_order(study, number, delay, tmp_path):
    """A terminal's Ctrl-C comes to the whole group of processes."""
    before, out = left_over(), tmp_path / "run"
    process = start(study, out)
    deadline = time.monotonic() + 60
    while not (started := left_over() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert any(name.startswith(f"scalesearch-ray-{process.pid}") for name in started)
    time.sleep(delay)
    helpers = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 128 + number, message
    assert "Traceback" not in message, message
    assert "--resume" in message
    assert gone(helpers)
    assert left_over() <= before


@pytest.mark.slow
def test_a_limit_holds_across_resumes(study, finished, tmp_path):
    out = tmp_path / "run"
    message = finish(start(study, out, "--set", "ray.max_wall_time=8s"))
    assert "max_wall_time (8s) is used up" in message
    assert 0 < len(TrialLog(out / "trials.jsonl")) < 18
    spent = json.loads((out / "spent.json").read_text())["seconds"]
    assert 8 <= spent < 20
    finish(start(study, out, "--resume"))
    assert essence(out) == essence(finished[0])
    assert json.loads((out / "summary.json").read_text())["seconds"] > spent


@pytest.mark.slow
def test_trials_that_hang_crash_exit_or_shout_are_failures_of_their_own(tmp_path):
    before = left_over()
    faulty = [sys.executable, str(Path(__file__).parent / "faulty.py"), str(tmp_path / "run")]
    process = subprocess.Popen(faulty, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    largest = 0
    while process.poll() is None:
        largest = max(largest, sum(map(size, left_over() - before)))
        time.sleep(0.5)
    out, err = process.communicate()
    assert process.returncode == 0, err
    payload = {int(width): tuple(outcome) for width, outcome in json.loads(out).items()}
    assert {width for width, (state, _) in payload.items() if state == "done"} == {8, 40, 56}
    assert "it took longer than trial_timeout, at File" in payload[16][1]
    assert "faulty.py" in payload[16][1]
    assert payload[24][1].startswith("the process died: segmentation fault, at File")
    assert payload[32][1] == "its process was killed 3 times, or its machine has gone"
    assert payload[48][1].startswith("RuntimeError: on purpose (faulty.py:")
    assert payload[64][1].startswith("MemoryError:")
    assert payload[72][1].startswith("the loss became nan in epoch 1 of 1")
    assert "Traceback" not in err
    assert left_over() <= before
    assert largest < 500_000_000


def test_only_rays_own_processes_are_ended(tmp_path):
    """Whoever looks at a file in its folder stays; what Ray runs there goes, and what was started for it elsewhere."""
    (tmp_path / "a" / "ray").mkdir(parents=True)
    (tmp_path / "a" / "log").write_text("x")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "agent.py").write_text("import time\ntime.sleep(60)")
    looks = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; f = open(sys.argv[1]); time.sleep(60)", str(tmp_path / "a" / "log")]
    )
    agent, other = (
        subprocess.Popen([sys.executable, str(tmp_path / "ray" / "agent.py"), str(tmp_path / name)])
        for name in ("a", "b")
    )
    try:
        with cleanup_after(tmp_path / "a"):
            pass
        assert agent.wait(1) == -signal.SIGTERM
        assert looks.poll() is None
        assert other.poll() is None
        assert not (tmp_path / "a").exists()
    finally:
        looks.kill(), other.kill(), agent.kill()


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_a_trial_that_wants_too_much_of_a_gpu_fails_and_what_one_leaves_there_goes_with_it(tmp_path):
    free, _ = torch.cuda.mem_get_info()
    faulty = [sys.executable, str(Path(__file__).parent / "faulty.py"), str(tmp_path / "run"), "gpu"]
    done = subprocess.run(faulty, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    payload = {int(width): tuple(outcome) for width, outcome in json.loads(done.stdout).items()}
    assert {width for width, (state, _) in payload.items() if state == "done"} == {8, 40, 56, 88}
    assert payload[80][1].startswith("OutOfMemoryError:")
    assert "Traceback" not in done.stderr
    deadline = time.monotonic() + 30
    while (left := torch.cuda.mem_get_info()[0]) < free - (1 << 28) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left >= free - (1 << 28), "a gibibyte was left on the GPU"


def test_what_no_node_can_give_is_refused():
    nodes = [{"CPU": 4.0, "memory": 1e9, "node:1": 1.0}, {"CPU": 2.0, "GPU": 1.0, "accelerator_type:A100": 1.0}]
    study = load_study("effnet_phi")

    def wants(**asked):
        return _check_enough(replace(study, ray=Resources(**asked)), nodes)

    wants(cpus_per_trial=4)
    wants(cpus_per_trial=2, gpus_per_trial=0.25, accelerator_type="A100")
    for asked, message in (
        ({"cpus_per_trial": 5}, "ray.cpus_per_trial: a trial wants 5 CPU, and no node .* more than 4"),
        ({"cpus_per_trial": 4, "gpus_per_trial": 1}, "ray: a trial wants 4 CPU, 1 GPU on one node"),
        ({"resources": {"tpu": 1}}, "ray.resources.tpu: a trial wants 1 tpu"),
        ({"accelerator_type": "H100"}, "ray.accelerator_type: a trial wants .*H100, .* any .*A100"),
    ):
        with pytest.raises(InputError, match=message):
            wants(**asked)


@pytest.mark.slow
def test_too_much_is_refused_in_seconds(study, tmp_path):
    started = time.monotonic()
    message = refused("run", str(study), "--out", str(tmp_path / "run"), "--set", "ray.cpus_per_trial=1000")
    assert "ray.cpus_per_trial: a trial wants 1000 CPU" in message
    assert time.monotonic() - started < 30
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("payload, wanted", [(90, 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172_800)])
def test_times_as_people_write_them(payload, wanted):
    assert parse_seconds(payload, "x") == wanted


@pytest.mark.parametrize("payload", ["soon", "-3m", "0", "1e99h", "nan", "h", True])
def test_no_times(payload, study):
    with pytest.raises(InputError, match="takes seconds, or a time as 90s"):
        parse_seconds(payload, "x")
    message = refused("run", str(study), "--dry-run", "--set", f"ray.max_wall_time={payload}")
    assert "ray.max_wall_time: takes" in message


def test_gpu_hours_are_a_limit_too():
    limits = Resources(gpus_per_trial=0.5, max_gpu_hours=2)
    assert not limits.reached(1e9, 7199)
    assert "max_gpu_hours (2) are used up" in limits.reached(0, 7200)
    assert "max_wall_time (1m) is used up" in Resources(max_wall_time="1m").reached(60, 0)


def trying(pid: int) -> Iterator[psutil.Process]:
    """The processes below one that try networks."""
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if "Trainable" in " ".join(process.cmdline()):
                yield process


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing_but_its_time(study, finished, tmp_path):
    out = tmp_path / "run"
    process = start(study, out)
    killed = 0
    while process.poll() is None and killed < 3:
        at_work = list(trying(process.pid))
        log = out / "trials.jsonl"
        if at_work and log.exists() and len(TrialLog(log, repair=False)) > 4 * killed:
            at_work[0].kill()
            killed += 1
        time.sleep(0.1)
    _, message = process.communicate(timeout=400)
    assert process.returncode == 0, message
    assert killed == 3, message
    assert essence(out) == essence(finished[0])
    assert "Traceback" not in message


@pytest.mark.slow
def test_a_resume_looks_at_what_was_left(study, finished, tmp_path):
    """Weights cut short, gone or another's are made again, to the bit; so are model, report and database."""
    out, whole = tmp_path / "run", finished[0]
    shutil.copytree(whole, out)
    members = sorted(path.name for path in (out / "family").iterdir())
    cut, foreign = (out / "family" / name / "weights.safetensors" for name in members[:2])
    os.truncate(cut, 500)
    content = bytearray(foreign.read_bytes())
    content[-1] ^= 1
    foreign.write_bytes(content)
    for path in (out / "family" / members[0] / "model.py", out / "report.html", out / "optuna.journal"):
        path.write_bytes(b"cut")
    (out / "family" / members[1] / "arch.yaml").unlink()
    message = finish(start(study, out, "--resume"))
    assert f"{cut} has 500 bytes, and " in message
    assert f"{members[0]} is trained again" in message
    assert f"{foreign} holds something else than was written; {members[1]} is trained again" in message
    for member in members:
        there, as_left = (folder / "family" / member for folder in (out, whole))
        assert same_weights(there / "weights.safetensors", as_left / "weights.safetensors")
        assert all((there / name).read_bytes() == (as_left / name).read_bytes() for name in ("model.py", "arch.yaml"))
    assert (out / "report.html").stat().st_size > 100_000
    assert (out / "optuna.journal").read_bytes().startswith(b"{")
    assert essence(out) == essence(whole)
    assert "is trained again" not in finish(start(study, out, "--resume"))


@pytest.mark.slow
def test_the_end_of_ray_itself_loses_nothing(study, finished, tmp_path):
    out = tmp_path / "run"
    process = start(study, out)
    wait_for(out / "trials.jsonl", 4, process)
    helpers = psutil.Process(process.pid).children(recursive=True)
    listening = [c.laddr.ip for p in helpers for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(listening) > 4
    assert all(ip.removeprefix("::ffff:") == "127.0.0.1" for ip in listening)
    next(p for p in helpers if p.name() == "gcs_server").kill()
    process.communicate(timeout=120)
    before = (out / "trials.jsonl").read_bytes()
    assert process.returncode != 0
    assert gone(helpers)
    assert all(t.done for t in TrialLog(out / "trials.jsonl", repair=False))  # nobody is blamed for it
    finish(start(study, out, "--resume"))
    assert essence(out) == essence(finished[0])
    assert (out / "trials.jsonl").read_bytes().startswith(before)
    assert not {name for name in left_over() if f"-{process.pid}-" in name}
