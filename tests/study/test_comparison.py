"""Hand-built networks under the better of several recipes, and the named ways to scale held against the one found."""

from __future__ import annotations

from random import Random

import pytest
from driving import drive, outcome_of, write_study
from helpers import refused

import scalesearch as ss
from scalesearch.space import arch_to_yaml
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.study.steps import compare, hand_built, rivals
from scalesearch.trials.log import TrialLog
from scalesearch.trials.recipe import RECIPES

RESNET, MOBILENET = "resnet18 (stem stride 1)", "mobilenet_v1 (stem and stages.1 stride 1)"  # at 16 pixels
TWO = {"networks": ["mobilenet_v1", "resnet18"], "recipes": ["imagenet"]}


def run_of(folder, outcome=outcome_of, **changes):
    study = load_study(write_study(folder, **changes))
    return Driver(study, drive(study, folder / "trials.jsonl", Random(0), outcome=outcome))


def test_a_hand_built_network_stands_with_the_recipe_that_suits_it_best(tmp_path):
    """Told by validation; a recipe is as long as the study's own."""

    def outcome(job):
        message = outcome_of(job)
        ahead = 0.2 if job.recipe.trivial == job.name.startswith("resnet18") else 0.1  # the other one's test is better
        return message | {"scores": {"val_accuracy": ahead, "val_loss": 1.0, "test_accuracy": 0.5 - ahead}}

    run = run_of(tmp_path, outcome, compare=TWO)
    trials = run.log.of("compare")
    assert len(trials) == 2 * 2 * 2
    assert {t.fidelity["epochs"] for t in trials} == {1}
    assert {t.recipe for t in trials if t.decisions} == {hand_built.further_recipes(run.study)["imagenet"].digest}
    rows = {row.name: row for row in compare.rows(run) if row.kind == "hand-built"}
    assert rows.keys() == {MOBILENET, RESNET}
    assert all(row.seeds == 2 for row in rows.values())
    assert rows[RESNET].recipe == "imagenet"
    assert rows[MOBILENET].recipe == "quick"
    assert all(row.val == 0.2 and row.test == pytest.approx(0.3) for row in rows.values())


def test_networks_changed_to_fit_small_images_say_so_and_may_be_compared_as_published_too(tmp_path):
    both = {"networks": ["resnet18", "mobilenet_v1"], "strides": ["fitted", "native"]}
    run = run_of(tmp_path, resolution=32, budget={"macs": "3M"}, compare=both)
    rows = {row.name: row for row in compare.rows(run) if row.kind == "hand-built"}
    assert rows.keys() == {"resnet18", "mobilenet_v1", "resnet18 (stem stride 2)", "mobilenet_v1 (stem stride 1)"}
    assert rows["resnet18 (stem stride 2)"].macs > 3 * rows["resnet18"].macs
    note = next(note for note in compare.Comparison().notes(run) if "Strides are fitted" in note)
    assert f"resnet18 (stem stride 2) at 32×32: {rows['resnet18 (stem stride 2)'].macs:,} MACs" in note
    assert f"{rows['resnet18'].macs:,} with native strides" in note

    native_folder = tmp_path / "native"
    native_folder.mkdir()
    native = run_of(native_folder, resolution=32, budget={"macs": "3M"}, strides="native", compare=["resnet18"])
    assert {row.name for row in compare.rows(native) if row.kind == "hand-built"} == {"resnet18"}
    assert native.study.adapted_space.units == native.study.space.units
    assert not any("Strides are fitted" in note for note in compare.Comparison().notes(native))


def test_what_did_not_train_is_on_no_front(tmp_path):
    def outcome(job):
        return outcome_of(job) | ({"untrained": "the training loss never fell"} if job.step == "compare" else {})

    run = run_of(tmp_path, outcome)
    rows = [row for row in compare.rows(run) if row.kind == "hand-built"]
    assert {row.state for row in rows} == {"did not train"}
    assert not any(row.on_front_macs or row.on_front_params or row.front_probability for row in rows)
    assert compare.volumes(run) is None
    assert any(
        "resnet18" in note and "the training loss never fell" in note for note in compare.Comparison().notes(run)
    )
    assert {t.untrained for t in TrialLog(run.log.path).of("compare")} == {"the training loss never fell"}


def test_volumes_say_whose_front_dominates(tmp_path):
    ahead = {"family": 0.3, "compare": 0.6}

    def outcome(job):
        return outcome_of(job) | {
            "scores": {
                "val_accuracy": 0.1 + outcome_of(job)["scores"]["val_accuracy"] / 100,
                "val_loss": 1.0,
                "test_accuracy": ahead.get(job.step, 0.1) + outcome_of(job)["scores"]["test_accuracy"] / 10,
            }
        }

    run = run_of(tmp_path, outcome)
    found = compare.volumes(run)
    rows = compare.rows(run)
    cheapest = max(rows, key=lambda r: r.macs)
    assert found.family >= 0
    assert found.hand_built >= 0
    assert cheapest.test
    best = "hand-built networks" if found.hand_built > found.family else "family"
    assert any(
        line.startswith(f"Over all budgets met, the front of the {best}") for line in compare.Comparison().notes(run)
    )


