"""A task owns what score and loss mean: a second one is one file and one row."""

from __future__ import annotations

import re
import types
from dataclasses import replace
from random import Random

import pytest
import torch
from conftest import ROOT
from driving import drive, outcome_of, write_study
from torch.nn import functional as F

from scalesearch.arch import BLOCKS, register_block
from scalesearch.arch.blocks.registry import USER_BLOCKS
from scalesearch.data.sources import SOURCES
from scalesearch.errors import InputError
from scalesearch.report.info import gather
from scalesearch.signature import Count
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.training.learners import LEARNERS
from scalesearch.training.trainer import Trainer
from scalesearch.trials.evaluator import outcome_of as outcome_here
from scalesearch.trials.log import TrialLog
from scalesearch.trials.place import Place
from scalesearch.trials.recipe import PROXIES
from scalesearch.trials.score import Score
from scalesearch.trials.tasks import TASKS, Task


def test_the_word_stands_in_the_tasks_own_file_and_row_alone():
    own = {"trials/tasks.py", "training/classification.py"}
    package = ROOT / "scalesearch"
    files = [p for p in package.rglob("*") if p.suffix in (".py", ".pyi", ".j2")]
    assert {str(p.relative_to(package)) for p in files if re.search("accuracy", p.read_text(), re.IGNORECASE)} == own


def test_a_score_turned_so_that_large_is_good():
    up, down = Score("a", "loss"), Score("a", "loss", larger=False)
    assert up.of({"a": 0.3}) == 0.3
    assert down.of({"a": 0.3}) == -0.3
    assert up.of({}) is None
    tries = [{"a": 0.2, "loss": 1.0}, {"a": 0.2, "loss": 0.5}, {}, {"a": 0.4, "loss": 9.0}]
    assert sorted(tries, key=up.rank) == [tries[2], tries[0], tries[1], tries[3]]
    assert max(tries, key=down.rank) == tries[1]


@pytest.fixture
def regression(monkeypatch):
    """How far the number that an image shows is off: a second task, from outside the package."""
    learner = types.SimpleNamespace(
        chance=lambda labels: float("inf"),
        check=lambda network: None,
        initialise=lambda network: None,
        fit_head=lambda arch, labels: arch,
        predictions=lambda arch, out, labels, recipe: out,
        labels=lambda raw: torch.from_numpy(raw).float(),
        loss=lambda arch, out, labels, recipe, weights=None: F.mse_loss(out[:, 0].float(), labels),
        move_labels=lambda labels, moves: labels,
        details=lambda outs, labels: ({}, {}),
        metrics=lambda outs, labels: {
            "deviation": (torch.cat(outs)[:, 0] - labels).abs().mean().item(),
            "loss": F.mse_loss(torch.cat(outs)[:, 0], labels).item(),
        },
    )

    class Regression(Task):
        name, score, title = "regression", "deviation", "Deviation"
        larger = percent = of_images = False

    monkeypatch.setitem(LEARNERS, "regression", learner)
    monkeypatch.setitem(TASKS, "regression", Regression())
    monkeypatch.setitem(SOURCES, "numbers", replace(SOURCES["digits"], name="numbers", task="regression"))

    def number(x, *, classes: Count):
        return x.global_pool().flatten().linear(classes, name="linear")

    register_block(number, role="head", task="regression")
    yield "number"
    del BLOCKS["number"], USER_BLOCKS["number"]


def test_a_second_task_is_a_file_and_a_row(regression, tmp_path):
    """Its score is small where it is good; the summary, the lead and the card say it by its name."""
    space = write_study(tmp_path).read_text().replace("classifier: {dropout: 0.1}", "number: {}")
    path = tmp_path / "study.yaml"
    path.write_text(space)
    study = load_study(path, {"compare": [], "data": "numbers"})
    assert study.trained.task.name == "regression"  # by the head
    arch = study.adapted_space.sample(0)[1]
    trainer = Trainer(arch, study.trained.data, study.trained.recipe, 0, task=TASKS["regression"])
    numbers = trainer.run_epoch()
    assert set(numbers) == {"epoch", "train_loss", "val_deviation", "val_loss"}
    job = Driver(study, TrialLog()).next()
    scores = outcome_here(study.evaluator, job, Place(tmp_path))["scores"]
    assert {"val_deviation", "val_loss", *(f"proxy.{name}" for name in PROXIES)} == set(scores)

    def outcome(job):
        message = outcome_of(job)["scores"]
        return {
            "scores": {
                "val_deviation": message["val_accuracy"],
                "val_loss": message["val_loss"],
                "test_deviation": message["test_accuracy"],
            },
            "seconds": 1.0,
        }

    run = Driver(study, drive(study, tmp_path / "trials.jsonl", Random(0), outcome=outcome))
    least = min(t.scores["val_deviation"] for t in run.log.of("base"))
    assert run.best("base").scores["val_deviation"] == least
    info = gather(run)
    summary = info.summary()
    assert "validation deviation" in info.conclusions["scaling_sentence"]
    assert "test deviation" in info.lead
    assert summary["scaling"]["deviation"] == run.best("scale").scores["val_deviation"]
    rows = summary["rows"]
    assert {"val_deviation", "test_deviation"} <= set(rows[0])
    assert not {"val", "test"} & set(rows[0])
    on_front = [r for r in rows if r["on_front_macs"]]
    assert min(rows, key=lambda r: r["test_deviation"]) in on_front


def test_a_study_says_its_task_or_the_head_does(tmp_path, regression):
    path = write_study(tmp_path)
    assert load_study(path).trained.task is TASKS["classification"]
    with pytest.raises(InputError, match=r'task: unknown task "classifcation".*Did you mean "classification"'):
        load_study(path, {"task": "classifcation"})
    with pytest.raises(InputError, match=r"head: .* is for classification, and the study for regression"):
        load_study(path, {"task": "regression", "data": "numbers"})
    with pytest.raises(
        InputError, match="data: numbers has labels for regression, and the study is for classification"
    ):
        load_study(path, {"data": "numbers"})
