"""Spaces: exact size, uniform draws, membership, neighbours, conditions, ties; archs: round trip and digest."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from conftest import MBCONV
from helpers import TINY_SPACE
from hypothesis import given, settings, strategies as st

from scalesearch import yamlfile, zoo
from scalesearch.arch.adapting import adapt
from scalesearch.errors import InputError
from scalesearch.space.domains import choice, span
from scalesearch.space.schema import arch_from_dict, arch_to_yaml, load_space, space_from_dict
from scalesearch.space.space import Space


def every(space: Space) -> list:
    """All distinct architectures, found without the space's own counting: every assignment, completed and built."""
    import itertools

    domains = {key: decision.domain.values for key, decision in space.decisions.items()}
    found = set()
    for values in itertools.product(*domains.values()):
        found.add(space.at_unchecked(space.completed(dict(zip(domains, values)))))
    return list(found)


# Generated spaces: optional stages, ties by name and by path, conditions, alternative blocks, ranges.
def leaf(options, names):
    plain = st.lists(st.sampled_from(options), min_size=1, max_size=2, unique=True).map(lambda o: choice(*o))
    return st.one_of(st.sampled_from(options), plain, st.sampled_from(names).map(lambda n: choice(*options, name=n)))


@st.composite
def stages(draw, index):
    kind = draw(st.sampled_from(["conv", "mbconv"]))
    args = {"width": draw(leaf([8, 16], ["w"])), "kernel": draw(leaf([3, 5], ["k", f"k{index}"]))}
    stage = {"depth": draw(st.sampled_from([1, 2, span(1, 2, name=f"d{index}")])), kind: args}
    if draw(st.booleans()):
        stage["present"] = choice(True, False, name=draw(st.sampled_from([None, "P"])))
        if index and draw(st.integers(0, 2)) == 0:
            stage["present"] |= {"when": {"first": 2}, "else": False}
    if draw(st.booleans()) and isinstance(stage["depth"], dict):
        args["kernel"] = choice(3, 5, when={f"d{index}": 2}, otherwise=7)
    if draw(st.integers(0, 3)) == 0:
        other = {"conv": "mbconv", "mbconv": "conv"}[kind]
        stage["block"] = {"choice": [{kind: stage.pop(kind)}, {other: {"width": 8}}]}
    return stage


@st.composite
def spaces(draw):
    count = draw(st.integers(1, 3))
    drawn = [draw(stages(i)) for i in range(count)]
    fixed = {"depth": choice(1, 2, name="first"), "conv": {"width": draw(st.sampled_from([8, 16]))}}
    where = draw(st.integers(0, count))
    resolution = draw(st.sampled_from([8, choice(8, 16), choice(8, 16, name="r")]))
    return space_from_dict(
        {
            "resolution": resolution,
            "classes": 2,
            "head": {"classifier": {}},
            "stages": [*drawn[:where], fixed, *drawn[where:]],
        }
    )


@given(spaces())
@settings(max_examples=150)
def test_size_is_the_number_of_distinct_architectures(space):
    archs = every(space)
    assert space.size == len(archs)
    walked = [space.at(decisions) for decisions in space]
    assert len(walked) == len(set(walked)) == len(archs)


@given(spaces(), st.integers(0, 2**32))
@settings(max_examples=100)
def test_samples_are_members_and_read_back(space, seed):
    decisions, arch = space.sample(seed)
    assert space.at(decisions) == arch
    assert space.decisions_of(arch.with_(name="other")) == decisions
    for other in space.neighbours(decisions):
        assert other != decisions
        space.at(other)
    mutant = space.mutate(decisions, Random(seed))
    assert space.contains(space.at(mutant))
    assert (
        space.size == 1
        or not any(len(d.domain.values) > 1 for k, d in space.decisions.items() if k in decisions)
        or mutant != decisions
    )


