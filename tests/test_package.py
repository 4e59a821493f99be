"""The package as somebody gets it: a wheel in an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds what the wheel built from the tree installs, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    kept = shutil.ignore_patterns(".git", "build", "*.egg-info", "__pycache__", "reports", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder / "source", ignore=kept)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder / "dist", folder / "source"], check=True, timeout=300)
    (wheel,) = (folder / "dist").glob("scalesearch-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, timeout=300)
    shutil.rmtree(folder / "source")
    return folder / "site"


def command(installed: Path, folder: Path, *arguments: str) -> str:
    """What a command says in a folder where only the installed package is to be found."""
    code = (
        f"import sys; sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]\n"
        "from scalesearch.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(installed)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_shipped_study_is_found_by_name(installed, tmp_path):
    plan = json.loads(command(installed, tmp_path, "run", "effnet_phi", "--dry-run", "--json"))
    assert [step["step"] for step in plan["steps"]] == ["base", "finalists", "scale", "family", "compare"]
    assert not list(tmp_path.iterdir())


def test_a_study_of_ones_own_runs_from_what_init_writes(installed, tmp_path):
    command(installed, tmp_path, "init")
    assert {p.name for p in tmp_path.iterdir()} == {
        "study.yaml",
        "space.yaml",
        "study.schema.json",
        "space.schema.json",
    }
    few = [
        "search.trials=2",
        "search.epochs=1",
        "scale.trials=4",
        "scale.epochs=1",
        "finalists.top=0",
        "family.phi=[0]",
        "compare=[]",
        "recipe.epochs=1",
        "recipe.data_share=0.2",
    ]
    options = [option for setting in few for option in ("--set", setting)]
    summary = json.loads(command(installed, tmp_path, "run", "study.yaml", *options, "--json"))
    assert summary["finished"]
    assert (tmp_path / "reports" / "study" / "report.html").stat().st_size > 1_000_000


def test_everything_that_is_read_at_run_time_is_there(installed, tmp_path):
    assert json.loads(command(installed, tmp_path, "zoo", "--family", "resnet", "--json"))[0]["top1"] > 60
    command(installed, tmp_path, "show", "resnet18", "--html", "net.html")
    assert json.loads(command(installed, tmp_path, "schema", "space"))["title"].startswith("scalesearch")
    assert (installed / "scalesearch" / "py.typed").exists()
    assert list(installed.glob("*.dist-info/licenses/LICENSE"))