def test_the_named_ways_to_scale_are_trained_whole_and_paired_by_seed(tmp_path):
    scale = {"with": "tpe", "trials": 7, "tolerance": 0.3, "rivals": True}

    def outcome(job):
        return outcome_of(job) | {
            "scores": outcome_of(job)["scores"]
            | {"test_accuracy": {"family": 0.6, "rivals": 0.5}.get(job.step, 0.1) + 0.01 * job.seed}
        }

    run = run_of(tmp_path, outcome, scale=scale)
    found = rivals.scaling_baselines(run)
    own = [r for r in found if r.name.endswith(" (found)")]
    assert len(found) > len(own)
    assert all(r.seeds == 2 for r in found)
    assert all(r.behind == pytest.approx(0 if r in own else 0.1) for r in found)
    assert all(r.interval == pytest.approx(0, abs=1e-6) for r in found)
    named = {part for r in found for part in r.name.removesuffix(" (found)").split(" and ")}
    assert named == {"efficientnet", "depth", "width", "resolution"}
    assert not rivals.scaling_baselines(run_of(tmp_path / "none" if (tmp_path / "none").mkdir() is None else tmp_path))


def test_what_started_from_weights_says_how_much_of_it(tmp_path):
    began = tmp_path / "net"
    began.mkdir()
    (began / "arch.yaml").write_text(arch_to_yaml(ss.load("resnet18")))
    (began / "weights.safetensors").touch()

    def outcome(job):
        return outcome_of(job) | {"used": {"inherited": {"family": 0.9}.get(job.step, 0.02)}}

    run = run_of(tmp_path, outcome, init="net")
    message = next(
        line for line in compare.Comparison().notes(run) if line.startswith("Trainings started from the weights in")
    )
    assert "-phi2 90%" in message
    assert f"{MOBILENET} 2%" in message
    assert f"{RESNET} 2%" in message
    assert not any("started from" in line for line in compare.Comparison().notes(run_of(tmp_path / "net")))


def test_stages_that_shall_not_learn_must_be_there(tmp_path):
    def frozen(stage):
        return str(write_study(tmp_path, recipe={"epochs": 1, "freeze_until": stage}))

    message = refused("run", frozen("stages.9"), "--dry-run")
    assert "study.yaml:" in message
    assert "recipe.freeze_until: takes stem, stages.0" in message
    assert "'stages.9'" in message
    message = refused("run", frozen("stages.3"), "--dry-run")
    assert "compare: " in message or "recipe.freeze_until" in message


def test_presets_change_several_keys_at_once_and_what_is_set_comes_last(tmp_path):
    path = write_study(tmp_path, presets={"small": {"budget.macs": "600k", "recipe": {"epochs": 3}}})
    plain, small = load_study(path), load_study(path, {"preset": "small"})
    assert plain.trained.recipe.epochs == 1
    assert small.trained.recipe.epochs == 3
    assert small.budget.max_macs == 600_000
    assert load_study(path, {"preset": "small", "recipe.epochs": 2}).trained.recipe.epochs == 2
    assert "presets" not in small.document
    assert plain.digest != small.digest
    message = refused("run", str(path), "--set", "preset=smal", "--dry-run")
    assert 'unknown preset "smal"; takes small. Did you mean "small"?' in message


def test_mistakes_in_them_are_located(tmp_path):
    path = write_study(tmp_path, compare=TWO | {"recipes": ["imagenett"]})
    assert 'compare.recipes[0]: unknown recipe "imagenett"' in refused("run", str(path), "--dry-run")
    path = write_study(tmp_path, compare=TWO | {"network": []})
    assert 'compare.network: unknown key for "compare"' in refused("run", str(path), "--dry-run")
    assert "imagenet" in RECIPES


def test_every_model_may_be_compared_with_and_bound_a_budget(tmp_path):
    """An architecture's YAML, a Darknet .cfg and a trained network's folder beside zoo names; a run needs the files no
    more."""
    (tmp_path / "mine.yaml").write_text(arch_to_yaml(ss.load("resnet20_cifar").with_(name="mine")))
    (tmp_path / "dark.cfg").write_text(
        "[net]\nwidth=16\nheight=16\nchannels=3\n[convolutional]\nfilters=8\nsize=3\n"
        "pad=1\nactivation=leaky\n[avgpool]\n[connected]\noutput=7\nactivation=linear\n"
    )
    trained = tmp_path / "net"
    trained.mkdir()
    (trained / "arch.yaml").write_text(arch_to_yaml(ss.load("squeezenet1_1").with_(name="squeezed")))
    path = write_study(
        tmp_path,
        compare=["mobilenet_v1", "mine.yaml", "dark.cfg", "net"],
        budget={"macs": "<= 0.5 x mine.yaml", "params": "≤ 1x resnet18"},
    )
    study = load_study(path)
    expected = ss.cost(study.networks["mine"]).macs
    assert study.budget.max_macs == pytest.approx(0.5 * expected)
    assert list(hand_built.hand_built(study)) == [
        MOBILENET,
        "mine",
        "dark",
        "squeezed (stem stride 1, same padding)",
    ]
    assert all(arch.classes == 10 and arch.sides == (16, 16) for arch in hand_built.hand_built(study).values())
    (tmp_path / "run").mkdir()
    again = write_study(tmp_path / "run", **study.document)
    for file in (tmp_path / "mine.yaml", tmp_path / "dark.cfg"):
        file.unlink()
    assert load_study(again).digest == study.digest
    assert load_study(again).budget.max_macs == study.budget.max_macs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compare": ["none.yaml"]}, "none.yaml: cannot be read"),
        ({"compare": {"networks": ["none.cfg"]}}, "none.cfg: cannot be read"),
        ({"budget": {"macs": "2x none.cfg"}}, "none.cfg: cannot be read"),
        ({"models": {"resnet18": {}}}, "models.resnet18: is a network's"),
        ({"models": {"mine": {"stages": []}}}, "models.mine"),
    ],
)
def test_models_that_are_none_are_located(changes, message, tmp_path):
    assert message in refused("run", str(write_study(tmp_path, **changes)), "--dry-run")
