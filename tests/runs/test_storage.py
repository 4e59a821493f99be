"""Runs whose folder is in an object store, and searches that are written into Optuna's storage as they run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random

import pytest
import sqlalchemy
from driving import drive, write_study
from helpers import invoke, refused, same_weights
from starting import essence, finish, start

import scalesearch as ss
from scalesearch import yamlfile
from scalesearch.errors import InputError
from scalesearch.runs.mirror import Mirror
from scalesearch.runs.optuna_listener import OptunaListener
from scalesearch.searchers.optuna_storage import StudyWriter, with_driver
from scalesearch.study import Driver, load_study
from scalesearch.trials import Event
from scalesearch.trials.log import TrialLog


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

    events: list[Event] = []
    again = ss.run(searched, url, resume=True, observer=events.append)
    finished = [event for event in events if event.kind == "finished" and event.trial]
    assert len(finished) == len(here.trials)
    assert all(event.resumed for event in finished)  # none is done again
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
        mirror.download(["../../x"])
    (tmp_path / "two" / "a").write_text("1")
    mirror.upload()
    before = mirror.fs.modified(f"{mirror.root}/a")
    mirror.upload()
    assert mirror.fs.modified(f"{mirror.root}/a") == before  # nothing has changed


@pytest.mark.parametrize(
    "storage, message",
    [
        ("here", "--storage: takes sqlite:///FILE"),
        ("sqlite:////no/where/x.db", "--storage: sqlite:////no/where/x.db is"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "--storage: postgresql+psycopg://me:***@127.0.0.1:1/x is no"),
        ("nosql://x", "--storage: nosql://x is no database"),
    ],
)
def test_no_storage(storage, message, searched, tmp_path):
    assert message in refused("run", str(searched), "--out", str(tmp_path / "run"), "--storage", storage)


def written(listener: OptunaListener, driver: Driver) -> None:
    listener.attach(driver)
    listener.close()


@pytest.mark.slow
def test_searches_are_optuna_studies_with_times_names_and_costs(finished, database, tmp_path):
    import optuna

    folder, _ = finished
    driver = Driver(load_study(folder / "study.yaml"), TrialLog(folder / "trials.jsonl", repair=False))
    for storage in (database, f"journal:{tmp_path / 'journal'}"):
        for _ in range(2):  # the second time finds what it would write
            written(OptunaListener(partial(StudyWriter, storage), "small", pytest.fail), driver)

    def journal(path):
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))

    for storage in (with_driver(database), journal(tmp_path / "journal"), journal(folder / "optuna.journal")):
        assert {"small/base", "small/scale"} <= set(optuna.study.get_all_study_names(storage))
        study = optuna.load_study(study_name="small/base", storage=storage)
        trials = sorted(driver.log.of("base"), key=lambda t: t.name)
        written_trials = sorted(study.trials, key=lambda t: t.user_attrs["name"])  # of a run: as they ended
        assert [t.value for t in written_trials] == [t.scores["val_accuracy"] for t in trials]
        assert [t.user_attrs["macs"] for t in written_trials] == [t.cost["macs"] for t in trials]
        assert [t.user_attrs["network"] for t in written_trials] == [t.network for t in trials]
        assert study.metric_names == ["val_accuracy"]
        seconds = [t.duration.total_seconds() for t in written_trials]
        whole_seconds = isinstance(storage, str) and storage.startswith("mysql")  # as Optuna's columns have them there
        assert seconds == pytest.approx([t.seconds for t in trials], abs=1.01 if whole_seconds else 1e-3)


@pytest.mark.slow
def test_a_study_runs_on_while_its_storage_is_locked(study, finished, tmp_path):
    """For thirty seconds in the middle of the run nothing can be written."""
    import optuna

    storage, out = tmp_path / "locked.db", tmp_path / "run"
    process = start(study, out, "--storage", f"sqlite:///{storage}")
    names: list[str] = []
    while process.poll() is None and len(names) < 2:
        time.sleep(0.2)
        names = study_names(storage)
    while_locked = sqlite3.connect(storage, isolation_level=None, timeout=60)
    while_locked.execute("begin exclusive")
    before = (out / "trials.jsonl").read_bytes().count(b"\n")
    time.sleep(30)
    after = (out / "trials.jsonl").read_bytes().count(b"\n")
    while_locked.execute("rollback")
    while_locked.close()
    finish(process)
    assert before < 18
    assert after > before
    assert essence(out) == essence(finished[0])
    name = next(n for n in optuna.study.get_all_study_names(f"sqlite:///{storage}") if n.endswith("/base"))
    found = optuna.load_study(study_name=name, storage=f"sqlite:///{storage}")
    assert len(found.trials) == 5


def study_names(storage: Path) -> list[str]:
    """The trials of the first study that stand in a database already, as far as it can be read."""
    try:
        with sqlite3.connect(f"file:{storage}?mode=ro", uri=True) as connection:
            return [row[0] for row in connection.execute("select trial_id from trials")]
    except sqlite3.OperationalError:
        return []


def test_a_storage_that_stays_away_is_told_and_stops_nothing(tmp_path, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr("scalesearch.runs.optuna_listener.PATIENCE", 0.5)
    writer = StudyWriter(f"sqlite:///{tmp_path / 'away.db'}")
    monkeypatch.setattr(writer, "storage", "sqlite:////no/where/x.db")
    listener = OptunaListener(lambda: writer, "searched", lines.append)
    study = load_study(write_study(tmp_path))
    written(listener, Driver(study, drive(study, tmp_path / "trials.jsonl", Random(0))))
    assert "19 trials could not be written" in lines[0]


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
    mirror.download_all()
    assert essence(tmp_path / "home") == essence(finished[0])
    assert (tmp_path / "home" / "report.html").exists()
    assert (tmp_path / "home" / "family" / "small-phi1" / "weights.safetensors").exists()
    assert not mirror.has("checkpoints")
    name = "family/small-phi1/weights.safetensors"
    mirror.fs.pipe_file(f"{mirror.root}/{name}", b"cut")
    assert "small-phi1 is trained again" in finish(start(study, url, "--resume"))
    mirror.download_all()
    assert same_weights(tmp_path / "home" / name, finished[0] / name)
