"""Folders and locks of processes, some of which were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from scalesearch import files
from scalesearch.errors import InputError
from scalesearch.files import cache_folder, exclusive_lock, process_folder

HOLDER = """
import sys, time
from scalesearch.files import process_folder
with process_folder("scalesearch-test") as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(monkeypatch, tmp_path):
    """Another process with a folder of its own, and that folder."""
    monkeypatch.setattr(files, "LOCK_GRACE", 0.0)
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.wait()


def test_the_folder_of_a_live_process_stays_whatever_its_number_says(holder, monkeypatch):
    """As in containers that share a folder for temporary files, where a number says nothing, and without /proc."""
    _, theirs = holder
    monkeypatch.setattr(psutil, "pid_exists", lambda pid: False)
    renamed = theirs.with_name(f"scalesearch-test-{2**22 + 1}-x")  # no such process here
    theirs.rename(renamed)
    with process_folder("scalesearch-test") as ours:
        assert ours.is_dir()
        assert renamed.is_dir()
    assert not ours.exists()
    assert renamed.is_dir()
    renamed.rename(theirs)


def test_the_folder_of_a_killed_process_goes(holder):
    process, theirs = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert theirs.is_dir()
    with process_folder("scalesearch-test"):
        assert not theirs.exists()


def test_a_folder_that_is_nobodys_stays():
    strangers = Path(tempfile.mkdtemp(prefix=f"scalesearch-test-{os.getpid()}-"))
    with process_folder("scalesearch-test"):
        assert strangers.is_dir()
    strangers.rmdir()


def test_a_lock_is_one_processs_alone(tmp_path):
    with (
        exclusive_lock(tmp_path / "lock", "in use"),
        pytest.raises(InputError, match="in use"),
        exclusive_lock(tmp_path / "lock", "in use"),
    ):
        pass
    with exclusive_lock(tmp_path / "lock", "in use"):
        assert (tmp_path / "lock").exists()


def test_the_cache_lies_where_it_is_named_or_where_the_platform_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "named"))
    assert cache_folder("scans") == tmp_path / "named" / "scans"
    monkeypatch.delenv("SCALESEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in cache_folder("scans").parents
