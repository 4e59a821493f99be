"""What several tests share: the repository's files, reference facts, and peers that import."""

from __future__ import annotations

import csv
import gc
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
FACTS = ROOT / "tests" / "data"  # small facts of others; its README.md names their sources and terms
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
MBCONV = ROOT / "search_spaces" / "mbconv.yaml"
SHARED = ROOT.parent / "shared"  # photos and whole tables, which are no part of the repository
sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("default")
THREADS = 1  # two processes test side by side
WITH_RAY = (
    "tests/study/test_tables.py::test_a_table_through_ray_finds_the_same",
    "tests/test_package.py::test_a_study_of_ones_own_runs_from_what_init_writes",
)


def pytest_collection_modifyitems(items):
    """First what starts Ray, which takes longest."""
    items.sort(key=lambda item: not starts_ray(item.nodeid))


def pytest_xdist_make_scheduler(config, log):
    """A file's tests run in one process and share its fixtures; those that start Ray run one after the other."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "ray" if starts_ray(nodeid) else super()._split_scope(nodeid)

    return Scheduling(config, log)


def starts_ray(nodeid):
    return nodeid.startswith("tests/runs/") or nodeid.split("[")[0] in WITH_RAY


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """What earlier tests have left for good is not looked through at every collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_threads():
    """Rounding hangs on the number of threads, and a test may train in this process on another."""
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def reference() -> list[dict[str, str]]:
    """Rows of the peers' measured params and MACs."""
    return facts("zoo.csv")


def facts(name: str) -> list[dict[str, str]]:
    """Rows of a table of facts."""
    with open(FACTS / name, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def torchvision_models():
    """`torchvision.models`, its compiled operators declared so that it imports beside CPU torch."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in (
        ("nms", "(Tensor a, Tensor b, float c) -> Tensor"),
        ("qnms", "(Tensor a, Tensor b, float c) -> Tensor"),
    ):
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + schema)
    import torchvision.models

    return torchvision.models


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """The file of a small table with interactions."""
    from tabling import write_table

    return write_table(tmp_path_factory.mktemp("table") / "t.npz")


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The file of a small study that takes under a minute."""
    from starting import STUDY

    from scalesearch import yamlfile

    path = tmp_path_factory.mktemp("study") / "small.yaml"
    path.write_text(yamlfile.dump(STUDY))
    return path


@pytest.fixture(scope="session")
def finished(study, tmp_path_factory):
    """Its run, left alone: the folder, and what the command said."""
    from starting import finish, start

    out = tmp_path_factory.mktemp("runs") / "whole"
    message = finish(start(study, out))
    return out, message
