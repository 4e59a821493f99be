"""Starting from another network's weights, and learning from a larger one."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
import torch
from driving import drive, outcome_of, write_study
from helpers import TINY_SPACE, liven, refused
from safetensors.torch import load_file

from scalesearch.data.sources import source
from scalesearch.network import build
from scalesearch.space import arch_to_yaml
from scalesearch.space.schema import space_from_dict
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.study.steps import distill
from scalesearch.training import Training, classification
from scalesearch.training.classification import ClassificationLearner
from scalesearch.training.session import Session
from scalesearch.training.trainer import Trainer
from scalesearch.trials import TASKS, Recipe
from scalesearch.trials.job import Job
from scalesearch.trials.place import Place
from scalesearch.trials.recipe import RECIPES

TRAINING = Training(TASKS["classification"], source("digits"), 16, Recipe())

SHORT = replace(RECIPES["quick"], epochs=1, data_share=0.2)


def tiny(seed=0):
    return space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1).sample(seed)[1]


def test_the_distance_to_a_teacher_is_the_divergence_of_softened_probabilities():
    out, taught = torch.randn(5, 7), torch.randn(5, 7)
    p, q = ((x / classification.TEMPERATURE).double().softmax(1) for x in (taught, out))
    by_hand = (p * (p / q).log()).sum(1).mean() * classification.TEMPERATURE**2
    assert ClassificationLearner().distillation_loss(out, taught).item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert ClassificationLearner().distillation_loss(taught, taught).item() == pytest.approx(0, abs=1e-6)


def test_a_student_is_nearer_to_its_teacher_which_sees_its_own_resolution():
    teacher = liven(build(tiny(1).with_(resolution=24)))  # a fresh one says the same of every image
    recipe = replace(SHORT, epochs=4, data_share=1.0)
    data = source("digits")
    student, alone = (Trainer(tiny(), data, recipe, 0, teacher=t) for t in (teacher, None))
    seen = []
    teacher.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].shape[-1]))
    images, _ = student.sample(64)
    larger = torch.nn.functional.interpolate(images, (24, 24), mode="bilinear", antialias=True)

    def far(one):
        return ClassificationLearner().distillation_loss(one.model.eval()(images), teacher(larger)).item()

    while not student.done:
        student.run_epoch()
        alone.run_epoch()
    assert far(student) < far(alone) / 2
    assert set(seen) == {24}
    assert all(p.grad is None for p in teacher.parameters())


def test_a_study_trains_smaller_members_with_the_largest_and_tells_the_gain(tmp_path):
    path = write_study(tmp_path, family={"phi": [0, 1, 2], "distill": True})
    study = load_study(path)
    seen = []

    def outcome(job):
        if job.step == "distill":
            seen.append((job.decisions["phi"], job.teacher.name, job.teacher_weights, job.weights))
        ahead = {"family": 0.5, "distill": 0.6}.get(job.step, 0.1)
        return outcome_of(job) | {"scores": outcome_of(job)["scores"] | {"test_accuracy": ahead + job.seed / 100}}

    run = Driver(study, drive(study, tmp_path / "trials.jsonl", Random(0), outcome=outcome))
    largest = "study-phi2"
    assert {row[0] for row in seen} == {0.0, 1.0}
    assert {row[1] for row in seen} == {largest}
    assert {row[2] for row in seen} == {f"family/{largest}/weights.safetensors"}
    assert {row[3] for row in seen if row[3]} == {f"family/study-phi{n}/distilled.safetensors" for n in (0, 1)}
    found = distill.distillation_gains(run)
    assert [d.phi for d in found] == [0.0, 1.0]
    assert all(d.gain == pytest.approx(0.1) and d.seeds == 2 for d in found)


def test_a_job_with_a_teacher_reads_its_weights(tmp_path):
    teacher = tiny(1)
    (tmp_path / "family").mkdir()
    from scalesearch.files import save_tensors

    save_tensors(build(teacher).state_dict(), tmp_path / "family" / "t.safetensors")
    arch = tiny()
    job = Job(
        "distill",
        0,
        "s",
        "",
        {},
        0,
        arch,
        recipe=SHORT,
        teacher=teacher,
        teacher_weights="family/t.safetensors",
        weights="out.safetensors",
    )
    session = Session(job, Place(tmp_path), TRAINING)
    assert math.isfinite(session.epoch().numbers["train_loss"])
    assert (tmp_path / "out.safetensors").exists()


def test_trials_of_a_study_start_from_the_network_that_it_names(tmp_path):
    began = tmp_path / "net"
    began.mkdir()
    arch = tiny(3)
    (began / "arch.yaml").write_text(arch_to_yaml(arch))
    from scalesearch.files import save_tensors

    save_tensors(build(arch).state_dict(), began / "weights.safetensors", {"norm_eps": repr(arch.norm_eps)})
    study = load_study(write_study(tmp_path, init="net"))
    assert study.training.init
    assert study.document["init"] == str(began)
    from scalesearch.runs.single import init_weights_path, save_init_weights

    save_init_weights(arch, str(began / "weights.safetensors"), tmp_path)
    there = load_file(init_weights_path(tmp_path))
    job = Job("base", 0, "b", "", {}, 0, arch, recipe=SHORT)
    session = Session(job, Place(tmp_path), replace(TRAINING, init=True))
    assert session.trainer.inherited > 0.99  # all but what is as fresh weights are
    assert all(
        torch.equal(value, there[name]) for name, value in session.trainer.model.state_dict().items() if name in there
    )
    assert "takes the folder of a trained network" in refused(
        "run", str(write_study(tmp_path / "net", init="nowhere")), "--dry-run"
    )
