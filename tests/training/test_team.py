"""A network that several processes train together comes out as from one."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest
import torch
from safetensors.torch import load_file

from scalesearch import zoo
from scalesearch.arch import adapt, expand
from scalesearch.counting import cost
from scalesearch.data import source
from scalesearch.study import parse_recipe
from scalesearch.training import Training
from scalesearch.training.team import Team
from scalesearch.trials import TASKS, Job, Place

PLAIN = {
    "epochs": 1,
    "data_share": 0.1,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "shift": 0.0,
    "rotate": 0.0,
    "zoom": 0.0,
    "flip": False,
    "dropout": 0.0,
    "drop_path": 0.0,
}


def training_of(**recipe):
    return Training(TASKS["classification"], source("digits", 16), 16, parse_recipe({"base": "quick", **recipe}))


def job_of(training, name="resnet20_cifar"):
    arch = adapt(zoo.model(name), resolution=16, classes=10, channels=1)
    arch = arch.with_(drop_path=0.0)
    return Job(
        "base",
        0,
        name,
        expand(arch).digest,
        {},
        0,
        arch,
        cost(arch)._asdict(),
        until=training.recipe.epochs,
        of=training.recipe.epochs,
        recipe=training.recipe,
        final=True,
        weights=f"weights/{name}.safetensors",
    )


def outcome(training, job, place):
    *_, last = training.evaluate(job, place)
    return last.outcome, load_file(place.folder / job.weights)


@pytest.mark.parametrize(
    "changes", [pytest.param({}, marks=pytest.mark.slow), {"batch_size": 51, "micro_batch": 7, "clip_norm": 0.1}]
)
def test_two_processes_come_to_what_one_does(changes, tmp_path):
    """By SGD: Adam makes steps of one length of whatever rounding leaves of a gradient that is 0."""
    whole = {key: value for key, value in changes.items() if key != "micro_batch"}  # norms see the whole part
    one = training_of(**PLAIN, **whole, **({"micro_batch": 14} if changes else {}))
    two = training_of(**PLAIN, **changes)
    alone, own = outcome(one, job_of(one), Place(tmp_path / "one"))
    shared, theirs = outcome(two, job_of(two), Place(tmp_path / "two", processes=2))
    assert [*shared["history"][0].values()] == pytest.approx([*alone["history"][0].values()], abs=1e-5)
    assert own.keys() == theirs.keys()
    assert shared["built"] == alone["built"]
    for key in own:  # statistics are sums over all images, layer after layer
        tolerance = 1e-3 if "running" in key else 1e-5
        assert torch.allclose(own[key], theirs[key], rtol=tolerance, atol=tolerance), key


@pytest.mark.slow
def test_a_training_of_two_goes_on_where_it_was_stopped(tmp_path):
    """To the same as one left alone, with chance for every image in it."""
    training = training_of(**PLAIN | {"epochs": 6, "flip": True, "rotate": 10.0})
    job, place = job_of(training), Place(tmp_path / "cut", processes=2)
    whole, own = outcome(training, job, replace(place, folder=tmp_path / "whole"))
    place.folder.mkdir()
    place.stop.touch()
    *_, last = training.evaluate(job, place)
    assert last.outcome == {"stopped": True}
    assert place.unfinished_file(job.key).exists()
    place.stop.unlink()
    again, theirs = outcome(training, job, place)
    assert again["history"] == whole["history"]
    assert again["scores"] == whole["scores"]
    assert all(map(torch.equal, own.values(), theirs.values()))


@pytest.mark.slow
def test_a_process_of_the_team_that_dies_fails_the_training_and_none_is_left(tmp_path):
    training = training_of(**PLAIN | {"epochs": 50})
    reports = training.evaluate(job_of(training), Place(tmp_path, processes=2))
    next(reports)
    (follower,) = followers()
    follower.kill()
    with pytest.raises(RuntimeError, match="a process of the training died"):
        list(reports)
    assert not followers()


def followers():
    return [p for p in psutil.Process().children() if "follow" in p.cmdline()[-1]]


def test_parts_of_a_batch_are_shared_out_evenly_and_none_is_empty():
    for length in (2, 3, 50, 51, 128):
        for micro in (1, 7, 64):
            batch = torch.arange(length)
            shares = [Team(rank, 2).parts(batch, micro) for rank in (0, 1)]
            assert torch.equal(torch.cat([p for both in zip(*shares) for p in both]), batch)
            assert all(0 < len(p) <= micro + 1 and abs(len(p) - len(q)) < 2 for p, q in zip(*shares))
            assert all(map(torch.equal, Team().parts(batch, micro), batch.tensor_split(-(-length // micro))))
