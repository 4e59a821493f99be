"""The training loop: memory counted, batches added up, rare classes, rates by depth, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from helpers import TINY_SPACE, invoke, same_weights

import scalesearch as ss
from scalesearch.arch import adapt
from scalesearch.counting import peak_memory
from scalesearch.data.facts import Source
from scalesearch.data.sources import source
from scalesearch.space.schema import space_from_dict
from scalesearch.training.classification import ClassificationLearner
from scalesearch.training.memory import COPIES_PER_PARAMETER, FLOAT_BYTES, USABLE_SHARE, is_out_of_memory, largest_batch
from scalesearch.training.optimizing import build_optimizer
from scalesearch.training.trainer import Trainer, TrainingFailed
from scalesearch.trials.recipe import RECIPES, Recipe, levels

DIGITS = source("digits")
SHORT = replace(RECIPES["quick"], epochs=2, data_share=0.2)
STILL = replace(SHORT, shift=0.0, rotate=0.0, zoom=0.0, label_smoothing=0.0)


@pytest.fixture(scope="module")
def arch():
    return space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1).sample(0)[1]


@pytest.fixture(scope="module")
def without_norm():
    return adapt(ss.load("squeezenet1_1"), resolution=32, classes=10, channels=1)


def test_a_batch_is_the_largest_that_is_counted_to_fit():
    arch = ss.load("mobilenet_v2")
    recipe = replace(RECIPES["imagenet"], batch_size=256)
    for free in (1 << 30, 4 << 30, 16 << 30, 64 << 30):
        most = largest_batch(arch, recipe, free)
        room = USABLE_SHARE * free - COPIES_PER_PARAMETER["adamw"] * FLOAT_BYTES * ss.cost(arch).params
        assert peak_memory(arch, most, training=True) <= room
        assert most == 256 or peak_memory(arch, 2 * most, training=True) > room
    assert largest_batch(arch, recipe, 1 << 20) == 1
    assert largest_batch(arch, replace(recipe, micro_batch=24), 1 << 40) == 24


def test_parts_of_a_batch_add_up_to_it(without_norm):
    recipe = replace(STILL, batch_size=48, dropout=0.0, clip_norm=0.0, optimizer="sgd", learning_rate=0.1)
    whole, parts = (Trainer(without_norm, DIGITS, replace(recipe, micro_batch=m), 0) for m in (None, 20))
    batch = torch.arange(48)
    a, b = whole._step(batch), parts._step(batch)
    assert parts.micro_batch == 20
    assert whole.micro_batch == 48
    assert torch.allclose(a, b, rtol=1e-5)
    for p, q in zip(whole.model.parameters(), parts.model.parameters()):
        assert torch.allclose(p, q, atol=1e-6)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 9 bytes"
        ),
    ],
)
def test_where_memory_runs_out_after_all_the_batch_is_halved_and_then_the_training_fails_alone(without_norm, error):
    trainer = Trainer(without_norm, DIGITS, replace(STILL, batch_size=48), 0)
    holds = 20
    forward = trainer.model.forward

    def full(x):
        if len(x) > holds:
            raise error
        return forward(x)

    trainer.model.forward = full
    assert torch.isfinite(trainer._step(torch.arange(48)))
    assert trainer.micro_batch == 12
    assert is_out_of_memory(error)
    holds = 0
    with pytest.raises(TrainingFailed, match="one image alone needs more memory than there is"):
        trainer._step(torch.arange(48))
    trainer.model.forward = lambda x: (_ for _ in ()).throw(RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        trainer._step(torch.arange(48))


def unequal(counts=(400, 40)):
    """Two classes that are told by brightness, one of them rare."""
    labels = np.repeat(np.arange(2), counts)
    images = np.random.default_rng(0).integers(0, 120, (len(labels), 1, 8, 8)) + labels[:, None, None, None] * 60
    split = images.astype(np.uint8), labels.astype(np.int64)
    return Source(
        "unequal",
        8,
        1,
        2,
        False,
        dict.fromkeys(("train", "val", "test"), len(labels)),
        lambda: dict.fromkeys(("train", "val", "test"), split),
        "made here",
        digest="unequal",
    )


def test_rare_classes_weigh_more_or_are_drawn_more_often():
    arch = adapt(ss.load("resnet20_cifar"), resolution=8, classes=2, channels=1)
    drawn = Trainer(arch, unequal(), replace(STILL, data_share=1.0, balance="sampling"), 0)
    share = (drawn.train_labels[drawn._shuffled_indices()] == 1).float().mean()
    assert 0.4 < share < 0.6
    weighed = Trainer(arch, unequal(), replace(STILL, data_share=1.0, balance="weights"), 0)
    assert weighed.importance[0].item() == pytest.approx(440 / 2 / 400)
    assert weighed.importance[-1].item() == pytest.approx(440 / 2 / 40)
    out, labels = torch.randn(6, 2), torch.tensor([0, 0, 0, 1, 1, 1])
    weights = torch.tensor([1.0, 1, 1, 3, 3, 3])
    each = torch.nn.functional.cross_entropy(out, labels, reduction="none")
    assert torch.allclose(ClassificationLearner().loss(arch, out, labels, STILL, weights), (each * weights).mean())


def test_scores_by_class_are_counted_right():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    out = torch.eye(8)[[0, 0, 0, 1, 1, 1, 0]]
    scores, kept = ClassificationLearner().details([out[:3], out[3:]], labels)
    assert scores["balanced_accuracy"] == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert scores["top5"] >= 6 / 7 - 1e-6
    assert kept["recall"][:4] == [0.75, 1.0, 0.0, None]
    assert kept["confusion"][0][:3] == [3, 1, 0]


def test_rates_fall_towards_the_stem_and_stages_thaw_from_the_head(arch):
    recipe = replace(SHORT, layer_decay=0.5, thaw=0.5, epochs=4)
    trainer = Trainer(arch, DIGITS, recipe, 0)
    order = levels(len(trainer.model.stages))
    by_level = {group["level"]: group["initial_lr"] for group in trainer.optimizer.param_groups}
    assert by_level[len(order) - 1] == recipe.learning_rate
    assert by_level[0] == pytest.approx(recipe.learning_rate * 0.5 ** (len(order) - 1))
    first = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer._step(torch.arange(64))
    moved = {name.split(".")[0] for name, p in trainer.model.named_parameters() if not torch.equal(p, first[name])}
    assert moved == {"head"}
    while not trainer.done:
        trainer.run_epoch()
    assert all(not torch.equal(p, first[name]) for name, p in trainer.model.named_parameters() if p.ndim > 1)


def test_what_is_frozen_stays_with_its_statistics(arch):
    trainer = Trainer(arch, DIGITS, replace(SHORT, freeze_until="stages.0"), 0)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.run_epoch()
    after = trainer.model.state_dict()
    same = {k for k in before if torch.equal(before[k], after[k])}
    assert {k for k in before if k.startswith(("stem.", "stages.0."))} <= same
    assert not any(k.startswith("head.") and k.endswith("weight") for k in same)
    with pytest.raises(ss.InputError, match=r"freeze_until: takes stem, stages.0.* got 'stage.9'"):
        Trainer(arch, DIGITS, replace(SHORT, freeze_until="stage.9"), 0)


@pytest.mark.parametrize(
    "own, phi, wanted", [(None, 0, (0.2, 0.2)), (None, 2, (0.4, 0.3)), (0.5, 2, (0.7, 0.6)), (None, 100, (0.8, 0.8))]
)
def test_dropping_grows_with_phi_from_the_networks_own_rates_or_the_recipes(own, phi, wanted):
    recipe = replace(SHORT, drop_path=own, dropout=own, drop_path_growth=0.1, dropout_growth=0.05)
    arch = adapt(ss.load("efficientnet_b0"), resolution=32, classes=10, channels=1)
    trainer = Trainer(arch.with_(drop_path=0.2), DIGITS, recipe.at_phi(phi), 0)
    rates = [m.p for m in trainer.model.head.modules() if isinstance(m, torch.nn.Dropout)]
    assert (trainer.arch.drop_path, *rates) == pytest.approx(wanted)
    assert Recipe().at_phi(3) == Recipe()


def test_blends_of_rare_and_frequent_classes_weigh_by_both():
    """A blend of 10 % of a frequent class and 90 % of a rare one counts as much either way round."""
    arch = adapt(ss.load("resnet20_cifar"), resolution=8, classes=2, channels=1)
    out = torch.randn(1, 2).repeat(2, 1)
    weights, order = torch.tensor([0.5, 5.0]), torch.tensor([1, 0])
    mixed = ClassificationLearner().mix_labels(torch.tensor([0, 1]), order, torch.tensor([0.1, 0.9]))
    each = -out[0].log_softmax(0)
    wanted = 0.1 * 0.5 * each[0] + 0.9 * 5.0 * each[1]
    assert ClassificationLearner().loss(arch, out, mixed, STILL, weights).item() == pytest.approx(
        wanted.item(), rel=1e-5
    )


def test_resolution_grows_and_is_whole_at_the_end(arch):
    trainer = Trainer(arch, DIGITS, replace(SHORT, epochs=9, progressive=0.5), 0)
    sides = trainer.resolutions
    assert sides[0] == 8
    assert sides[-3:] == [16] * 3
    assert sides == sorted(sides)
    assert torch.isfinite(trainer._step(torch.arange(32)))


@pytest.mark.parametrize("side, sides", [(32, {32}), (64, {32, 48, 64})])
def test_a_network_that_would_be_another_one_at_smaller_images_is_trained_on_whole_ones(side, sides):
    """VGG's head leaves its pool out where there is nothing to pool."""
    vgg = adapt(ss.load("vgg11_bn"), resolution=side, classes=10, channels=1)
    recipe = replace(SHORT, epochs=3, progressive=0.5, data_share=0.05, batch_size=8)
    trainer = Trainer(vgg, DIGITS, recipe, 0)
    assert {*trainer.resolutions} == sides
    assert trainer.run_epoch()["train_loss"] > 0


