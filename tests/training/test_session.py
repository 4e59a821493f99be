"""What a score was measured with: checkpoints, inheritance, and what really took effect."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers import TINY_SPACE

from scalesearch.arch.expansion import expand
from scalesearch.data.sources import source
from scalesearch.network.modules import build
from scalesearch.space.schema import space_from_dict
from scalesearch.training import Training
from scalesearch.training.session import Session
from scalesearch.training.trainer import inherit
from scalesearch.trials import TASKS
from scalesearch.trials.job import Job
from scalesearch.trials.place import Place
from scalesearch.trials.recipe import Recipe

TRAINING = Training(TASKS["classification"], source("digits"), 16, Recipe())

QUICK = Recipe(epochs=3, data_share=0.2)


def tiny(seed=0):
    return space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1).sample(seed)[1]


def job(arch, **changes):
    given = {"recipe": QUICK, "until": 3, "of": 3, **changes}
    return Job("base", 0, "base-000", expand(arch).digest, {}, 0, arch, **given)


def outcome(arch, folder=Path(), **changes):
    """What a session ends with."""
    session = Session(job(arch, **changes), Place(folder), TRAINING)
    report = session.screen() if session.ended else session.epoch()
    while report.outcome is None:
        report = session.epoch()
    return report.outcome


def test_going_on_from_a_checkpoint_comes_to_the_same(tmp_path):
    arch = tiny()
    whole = outcome(arch)
    first = outcome(arch, tmp_path, until=1, checkpoint="c.pt")
    second = outcome(arch, tmp_path, checkpoint="c.pt", start=1)
    lost = outcome(arch, tmp_path, checkpoint="gone.pt", start=1)
    assert whole["scores"] == second["scores"] == lost["scores"]
    assert whole["history"] == first["history"] + second["history"] == lost["history"]


def test_an_early_score_is_that_of_the_longer_schedule_cut_off():
    """Not of a shorter schedule: its learning rate has not come down."""
    arch = tiny()
    cut, short = outcome(arch, until=1), outcome(arch, until=1, recipe=Recipe(epochs=1, data_share=0.2))
    assert cut["scores"] != short["scores"]


def test_weights_are_inherited_where_blocks_are_shared(tmp_path):
    arch = tiny()
    parent = build(arch)
    child = build(arch.with_(stages=(arch.stages[0],)))
    share = inherit(child, parent.state_dict())
    assert torch.equal(child.stem[0].conv.weight, parent.stem[0].conv.weight)
    assert 0 < share < 1
    assert inherit(build(arch), parent.state_dict()) == 1.0
    assert inherit(build(arch), {}) == 0.0


def test_what_was_used_is_told_by_the_thing_itself():
    arch = tiny()
    payload = outcome(arch, until=1)
    assert payload["network"] == expand(arch).digest
    assert payload["recipe"] == QUICK.digest
    assert payload["built"] != outcome(tiny(7), until=1)["built"]


def test_proxies_are_of_the_network_before_it_inherits(tmp_path):
    arch = tiny()
    outcome(arch, tmp_path, until=1, weights="weights/w.safetensors")
    alone, child = (outcome(arch, tmp_path, until=1, proxies=("synflow",), parent=p) for p in ("", "w"))
    assert alone["scores"]["proxy.synflow"] == child["scores"]["proxy.synflow"]
    assert alone["scores"]["val_loss"] != child["scores"]["val_loss"]
    assert (alone["inherited"], child["inherited"]) == (0.0, 1.0)