@pytest.mark.parametrize(
    "data",
    [
        {
            "stages": [
                {"present": choice(True, False), "conv": {"width": choice(8, 16, 24), "kernel": choice(3, 5)}},
                {"depth": span(1, 3), "conv": {"width": choice(8, 16)}},
            ]
        },
        {
            "stages": [
                {"present": choice(True, False), "conv": {"width": choice(8, 16)}},
                {"present": choice(True, False), "conv": {"width": choice(8, 16)}},
                {"conv": {"width": 8}},
            ]
        },
        {
            "stages": [
                {"depth": span(1, 2), "conv": {"width": choice(8, 16, 24, when={"stages.0.depth": 2}, otherwise=8)}}
            ]
        },
    ],
    ids=["optional", "optional stages that coincide", "condition"],
)
def test_draws_are_uniform_over_architectures(data):
    space = space_from_dict({"resolution": 8, "classes": 2, "head": {"classifier": {}}, **data})
    rng, n = Random(1), 200 * space.size
    seen = Counter(space.sample(rng)[1] for _ in range(n))
    expected = n / space.size
    chi_square = sum((seen[arch] - expected) ** 2 / expected for arch in every(space))
    freedom = space.size - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom) + 4  # far out in the tail


def test_sizes_of_the_repositorys_spaces():
    assert load_space(MBCONV).size == 131_658_294_711_287_808
    independent = space_from_dict(TINY_SPACE)
    assert independent.size == 2 * (2 * 2 * 2) * (2 * 3 * 2)


def test_mbconv_space_holds_efficientnet_b0_before_and_after_adapting():
    space = load_space(MBCONV)
    b0 = zoo.model("efficientnet_b0")
    assert space.contains(b0)
    assert not space.contains(zoo.model("efficientnet_b1"))
    small = space.adapted(resolution=16, classes=10, channels=1)
    assert small.contains(adapt(b0, resolution=16, classes=10, channels=1))


def test_tied_by_path_and_conditions_from_python():
    space = space_from_dict(
        {
            "resolution": 8,
            "classes": 2,
            "head": {"classifier": {}},
            "stages": [
                {"mbconv": {"width": 8, "kernel": choice(3, 5), "expand": {"range": [1, 4], "step": 0.5}}},
                {
                    "mbconv": {
                        "width": 8,
                        "kernel": {"tie": "stages.0.mbconv.kernel"},
                        "se_ratio": choice(0.25, 0.5, when={"stages.0.mbconv.kernel": [5]}, otherwise=0.0),
                    }
                },
            ],
        }
    )
    assert list(space.decisions) == ["stages.0.mbconv.kernel", "stages.0.mbconv.expand", "stages.1.mbconv.se_ratio"]
    assert space.size == 7 * (1 + 2)
    arch = space.at({"stages.0.mbconv.kernel": 5, "stages.0.mbconv.expand": 2.5, "stages.1.mbconv.se_ratio": 0.5})
    assert arch.stages[1].block.get("kernel") == 5
    assert arch.stages[1].block.get("se_ratio") == 0.5
    with pytest.raises(InputError, match="does not exist under the other decisions"):
        space.at({"stages.0.mbconv.kernel": 3, "stages.0.mbconv.expand": 2.5, "stages.1.mbconv.se_ratio": 0.5})


def test_a_range_of_decimals_without_a_step_is_infinite_and_drawn_evenly_on_its_axis():
    data = {
        "resolution": 8,
        "classes": 2,
        "head": {"classifier": {}},
        "stages": [{"mbconv": {"width": 8, "expand": span(1.0, 16.0, log=True)}}],
    }
    space = space_from_dict(data)
    assert space.size == math.inf
    rng = Random(0)
    low = sum(space.sample(rng)[0]["stages.0.mbconv.expand"] < 4 for _ in range(2000))
    assert 880 < low < 1120  # half of the log axis


@given(
    st.sampled_from(sorted(zoo.MODELS)),
    st.integers(8, 600),
    st.integers(1, 1000),
    st.sampled_from(["symmetric", "same"]),
)
def test_arch_round_trips_exactly(name, resolution, classes, padding):
    arch = zoo.model(name).with_(resolution=resolution, classes=classes, padding=padding)
    assert arch_from_dict(json.loads(json.dumps(arch.to_dict()))) == arch
    assert arch_from_dict(yamlfile.parse(arch_to_yaml(arch)).data) == arch