def test_training_ends_on_a_plateau_if_asked(arch):
    trainer = Trainer(arch, DIGITS, replace(SHORT, epochs=50, learning_rate=1e-9, patience=3), 0)
    while not trainer.done:
        trainer.run_epoch()
    assert trainer.epoch < 50


@pytest.mark.parametrize("name", [*RECIPES])
def test_every_recipe_trains_and_says_how(name, arch):
    trainer = Trainer(arch, DIGITS, replace(RECIPES[name], epochs=1, data_share=0.1), 0)
    numbers = trainer.run_epoch()
    assert numbers["train_loss"] > 0
    assert 0 <= numbers["val_accuracy"] <= 1


@pytest.mark.parametrize(
    "name, optimizer", [("quick", "adamw"), ("cifar", "sgd"), ("imagenet", "adamw"), ("quick", "muon")]
)
def test_going_on_inside_an_epoch_comes_to_the_same_bit(name, optimizer, arch):
    recipe = replace(RECIPES[name], epochs=3, data_share=0.2, batch_size=32, optimizer=optimizer)
    through = Trainer(arch, DIGITS, recipe, 0)
    numbers = [through.run_epoch() for _ in range(3)]
    states = []
    cut = Trainer(arch, DIGITS, recipe, 0)
    cut.run_epoch()

    def keep():
        if cut.position == 2:
            states.append(torch.load(_saved(cut.state()), weights_only=True))

    cut.run_epoch(keep)
    torch.manual_seed(99)
    other = Trainer(arch, DIGITS, recipe, 0)
    other.load_state(states[0])
    assert (other.epoch, other.position) == (1, 2)
    assert [other.run_epoch(), other.run_epoch()] == numbers[1:]
    assert all(torch.equal(a, b) for a, b in zip(through.weights().values(), other.weights().values()))


