"""Detectors on any classifier."""

from __future__ import annotations

import pytest
import torch
from helpers import assert_counts_agree, refused

import scalesearch as ss
from scalesearch import zoo
from scalesearch.arch.blocks.registry import BLOCKS
from scalesearch.errors import InputError
from scalesearch.network.decoding import decoder
from scalesearch.network.modules import build

CLASSIFIERS = [name for name in zoo.MODELS if BLOCKS[zoo.model(name).head.kind].task == "classification"]


@pytest.mark.parametrize("head", ["yolov8", "yolo"])
def test_every_classifier_of_the_zoo_carries_both_heads(head):
    for name in CLASSIFIERS:
        arch = ss.load(f"{name}+{head}", classes=3)
        assert arch.name == f"{name}+{head}"
        assert ss.cost(arch).macs > 0
        sides = {64 * round(arch.sides[0] / 64 / h) // 64 * 64 or arch.sides[0] // h for h, _ in decoder(arch).maps}
        assert sorted(sides) == [8, 16, 32]


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small+yolov8", "resnet18+yolo", "vgg11_bn+yolov8", "resnet20_cifar+yolov8", "inception_v3+yolov8"],
)
def test_they_are_counted_exactly_and_run(name):
    arch = ss.load(name, resolution=96 if "inception" not in name else 320, classes=4)
    assert_counts_agree(arch)
    boxes, scores = decoder(arch)(build(arch).eval()(torch.zeros(1, 3, *arch.sides)))
    assert boxes.shape[1] == scores.shape[1]
    assert scores.shape[2] == 4


def test_the_backbones_weights_keep_their_names(tmp_path):
    backbone, detector = build(ss.load("mobilenet_v2")), build(ss.load("mobilenet_v2+yolov8"))
    own = dict(detector.named_parameters())
    shared = {name: p for name, p in backbone.named_parameters() if name.startswith(("stem", "stages"))}
    assert all(own[name].shape == p.shape for name, p in shared.items())


def test_an_arch_of_ones_own_carries_a_head_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nresolution: 64\nstages:\n"
        + "".join(f"  - {{stride: 2, conv: {{width: {w}}}}}\n" for w in (8, 16, 24, 32, 40))
        + "head: {classifier: {}}\n"
    )
    assert ss.load(f"{path}+yolov8").taps
    assert ss.load(str(path)).head.kind == "classifier"


@pytest.mark.parametrize(
    "name, message",
    [("yolov8n+yolov8", "is no classifier"), ("resnet81+yolov8", "resnet18"), ("resnet18+yolov9", "yolov8 or yolo")],
)
def test_what_carries_none_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        zoo.model(name)
    assert message in refused("cost", name)
