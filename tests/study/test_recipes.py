"""The recipes of a study: named, changed, of its own, and kept with the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driving import write_study

from scalesearch import yamlfile
from scalesearch.errors import InputError
from scalesearch.study import recipes as study_recipes
from scalesearch.study.document import document_difference
from scalesearch.study.reading import load_study
from scalesearch.trials.recipe import RECIPES


def test_a_study_keeps_the_presets_that_it_names_field_by_field(tmp_path):
    compared = {"networks": ["resnet18"], "recipes": ["imagenet"]}
    study = load_study(write_study(tmp_path, recipe={"base": "cifar", "epochs": 3}, compare=compared))
    assert study.trained.recipe == replace(RECIPES["cifar"], epochs=3)
    kept = study.document["recipes"]
    assert kept.keys() == {"cifar", "imagenet"}
    assert all(kept[name] == {k: v for k, v in RECIPES[name].options.items() if k != "phi"} for name in kept)


def test_a_run_of_a_version_with_other_presets_is_told_apart_and_keeps_its_own(tmp_path, monkeypatch):
    study = load_study(write_study(tmp_path, recipe="cifar"))
    run = tmp_path / "run.yaml"
    run.write_text(yamlfile.dump(study.document))
    monkeypatch.setitem(study_recipes.RECIPES, "cifar", replace(RECIPES["cifar"], learning_rate=0.5))
    assert load_study(run).trained.recipe == study.trained.recipe
    later = load_study(tmp_path / "study.yaml")
    assert later.trained.recipe.learning_rate == 0.5
    assert document_difference(study.document, later.document) == "recipes.cifar.learning_rate was 0.024, is 0.5"


def test_a_study_may_have_recipes_of_its_own(tmp_path):
    own = {"mine": {"optimizer": "sgd", "learning_rate": 0.3}}
    compared = {"networks": ["resnet18"], "recipes": ["mine", "cifar"]}
    study = load_study(write_study(tmp_path, recipe={"base": "mine", "epochs": 2}, recipes=own, compare=compared))
    assert (study.trained.recipe.optimizer, study.trained.recipe.learning_rate) == ("sgd", 0.3)
    assert study.trained.recipe.epochs == 2
    assert study.document["recipes"]["mine"] == own["mine"]
    assert load_study(write_study(tmp_path, recipes=own), {"recipe.base": "imagenet"}).trained.recipe.crop == 0.25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": {"mine": {"learning_rat": 1}}}, r"recipes\.mine.*learning_rat.*learning_rate"),
        ({"recipes": {"mine": 3}}, r"recipes\.mine: takes a recipe's fields, got 3"),
        ({"recipes": ["mine"]}, "recipes: "),
        ({"recipe": "mine"}, "recipe: unknown recipe|recipe: .*mine"),
        ({"recipes": {"mine": {"epochs": 0}}}, r"recipes\.mine\.epochs"),
    ],
)
def test_faults_in_recipes_are_located(tmp_path, changes, message):
    with pytest.raises(InputError, match=rf"study\.yaml:\d+: (.*)({message})"):
        load_study(write_study(tmp_path, **({"recipe": {"epochs": 1}} | changes)))
