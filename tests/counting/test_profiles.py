"""Device profiles as files: checked, and part of the study that names them."""

from __future__ import annotations

import json
import math

import pytest
from driving import write_study
from helpers import TINY_SPACE

from scalesearch import yamlfile
from scalesearch.arch.expansion import expand
from scalesearch.counting.profiles import load_profile
from scalesearch.errors import InputError
from scalesearch.space.schema import space_from_dict
from scalesearch.study.reading import load_study


def tiny(seed=0):
    return space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1).sample(seed)[1]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"overhead": "abc"}, "overhead takes a number"),
        ({"slope": None}, "slope takes"),
        ({"overhead": math.nan}, "overhead"),
        ({"blocks": {}}, "it has no blocks"),
        ({"blocks": {"a": {"kind": "conv", "seconds": 1, "features": ["x"] * 3}}}, "block 'a'"),
    ],
)
def test_numbers_of_profiles_are_checked(tmp_path, change, message):
    good = {
        "version": 1,
        "device": "cpu",
        "threads": 1,
        "batch": 1,
        "blocks": {"a": {"kind": "conv", "seconds": 1e-3, "features": [1, 2, 3]}},
    }
    (tmp_path / "p.json").write_text(json.dumps(good))
    assert load_profile("p.json", tmp_path).predict(expand(tiny())) > 0
    (tmp_path / "p.json").write_text(json.dumps(good | change))
    with pytest.raises(InputError, match=message):
        load_profile("p.json", tmp_path)


def test_a_study_holds_the_profiles_that_it_names(tmp_path):
    """So it is another study when the file changes, and its run's folder needs no file beside it."""
    text = {
        "version": 1,
        "device": "cpu",
        "threads": 1,
        "batch": 1,
        "blocks": {"a": {"kind": "conv", "seconds": 1e-3, "features": [1, 2, 3]}},
    }
    (tmp_path / "p.json").write_text(json.dumps(text))
    path = write_study(
        tmp_path, budget={"latency": "9s", "device": "p.json"}, scale={"budget": {"latency": "9s", "device": "p.json"}}
    )
    study = load_study(path)
    (tmp_path / "p.json").write_text(json.dumps(text | {"slope": 2.0}))
    assert load_study(path).digest != study.digest
    (tmp_path / "p.json").unlink()
    (tmp_path / "again.yaml").write_text(yamlfile.dump(study.document))
    assert load_study(tmp_path / "again.yaml").digest == study.digest


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is no JSON"),
        ("[]", "is no device profile"),
        ('{"version": 1, "blocks": {"a": {}}}', "needs a kind, seconds above 0"),
        ('{"version": 1, "blocks": {}, "x": 1}', "is no device profile"),
    ],
)
def test_other_files_are_no_profiles(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=message):
        load_profile("p.json", tmp_path)
    with pytest.raises(InputError, match="scalesearch profile"):
        load_profile("none.json", tmp_path)