@given(st.integers(0, 2**32))
def test_sampled_arch_round_trips_exactly(seed):
    arch = load_space(MBCONV).sample(seed)[1]
    read = arch_from_dict(yamlfile.parse(arch_to_yaml(arch)).data)
    assert read == arch
    assert read.digest == arch.digest


def test_digest_is_the_same_in_every_process_and_names_the_network():
    b0 = zoo.model("efficientnet_b0")
    code = "from scalesearch.zoo import model; print(model('efficientnet_b0').digest)"
    for seed in ("0", "1"):
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": seed}, check=True
        )
        assert out.stdout.strip() == b0.digest == "4d2d514bca3778b7"
    assert b0.with_(name="x").digest == b0.digest != b0.with_(classes=10).digest


def test_dumped_numbers_read_back():
    @given(
        st.one_of(
            st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300),
            st.integers(-(10**17), 10**17),
        )
    )
    def check(value):
        text = yamlfile.dump({"v": value})
        back = yamlfile.parse(text).data["v"]
        assert back == value
        assert type(back) is type(value)
        assert "!" not in text

    check()


@pytest.mark.parametrize(
    "leaves, message",
    [
        ({"skip": {"tie": "stages.0.depth"}}, "takes true or false, and the decision it shares offers 1"),
        ({"expand": {"choice": [1, 2], "name": "d"}}, "takes a number, and the decision it shares offers"),
        ({"act": {"tie": 5}}, "takes the path or name of a decision, got 5"),
        ({"kernel": {"tie": ["a"]}}, "takes the path or name"),
        ({"expand": {"range": [1, 60], "step": 1e-7}}, "at most 10,000"),
        ({"kernel": {"choice": [3, 5], "else": 3}}, 'for a leaf with "when"'),
    ],
    ids=lambda v: str(v)[:30],
)
def test_leaves_that_do_not_fit_are_refused(leaves, message):
    with pytest.raises(InputError, match=message):
        space_from_dict(
            {
                "head": {"classifier": {}},
                "stages": [
                    {
                        "depth": choice(1, 2, name="d") if "expand" in leaves else choice(1, 2),
                        "mbconv": {"width": 8, **leaves},
                    }
                ],
            }
        )


def test_a_condition_on_a_decimal_takes_a_whole_number():
    space = space_from_dict(
        {
            "head": {"classifier": {}},
            "stages": [
                {
                    "mbconv": {
                        "width": 8,
                        "expand": choice(3, 6),
                        "kernel": choice(3, 5, when={"stages.0.mbconv.expand": 6}, otherwise=7),
                    }
                }
            ],
        }
    )
    assert space.size == 3
    assert space.at({"stages.0.mbconv.expand": 3}).digest == space.at({"stages.0.mbconv.expand": 3.0}).digest


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"range": [8, 30], "step": 8}, r"step: misses the top, 30: from 8 in steps of 8 the range ends at 24 or 32"),
        ({"range": [8, 12], "step": 8}, r"step: is larger than the whole range, 8 from 8 to 12"),
        ({"range": [1, 10], "step": 4}, r"step: misses the top, 10: .* ends at 9 or 13"),
    ],
)
def test_a_range_that_its_step_does_not_fill_is_said(output, message):
    data = {"resolution": 16, "classes": 4, "stages": [{"conv": {"width": output}}], "head": {"classifier": {}}}
    with pytest.raises(InputError, match=message):
        space_from_dict(data)
    rate = {"range": [0.1, 0.45], "step": 0.1}
    with pytest.raises(InputError, match=r"misses the top, 0.45: .* ends at 0.4 or 0.5"):
        space_from_dict({**data, "stages": [{"conv": {"width": 8}}], "head": {"classifier": {"dropout": rate}}})
    rate["range"] = [0.1, 0.4]
    space_from_dict({**data, "stages": [{"conv": {"width": 8}}], "head": {"classifier": {"dropout": rate}}})
