"""Studies as jobs on a real Ray cluster of two nodes with a token, each of separate processes on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import TINY_SPACE, refused
from starting import essence, start

from scalesearch import yamlfile
from scalesearch.errors import WorkFailed
from scalesearch.runs import ray_jobs
from scalesearch.runs.archive import BEGIN, END, pack, unpack
from scalesearch.study import load_study
from scalesearch.trials.log import TrialLog

TOKEN = "0123456789abcdef" * 4
RAY = Path(sys.executable).parent / "ray"


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def ray(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(RAY), *arguments], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Its dashboard's address. What is stopped in the end are this cluster's processes alone."""
    pytest.importorskip("aiohttp", reason="Ray's dashboard is not installed: pip install 'scalesearch[cluster]'")
    import psutil

    port, dashboard = free_port(), free_port()
    there = {process.pid for process in psutil.process_iter()}
    session = Path("/tmp") / f"rc{os.getpid()}"
    with pytest.MonkeyPatch.context() as patched:
        for key, value in (
            ("RAY_AUTH_MODE", "token"),
            ("RAY_AUTH_TOKEN", TOKEN),
            ("RAY_USAGE_STATS_ENABLED", "0"),
            ("PATH", f"{RAY.parent}{os.pathsep}{os.environ['PATH']}"),
            ("HOME", str(tmp_path_factory.mktemp("home"))),
            ("SCALESEARCH_CACHE", str(tmp_path_factory.mktemp("cache"))),
        ):
            patched.setenv(key, value)
        try:
            head = ray(
                "start",
                "--head",
                f"--port={port}",
                "--dashboard-host=127.0.0.1",
                f"--dashboard-port={dashboard}",
                "--include-dashboard=true",
                "--num-cpus=1",
                f"--temp-dir={session}",
                "--node-ip-address=127.0.0.1",
            )
            assert head.returncode == 0, head.stdout + head.stderr
            second = ray("start", f"--address=127.0.0.1:{port}", "--num-cpus=1", "--node-ip-address=127.0.0.1")
            assert second.returncode == 0, second.stdout + second.stderr
            yield f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}"
        finally:  # also where it did not start as a whole: what is left would be in the way of other Rays' ports
            ours = [
                p
                for p in psutil.process_iter(["cmdline"])
                if p.pid not in there
                and any(str(session) in part or f":{port}" in part for part in p.info["cmdline"] or [])
            ]
            for process in ours:
                process.kill()
            shutil.rmtree(session, ignore_errors=True)


