"""The JSON Schemas against every YAML file of the repository, and against generated faulty ones."""

from __future__ import annotations

import copy
import json
from random import Random

import pytest
import yaml as plain
from conftest import ROOT, SPACES
from jsonschema import Draft202012Validator

from scalesearch import yamlfile
from scalesearch.errors import InputError
from scalesearch.space.json_schema import space_schema
from scalesearch.space.schema import space_from_dict
from scalesearch.study.json_schema import schema_text, study_schema
from scalesearch.study.reading import load_study

STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
START = ROOT / "scalesearch" / "study" / "start"
VALIDATORS = {"space": Draft202012Validator(space_schema()), "study": Draft202012Validator(study_schema())}
EXAMPLES = [("space", path) for path in (*SPACES, START / "space.yaml")]
EXAMPLES += [("study", path) for path in (*STUDIES, START / "study.yaml")]


@pytest.mark.parametrize("kind", VALIDATORS)
def test_the_schema_is_one_and_lies_beside_the_examples(kind):
    Draft202012Validator.check_schema(VALIDATORS[kind].schema)
    folder = ROOT / {"space": "search_spaces", "study": "studies"}[kind]
    assert (folder / "schema.json").read_text() == schema_text(kind), folder


@pytest.mark.parametrize("kind, path", EXAMPLES, ids=lambda v: getattr(v, "name", v))
def test_every_example_is_valid_and_tells_editors_its_schema(kind, path):
    """As we read it, and as plain YAML reads it, which takes 600M for a text."""
    first, _, text = path.read_text().partition("\n")
    name = "schema.json" if path.parent.name != "start" else f"{kind}.schema.json"
    assert first == f"# yaml-language-server: $schema={name}"
    for data in (yamlfile.read(path).data, plain.safe_load(text)):
        assert not list(VALIDATORS[kind].iter_errors(json.loads(json.dumps(data))))


def faulty(data: dict, rng: Random) -> dict:
    """`data` with one thing wrong in it: a key misspelt, a value of a type that nothing takes there, a missing part."""
    data = copy.deepcopy(data)
    places = []

    def walk(value, inside=()):
        for key in value if isinstance(value, dict) else ():
            if key not in ("when", "else") and inside[-1:] != ("when",):
                places.append((value, key))
                walk(value[key], (*inside, key))
        for item in value if isinstance(value, list) else ():
            walk(item, inside)

    walk(data)
    mapping, key = rng.choice(places)
    if rng.random() < 0.5:
        mapping[f"{key}_"] = mapping.pop(key)
    else:
        mapping[key] = {"no": {"such": "thing"}}
    return data


@pytest.mark.parametrize("seed", range(100))
def test_faulty_files_are_told_by_the_schema_as_by_the_checks(seed, tmp_path):
    rng = Random(seed)
    kind, path = rng.choice(
        [e for e in EXAMPLES if e[1].name in ("space.yaml", "mbconv.yaml", "study.yaml", "inception.yaml")]
    )
    data = faulty(yamlfile.read(path).data, rng)
    broken = tmp_path / path.name
    broken.write_text(yamlfile.dump(data))
    if kind == "study" and isinstance(data.get("space"), str):
        (tmp_path / data["space"]).write_text((START / "space.yaml").read_text())
    with pytest.raises(InputError):
        load_study(broken) if kind == "study" else space_from_dict(yamlfile.read(broken).data)
    assert list(VALIDATORS[kind].iter_errors(json.loads(json.dumps(data)))), data


def test_a_study_of_a_table_is_valid():
    data = {
        "table": {"file": "t.npz", "decisions": ["ops"], "score": "acc"},
        "search": {"trials": 5, "objective": ["flops"]},
        "budget": {"flops": "≤ 60M"},
        "seeds": [0, 1],
    }
    assert not list(VALIDATORS["study"].iter_errors(data))
    assert list(VALIDATORS["study"].iter_errors(data | {"recipe": "quick"}))
