"""Latency, measured; and profiles of it held against networks they have not seen."""

from __future__ import annotations

from random import Random

import pytest
import torch
from conftest import MBCONV

from scalesearch import zoo
from scalesearch.arch.expansion import expand
from scalesearch.counting.counts import cost
from scalesearch.counting.profiles import load_profile
from scalesearch.network.latency import measure, profile, summarise
from scalesearch.network.modules import build
from scalesearch.space.schema import load_space
from scalesearch.statistics.correlations import spearman


def test_interruptions_are_left_out_of_a_measurement():
    found = summarise([1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 7.0])
    assert found.seconds == 1.0
    assert found.outliers == 1
    assert found.runs == 6
    assert found.spread < 0.02


def test_latency_grows_with_the_work():
    small, large = (
        measure(build(zoo.model("resnet18").with_(classes=10)).eval(), torch.randn(1, 3, r, r), threads=1)
        for r in (32, 224)
    )
    assert large.seconds > 3 * small.seconds
    assert small.runs >= 4


@pytest.mark.slow
def test_a_profile_tells_networks_that_it_has_not_seen(tmp_path):
    space = load_space(MBCONV).adapted(resolution=32, classes=10, channels=3)
    rng = Random(0)
    networks = sorted((space.sample(rng)[1].with_(name=f"n{i}") for i in range(60)), key=lambda arch: cost(arch).acts)
    learned, others = networks[3::9], [networks[i] for i in (0, 1, 30, 58, 59)]  # far apart: times here are noisy
    found = profile(learned, others, torch.device("cpu"))
    found.save(tmp_path / "p.json")
    read = load_profile("p.json", tmp_path)
    payload = [read.predict(expand(arch)) for arch in others]
    assert payload == [found.predict(expand(arch)) for arch in others]
    assert min(payload) > 0
    assert found.error["networks"] == 5
    assert found.error["median"] < 1
    assert spearman(payload, [cost(arch).acts for arch in others]) > 0.6  # 1.0, also beside another process at work
    assert found.measured_share(expand(learned[0])) == 1.0