def command(*arguments: str, **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "scalesearch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def done(*arguments: str, code: int = 0) -> subprocess.CompletedProcess:
    """In a process of its own: Ray keeps the token that it once had, and other tests want a Ray without one."""
    ended = subprocess.run(
        [sys.executable, "-m", "scalesearch", *arguments], capture_output=True, text=True, timeout=400
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def listed(address: str) -> list[dict]:
    return json.loads(done("jobs", "--address", address, "--json").stdout)


@pytest.mark.slow
def test_a_study_survives_the_terminal_and_comes_home(cluster, study, finished, tmp_path):
    address, _ = cluster
    terminal = command("submit", str(study), "--address", address, start_new_session=True)
    for line in terminal.stdout:
        if line.startswith("[3/"):
            break
    os.killpg(terminal.pid, signal.SIGKILL)  # as a terminal that is closed
    terminal.wait()
    (job,) = listed(address)
    assert job["study"] == "small"
    assert job["status"] == "RUNNING"
    done("fetch", job["job"], "--address", address, "--out", str(tmp_path / "early"))
    assert (tmp_path / "early" / "study.yaml").exists()
    message = done("attach", job["job"], "--address", address)
    assert "[1/18]" in message.stdout
    assert "[18/18]" in message.stdout
    assert "fetch" in message.stderr
    home = tmp_path / "home"
    done("fetch", job["job"], "--address", address, "--out", str(home))
    assert essence(home) == essence(finished[0])
    assert (home / "report.html").exists()
    assert (home / "family" / "small-phi1" / "weights.safetensors").exists()
    assert listed(address)[0]["status"] == "SUCCEEDED"


@pytest.mark.slow
def test_a_job_is_stopped_saved_and_gone_on_with_where_it_was(cluster, study, finished, tmp_path):
    address, _ = cluster
    out = tmp_path / "run"
    submitted = ("submit", str(study), "--address", address, "--out", str(out), "--detach")
    job = done(*submitted).stdout.strip()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (out / "trials.jsonl").exists() and len(TrialLog(out / "trials.jsonl", repair=False)) > 3:
            break
        time.sleep(0.2)
    assert "stopped" in done("stop", job, "--address", address).stdout
    assert 3 < len(TrialLog(out / "trials.jsonl", repair=False)) < 18
    assert (out / "report.html").exists()
    again = done(*submitted, "--resume").stdout.strip()
    done("attach", again, "--address", address)
    assert essence(out) == essence(finished[0])


@pytest.mark.slow
def test_a_run_joins_a_cluster_whose_nodes_come_and_go(cluster, study, finished, tmp_path):
    """One node joins while it runs, and is killed with what was being tried there."""
    import psutil

    _, head = cluster
    before = {process.pid for process in psutil.process_iter()}
    out = tmp_path / "run"
    process = start(study, out, "--address", head)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (out / "trials.jsonl").exists():
        time.sleep(0.1)
    joined = ray("start", f"--address={head}", "--num-cpus=2", "--node-ip-address=127.0.0.1")
    assert joined.returncode == 0
    time.sleep(6)
    new = [p for p in psutil.process_iter(["name"]) if p.pid not in before and p.info["name"] == "raylet"]
    for raylet in new:
        raylet.kill()
    _, message = process.communicate(timeout=400)
    assert process.returncode == 0, message
    assert new, message
    assert essence(out) == essence(finished[0])
    assert (out / "report.html").exists()


@pytest.mark.slow
def test_a_cluster_that_is_silent_or_wants_a_token_is_said_in_a_line(cluster, study, monkeypatch):
    address, _ = cluster
    assert "there is no such study at http" in done("attach", "nope", "--address", address, code=2).stderr
    relative = done("submit", str(study), "--address", address, "--out", "here", code=2)
    assert "takes an absolute path" in relative.stderr
    silent = f"http://127.0.0.1:{free_port()}"
    assert f"--address: no Ray dashboard answers at {silent}" in done("jobs", "--address", silent, code=2).stderr
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    assert "wants its token: set RAY_AUTH_MODE=token" in done("jobs", "--address", address, code=2).stderr


def test_a_cluster_that_has_just_started_is_waited_for_and_no_name_is_a_command(study, monkeypatch):
    class Client:
        tries = 0

        def submit_job(self, **sent):
            self.tries, self.sent = self.tries + 1, sent
            if self.tries < 3:
                raise RuntimeError("Request failed with status code 500: No available agent to submit job")
            return "job"

    monkeypatch.setattr(ray_jobs, "POLL_SECONDS", 0.0)
    client = Client()
    named = replace(load_study(study), name='x"; touch /tmp/owned; `id` $(id) "')
    assert ray_jobs.ClusterJobs("http://x", client).submit(named) == "job"
    assert client.tries == 3
    assert re.fullmatch(
        r'python -m scalesearch run study.yaml --address auto --out "\$HOME/scalesearch/[\w.-]+"',
        client.sent["entrypoint"],
    )


def test_what_is_packed_comes_out_among_other_lines(tmp_path):
    run = tmp_path / "run"
    (run / "family").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "x.pt").write_bytes(b"x")
    (run / "family" / "w").write_bytes(os.urandom(100_000))
    lines = ["Runtime env is setting up.", *pack(run), "bye"]
    unpack(lines, tmp_path / "home", "nothing")
    assert (tmp_path / "home" / "family" / "w").read_bytes() == (run / "family" / "w").read_bytes()
    assert not (tmp_path / "home" / "checkpoints").exists()
    for few in ([], list(pack(tmp_path / "none")), lines[:-2], [BEGIN, END]):
        with pytest.raises(WorkFailed, match="nothing"):
            unpack(few, tmp_path / "other", "nothing")


def test_what_leads_out_of_the_folder_is_not_unpacked(tmp_path):
    import base64
    import io
    import tarfile

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        member = tarfile.TarInfo("../out.txt")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    lines = [BEGIN, base64.b64encode(held.getvalue()).decode(), END]
    with pytest.raises(WorkFailed, match="what came back is refused"):
        unpack(lines, tmp_path / "home", "nothing")
    assert not (tmp_path / "out.txt").exists()


OWN = """
from scalesearch import register_block

def gate(x, *, width: int, stride: int = 1):
    wide = x.conv(width, stride=stride).norm()
    return wide * wide.act("sigmoid")

register_block(gate)
"""


@pytest.mark.slow
def test_blocks_of_ones_own_are_run_from_files_that_are_named_alone(tmp_path):
    space = TINY_SPACE | {"stages": [{"gate": {"width": {"choice": [8, 16, 24, 32]}}}]}
    (tmp_path / "own.py").write_text(OWN)
    text = {
        "name": "own",
        "space": space,
        "data": "digits",
        "resolution": 16,
        "budget": {"macs": "1M"},
        "search": {"with": "random", "trials": 2, "epochs": 1},
        "finalists": {"top": 0},
        "scale": {"with": "random", "trials": 4, "tolerance": 0.5, "epochs": 1},
        "family": {"phi": [0]},
        "recipe": {"epochs": 1, "data_share": 0.2},
    }
    (tmp_path / "study.yaml").write_text(yamlfile.dump(text))
    assert "space.stages[0].gate: unknown" in refused("run", str(tmp_path / "study.yaml"), "--dry-run")
    done("--blocks", str(tmp_path / "own.py"), "run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "run"))
    assert all(t.done for t in TrialLog(tmp_path / "run" / "trials.jsonl"))
    for name, content, words in (
        ("bad", "1 / 0", "bad.py:1: ZeroDivisionError"),
        ("no", "", "registers no block"),
        ("syntax", "def", "SyntaxError"),
    ):
        (tmp_path / f"{name}.py").write_text(content)
        assert words in refused("--blocks", str(tmp_path / f"{name}.py"), "zoo")


def test_recipes_for_clusters_are_what_their_tools_read():
    import ray.autoscaler
    from jsonschema import validate

    docs = Path(__file__).parents[2] / "docs" / "clusters"
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    validate(yamlfile.read(docs / "cluster.yaml").data, schema)
    job = yamlfile.read(docs / "rayjob.yaml").data  # held against KubeRay's own schema when it was written
    assert job["kind"] == "RayJob"
    assert {"headGroupSpec", "workerGroupSpecs"} <= job["spec"]["rayClusterSpec"].keys()
    subprocess.run(["bash", "-n", str(docs / "slurm.sh")], check=True)
