"""Runs whose folder is in an object store, searches in databases, and several drivers of one study."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from helpers import invoke, refused, same_weights
from starting import essence, finish, start

import scalesearch as ss
from scalesearch import yamlfile
from scalesearch.errors import InputError
from scalesearch.runs import sharing
from scalesearch.runs.leaving import _store
from scalesearch.runs.mirror import Mirror
from scalesearch.runs.running import Silent
from scalesearch.runs.sharing import Ledger, SharedDriver, run_id, with_driver
from scalesearch.trials import Job, Trial, outcome_of
from scalesearch.trials.log import TrialLog
from scalesearch.study import Driver, load_study
from scalesearch.trials import Place


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def postgres():
    """The URL of a PostgreSQL server of this module's own, on loopback."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(p) for p in [shutil.which("initdb")] if p]
    if not found:
        pytest.skip("PostgreSQL is not installed")
    binaries, folder = found[-1].resolve().parent, Path(tempfile.mkdtemp(prefix="pg"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    port = free_port()

    def do(*words):
        return subprocess.run([*as_user, *map(str, words)], check=True, capture_output=True, cwd="/")

    do(binaries / "initdb", "-D", folder / "data", "-U", "someone", "--auth=trust")
    do(
        binaries / "pg_ctl",
        "-D",
        folder / "data",
        "-w",
        "-o",
        f"-h 127.0.0.1 -p {port} -k {folder}",
        "-l",
        folder / "log",
        "start",
    )
    yield f"postgresql+psycopg://someone@127.0.0.1:{port}/postgres"
    do(binaries / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mysql():
    """The URL of a MariaDB server of this module's own, on loopback."""
    server = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if server is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("MariaDB is not installed")
    folder, port = Path(tempfile.mkdtemp(prefix="my")), free_port()
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(folder, "mysql")
        as_user = ["--user=mysql"]
    subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            *as_user,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=True,
        capture_output=True,
    )
    process = subprocess.Popen(
        [
            server,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            *as_user,
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"mysql+pymysql://root@127.0.0.1:{port}"
    engine = sqlalchemy.create_engine(url)
    try:
        for _ in range(100):
            try:
                with engine.begin() as connection:
                    connection.execute(sqlalchemy.text("create database studies"))
                break
            except sqlalchemy.exc.OperationalError:
                time.sleep(0.2)
        else:
            pytest.fail("MariaDB did not answer within 20 seconds")
        yield f"{url}/studies"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def store():
    """The address of an object store that speaks S3, with a bucket in it; what finds it are AWS's own variables."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        for key, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "k"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patched.setenv(key, value)
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def searched(table, tmp_path):
    """A study of a table, which needs no Ray."""
    path = tmp_path / "searched.yaml"
    facts = {"file": str(table), "decisions": ["ops"], "score": "acc"}
    path.write_text(
        yamlfile.dump(
            {"name": "searched", "table": facts, "search": {"with": "evolution", "trials": 30}, "seeds": [0, 1]}
        )
    )
    return path


def test_a_run_lives_in_a_store_and_comes_back_from_it(searched, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    url = "memory://runs/one"
    here = ss.run(searched, tmp_path / "here")
    there = ss.run(searched, url)
    assert [t.scores for t in there.trials] == [t.scores for t in here.trials]
    mirror = Mirror(url)
    names = {path.rpartition("/")[2] for path in mirror.fs.find(mirror.root)}
    assert {"study.yaml", "trials.jsonl", "report.html", "summary.json"} <= names
    assert "run.lock" not in names
    with pytest.raises(InputError, match="--resume"):
        ss.run(searched, url)
    mirror.fs.rm(f"{mirror.root}/trials.jsonl")  # as where a machine was lost before its first report
    shutil.rmtree(mirror.folder)

    class Watching(Silent):
        def known(self, trials):
            self.trials = trials

    watching = Watching()
    again = ss.run(searched, url, resume=True, observer=watching)
    assert len(watching.trials) == len(here.trials)  # none is done again
    assert [t.scores for t in again.trials] == [t.scores for t in here.trials]
    assert invoke("report", url).exit_code == 0


def test_what_is_no_store_or_leads_out_of_it_is_said(searched, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    assert "--out: nothere://x cannot be reached (Protocol not known" in refused(
        "run", str(searched), "--out", "nothere://x"
    )
    mirror = Mirror("memory://runs/two", tmp_path / "two")
    (tmp_path / "two").mkdir()
    with pytest.raises(InputError, match="leads out of it"):
        mirror.down(["../../x"])
    (tmp_path / "two" / "a").write_text("1")
    mirror.up()
    before = mirror.fs.modified(f"{mirror.root}/a")
    mirror.up()
    assert mirror.fs.modified(f"{mirror.root}/a") == before  # nothing has changed


@pytest.mark.parametrize(
    "storage, said",
    [
        ("here", "--storage: takes sqlite:///FILE"),
        ("sqlite:////no/where/x.db", "--storage: sqlite:////no/where/x.db is"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "--storage: postgresql+psycopg://me:***@127.0.0.1:1/x is no"),
        ("nosql://x", "--storage: nosql://x is no database"),
    ],
)
def test_no_storage(storage, said, searched, tmp_path):
    assert said in refused("run", str(searched), "--out", str(tmp_path / "run"), "--storage", storage)


@pytest.mark.slow
def test_searches_are_left_as_optuna_studies(finished, database, tmp_path):
    import optuna

    folder, _ = finished
    driver = Driver(load_study(folder / "study.yaml"), TrialLog(folder / "trials.jsonl", repair=False))
    for storage in (database, f"journal:{tmp_path / 'journal'}"):
        for _ in range(2):  # the second time finds what it would write
            _store(driver, storage, "small")
    kept = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal")))
    for storage in (database, kept):
        assert {"small/base", "small/scale"} <= set(optuna.study.get_all_study_names(storage))
        study = optuna.load_study(study_name="small/base", storage=storage)
        assert [t.value for t in study.trials] == [t.scores["val_accuracy"] for t in driver.log.of("base")]
        own = optuna.load_study(study_name="small/base", storage=f"sqlite:///{folder / 'optuna.db'}")
        for ours, theirs in zip(own.trials, study.trials, strict=True):  # written in one go, and one by one
            assert (ours.params, ours.distributions) == (theirs.params, theirs.distributions)
            assert (ours.values, ours.state, ours.system_attrs) == (theirs.values, theirs.state, theirs.system_attrs)


def test_drivers_that_start_at_once_do_not_trip_over_each_other(database):
    together = threading.Barrier(6)

    def starts(number: int) -> Ledger:
        together.wait()
        return Ledger(database, "run")

    with ThreadPoolExecutor(6) as pool:
        ledgers = list(pool.map(starts, range(6)))
    assert len({ledger.me for ledger in ledgers}) == 6


def test_a_claim_is_one_drivers_until_that_is_dead(database, monkeypatch):
    monkeypatch.setattr(sharing, "DEAD", 0.3)
    one, two, elsewhere = Ledger(database, "a"), Ledger(database, "a"), Ledger(database, "b")
    key = ("base", 0, 3)
    assert one.claim(key)
    assert not two.claim(key)
    assert one.claim(key)
    assert elsewhere.claim(key)
    with one.alive():
        monkeypatch.setattr(sharing, "BEAT", 0.05)
        assert not two.claim(key)
    assert two.claim(key)
    assert not one.claim(key)
    assert not one.claim(key)
    time.sleep(0.5)
    assert one.claim(key)  # two has not been heard of


def test_drivers_side_by_side_try_every_job_once(searched, database, tmp_path):
    study = load_study(searched)
    alone = ss.run(study, tmp_path / "alone")
    drivers = [
        SharedDriver(study, TrialLog(), lambda trial: None, Ledger(database, run_id(tmp_path, study))) for _ in range(3)
    ]
    tried, asked = Counter(), [None]
    while asked:
        asked = [(driver, job) for driver in drivers if (job := driver.next()) is not None]
        for driver, job in asked:  # all have theirs before any is done
            if isinstance(job, Job):
                tried[job.key] += 1
                driver.finish(job, outcome_of(study.evaluator, job, Place(tmp_path)))
    assert set(tried.values()) == {1}
    assert len(tried) == len(alone.trials)
    for driver in drivers:
        assert [(t.key, t.scores) for t in driver.trials] == [(t.key, t.scores) for t in alone.trials]


def test_a_long_trial_comes_back_whole(database):
    ledger = Ledger(database, "long")
    trial = Trial("base", 0, "base-000", {}, "", "", {}, {"seed": 0}, reason="é" * 200_000)
    assert ledger.tell(trial)
    assert [t.reason for t in ledger.news()] == [trial.reason]


@pytest.mark.parametrize(
    "short, long",
    [
        ("postgresql://me@db/x", "postgresql+psycopg://me@db/x"),
        ("postgres://db/x", "postgresql+psycopg://db/x"),
        ("mysql://me@db/x", "mysql+pymysql://me@db/x"),
        ("mariadb://db/x", "mysql+pymysql://db/x"),
        ("mysql+mysqldb://db/x", "mysql+mysqldb://db/x"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("here", "here"),
        ("journal:x", "journal:x"),
    ],
)
def test_an_address_without_a_driver_gets_that_of_the_extra(short, long):
    assert with_driver(short) == long


@pytest.mark.slow
def test_two_runs_share_a_study_by_a_database(study, postgres, tmp_path):
    out = tmp_path / "run"
    longer = ("recipe.data_share=1", "search.epochs=6", "scale.epochs=4")  # than the second needs to start
    options = ("--storage", postgres, *(f"--set={change}" for change in longer))
    runs = [start(study, out, *options) for _ in range(2)]
    for run in runs:
        finish(run)
    assert (out / "report.html").exists()
    lines = (out / "trials.jsonl").read_bytes().splitlines()[1:]
    keys = [(t["step"], t["fidelity"]["seed"], t["number"]) for t in map(json.loads, lines)]
    assert len(keys) == len(set(keys)) == 18
    with sqlalchemy.create_engine(postgres).connect() as connection:
        claims = connection.execute(
            sqlalchemy.text("select driver, step from scalesearch_claims where run like :run"),
            {"run": f"%{(out / 'shared.id').read_text()}"},
        ).fetchall()
    assert len({driver for driver, _ in claims}) == 2
    assert len(claims) == 18
    weights = next((out / "family").glob("*/weights.safetensors"))
    shutil.copy(weights, tmp_path / "before.safetensors")
    os.truncate(weights, 100)
    again = start(study, out, *options, "--resume")
    _, said = again.communicate(timeout=300)
    assert again.returncode == 1
    assert f"{weights} has 100 bytes" in said
    assert "Traceback" not in said
    finish(start(study, out, *options[2:], "--resume"))
    assert same_weights(weights, tmp_path / "before.safetensors")


@pytest.mark.slow
def test_a_run_in_an_object_store_goes_on_on_another_machine(study, finished, store, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "one"))
    url = f"{store}/run"
    process = start(study, url)
    while process.poll() is None and len(Mirror(url).fs.find(f"{Mirror(url).root}/trials")) < 4:
        time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "two"))
    finish(start(study, url, "--resume"))
    mirror = Mirror(url, tmp_path / "home")
    mirror.all_down()
    assert essence(tmp_path / "home") == essence(finished[0])
    assert (tmp_path / "home" / "report.html").exists()
    assert (tmp_path / "home" / "family" / "small-phi1" / "weights.safetensors").exists()
    assert not mirror.has("checkpoints")
    name = "family/small-phi1/weights.safetensors"
    mirror.fs.pipe_file(f"{mirror.root}/{name}", b"cut")
    assert "small-phi1 is trained again" in finish(start(study, url, "--resume"))
    mirror.all_down()
    assert same_weights(tmp_path / "home" / name, finished[0] / name)
