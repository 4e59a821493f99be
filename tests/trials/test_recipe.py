"""Recipes: what a digest names, also when a later version of the package knows more fields."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field, replace

import pytest
from conftest import FACTS

from scalesearch.runs.verifying import Verification
from scalesearch.study import recipes as study_recipes
from scalesearch.trials import recipe as recipes
from scalesearch.trials.recipe import RECIPES, Recipe, since

RUN = FACTS / "run_of_version_0_2"


@dataclass(frozen=True)
class Later(Recipe):
    """A recipe of a version to come."""

    sharpness: float = since(3, 0.0)


@dataclass(frozen=True)
class Careless(Recipe):
    """A field that was added without saying since when."""

    sharpness: float = field(default=0.0)


def as_version(monkeypatch, kind):
    for name, recipe in list(RECIPES.items()):
        monkeypatch.setitem(RECIPES, name, kind(**asdict(recipe)))
    for module in (recipes, study_recipes):
        monkeypatch.setattr(module, "Recipe", kind)


def test_digests_are_those_of_version_0_2():
    assert Recipe().digest == "f9f3861a1305b708"
    cifar = {"epochs": 30, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4}
    cifar |= {"warmup": 0.1, "clip_norm": 5.0, "shift": 0.125, "rotate": 0.0, "zoom": 0.0, "erase": 0.25}
    assert Recipe(**cifar, precision="auto").digest == "d4dbed22076dd0cf"


def test_a_later_field_counts_where_it_is_set_alone():
    assert Later().digest == Recipe().digest
    assert Later(sharpness=0.5).digest != Recipe().digest
    assert replace(Later(), epochs=5).digest == replace(Recipe(), epochs=5).digest != Recipe().digest


@pytest.mark.parametrize("kind, foreign_trials", [(Recipe, 0), (Later, 0), (Careless, 9)])
def test_a_run_from_before_a_field_existed_verifies_after_it(kind, foreign_trials, tmp_path, monkeypatch):
    """But for a field that does not say since when it exists: then all of its trials are of another recipe."""
    as_version(monkeypatch, kind)
    shutil.copytree(RUN, tmp_path / "run")
    verification = Verification.of(tmp_path / "run")
    assert len(verification.log) == 9
    assert len(verification.foreign_trials) == foreign_trials
    if not foreign_trials:
        (verdict,) = verification.retrain(verification.sample(1, seed=0), tolerance=0.05)
        assert not verdict.fault
