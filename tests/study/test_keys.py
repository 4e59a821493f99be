"""Every key of a study has a meaning, the same in the JSON Schema, in `--explain` and in the reference."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from conftest import ROOT

from scalesearch.cli import main
from scalesearch.errors import InputError
from scalesearch.study import explain, study_keys
from scalesearch.trials import Recipe


@pytest.mark.parametrize("kind", ["training", "table"])
def test_every_key_says_what_it_takes_and_means(kind):
    keys = study_keys(kind)
    assert len({key.path for key in keys}) == len(keys)
    assert not [key.path for key in keys if not key.meaning.endswith((".", ")")) or not key.takes]


def test_defaults_are_those_of_the_recipe():
    defaults = {key.path: key.default for key in explain("recipe")}
    assert defaults["recipe.mixup"] == str(Recipe().mixup) == "0.0"
    assert defaults["recipe.flip"] == "true"
    assert defaults["recipe.epochs"] == str(Recipe().epochs)


def test_a_key_is_found_by_its_path_its_section_and_its_name():
    assert [key.path for key in explain("recipe.mixup")] == ["recipe.mixup"]
    assert {key.path for key in explain("epochs")} == {
        "search.epochs",
        "scale.epochs",
        "fidelity.epochs",
        "recipe.epochs",
    }
    assert next(key.path for key in explain("table", "table")).startswith("table")
    with pytest.raises(InputError, match=r'is no key of a study\. Did you mean "recipe.mixup"'):
        explain("recipe.mixupp")


def test_the_schema_says_the_same():
    schema = json.loads((ROOT / "studies" / "schema.json").read_text())["else"]["properties"]
    recipe = schema["recipe"]["anyOf"][1]["properties"]
    for key in explain("recipe"):
        assert recipe[key.path.removeprefix("recipe.")]["description"] == key.meaning
    assert all("description" in schema[key] for key in ("space", "budget", "data", "seeds"))


def test_the_command_prints_it():
    done = CliRunner().invoke(main, ["schema", "study", "--explain", "recipe.mixup"])
    assert done.exit_code == 0
    assert done.output.startswith("recipe.mixup: a number from 0 to 1000; default 0.0\n    Pairs of images")