def _saved(state):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


@pytest.mark.slow
def test_kill_inside_an_epoch_costs_nothing_but_seconds(tmp_path):
    """`kill -9`, Ctrl-C and SIGTERM while an epoch is under way: history and weights are those of a run left alone."""
    base = ["train", "resnet20_cifar", "--data", "digits", "--set", "epochs=4", "--set", "base=cifar", "--json"]
    invoke(*base, "--out", str(tmp_path / "whole"))
    command = [sys.executable, "-m", "scalesearch", *base, "--save-every", "0", "--out", str(tmp_path / "cut")]
    checkpoint, positions = tmp_path / "cut" / "checkpoints" / "unfinished-train-0-0.pt", []
    for way in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = subprocess.Popen(
            [*command, *(["--resume"] if positions else [])],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns > before + 300_000_000:
                break
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it was killed"
        os.kill(process.pid, way)
        message = process.communicate(timeout=20)[1]
        if way != signal.SIGKILL:
            assert process.returncode == 128 + way
            assert "interrupted; what is unfinished is saved" in message
        positions.append(torch.load(checkpoint, weights_only=True)["position"])
    assert any(positions)  # within an epoch: 0 is its end
    invoke(*base, "--out", str(tmp_path / "cut"), "--resume")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert (whole / "history.jsonl").read_text() == (cut / "history.jsonl").read_text()
    assert same_weights(whole / "weights.safetensors", cut / "weights.safetensors")
    scores = [json.loads((folder / "summary.json").read_text())["scores"] for folder in (whole, cut)]
    assert scores[0] == scores[1]
    assert not (cut / "checkpoints").exists()


@pytest.mark.parametrize(
    ("name", "share"), [("vgg11", 0.1), ("squeezenet1_1", 0.1), ("vgg11_bn", 1.0), ("convnext_tiny", 1.0)]
)
def test_networks_without_norms_learn_at_the_recipes_share_of_the_rate(name, share):
    recipe = RECIPES["cifar"]
    optimizer = build_optimizer(ss.build(ss.load(name, classes=10)), recipe)
    assert all(group["lr"] == pytest.approx(recipe.learning_rate * share) for group in optimizer.param_groups)
