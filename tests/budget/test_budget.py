"""Budgets: what people write, what it bounds; the feasible set counted, certified and drawn from uniformly."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from random import Random

import pytest
from conftest import MBCONV, ROOT
from helpers import TINY_SPACE
from hypothesis import given, settings, strategies as st
from scipy import stats

from scalesearch import zoo
from scalesearch.arch.expansion import expand
from scalesearch.budget.bounded_sampler import BoundedSampler
from scalesearch.budget.bounds import Bound, Budget, budget_from_dict, parse_bound
from scalesearch.budget.certificate import certify
from scalesearch.budget.cost_lattice import AXES, CostLattice, TooEntangled
from scalesearch.budget.feasibility import Feasible, descend_by_decision
from scalesearch.counting.counts import cost, cost_or_none
from scalesearch.counting.memory import peak_memory
from scalesearch.errors import InputError
from scalesearch.space.schema import load_space, space_from_dict


@pytest.mark.parametrize(
    "written, quantity, low, high",
    [
        (600_000_000, "macs", 0, 6e8),
        ("600M", "macs", 0, 6e8),
        ("≤ 600M", "macs", 0, 6e8),
        ("<=600M", "macs", 0, 6e8),
        ("≥ 1.5G", "macs", 1.5e9, math.inf),
        ("570M..630M", "macs", 5.7e8, 6.3e8),
        ("600M ± 2%", "macs", 5.88e8, 6.12e8),
        ("2x base ± 2%", "macs", 1.96e6, 2.04e6),
        ("≤ 1.5 x base", "params", 0, 1.5e6),
        ("5ms", "latency", 0, 0.005),
        ("200us..1ms", "latency", 2e-4, 1e-3),
        ("64MB", "memory", 0, 64e6),
        ("4MiB", "size", 0, 4 * 2**20),
        ("1_000_000", "params", 0, 1e6),
    ],
)
def test_bounds_are_read_as_people_write_them(written, quantity, low, high):
    found = parse_bound(written, quantity, lambda name, key: 1e6)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)


@pytest.mark.parametrize(
    "written, quantity",
    [
        ("lots", "macs"),
        (-1, "macs"),
        (0, "params"),
        (True, "macs"),
        ("600X", "macs"),
        ("630M..570M", "macs"),
        (5, "latency"),
        ("5", "latency"),
        ("5ms", "macs"),
        ("", "macs"),
        (None, "macs"),
        ([1], "macs"),
        ("2x base", "macs"),
        (float("nan"), "macs"),
        ("1..2..3", "macs"),
        ("600M ± 1.2.3%", "macs"),
        ("600M ± .%", "macs"),
        (10**400, "macs"),
        ("1e400", "macs"),
    ],
)
def test_other_bounds_are_refused_where_they_stand(written, quantity):
    with pytest.raises(InputError) as caught:
        parse_bound(written, quantity)
    assert caught.value.place == quantity


@pytest.mark.parametrize(
    "data, message",
    [
        ({"macs": "0x resnet18"}, "macs: takes"),
        ({"macs": "2x resnet19"}, 'macs: unknown network "resnet19"'),
        ({"latency": "5ms", "device": None}, "latency: needs"),
        ({"latency": "5ms", "device": 3}, "device: takes the file"),
        ({"macs": "2x yolov8m ± 1e9%"}, "macs: takes"),
        ({"latency": "2x resnet18", "device": {"version": 1}}, "latency: takes 5ms"),
    ],
)
def test_other_budgets_are_refused_where_they_stand(data, message):
    with pytest.raises(InputError, match=message):
        budget_from_dict(data)


def test_multiples_are_of_networks_as_published_and_bounds_add_up():
    assert budget_from_dict({"macs": "≤ 2x resnet18"}).bounds["macs"].high == 2 * cost(zoo.model("resnet18")).macs
    both = budget_from_dict({"macs": "≥ 400M"}) & budget_from_dict({"macs": "≤ 900M", "params": "5M"})
    assert both.bounds == {"macs": Bound(400e6, 900e6), "params": Bound(high=5e6)}
    with pytest.raises(InputError, match="macs: no amount is in both"):
        both & budget_from_dict({"macs": "≤ 300M"})


@given(st.text(max_size=30))
def test_any_text_is_a_bound_or_an_input_error(text):
    try:
        found = parse_bound(text, "macs")
    except InputError:
        return
    assert 0 <= found.low <= found.high


def test_every_quantity_bounds_what_it_says():
    arch = zoo.model("mobilenet_v2").with_(resolution=64)
    counted = cost(arch)
    measured = {
        "macs": counted.macs,
        "params": counted.params,
        "acts": counted.acts,
        "size": 4 * counted.params,
        "memory": peak_memory(arch),
    }
    for key, value in measured.items():
        assert Budget({key: Bound(high=value)}).admits(arch)
        assert not Budget({key: Bound(high=value - 1)}).admits(arch)
        assert Budget({key: Bound(low=value)}).admits(arch)
        assert not Budget({key: Bound(low=value + 1)}).admits(arch)


def test_unknown_quantities_and_latency_without_a_device_are_refused():
    with pytest.raises(InputError, match='Did you mean "macs"'):
        budget_from_dict({"mac": 5})
    with pytest.raises(InputError, match="scalesearch profile"):
        budget_from_dict({"latency": "5ms"})


# Counting and drawing, against listing everything.


def small_space():
    """Ties, conditions, an open resolution and an optional stage: all that a unit's cost may hang on."""
    return space_from_dict(
        {
            "name": "s",
            "resolution": {"choice": [16, 32]},
            "classes": 10,
            "stem": {"conv": {"width": {"choice": [8, 16], "name": "w"}, "stride": 2}},
            "stages": [
                {
                    "depth": {"range": [1, 3]},
                    "mbconv": {
                        "width": {"choice": [8, 16, 24]},
                        "kernel": {"choice": [3, 5], "name": "k"},
                        "expand": {"choice": [1, 4], "when": {"k": [3]}, "else": 2},
                    },
                },
                {
                    "present": {"choice": [True, False]},
                    "stride": 2,
                    "mbconv": {"width": {"choice": [32, 40]}, "kernel": {"choice": [3, 5], "name": "k"}},
                },
                {"stride": 2, "conv": {"width": {"choice": [8, 16], "name": "w"}}},
            ],
            "head": {"classifier": {}},
        }
    )


def doubled_space():
    """Stages that can stand in for each other, layers that may be in either, and residuals that fall away in single
    blocks."""
    stage = {
        "depth": {"range": [1, 2]},
        "mbconv": {"width": 16, "expand": {"choice": [1, 2]}, "skip": {"choice": [True, False]}},
    }
    return space_from_dict(
        {
            "name": "d",
            "resolution": 32,
            "classes": 10,
            "stem": {"conv": {"width": 8, "stride": 2}},
            "stages": [{**stage, "stride": 2}, stage, {**stage, "present": {"choice": [True, False]}}],
            "head": {"classifier": {}},
        }
    )


SPACES = {
    "small": small_space,
    "tiny": lambda: space_from_dict(TINY_SPACE),
    "doubles": doubled_space,
    "macro": lambda: load_space(ROOT / "search_spaces" / "nasbench_macro.yaml"),
}


@pytest.mark.parametrize("name", ["small", "tiny"])  # where every way is another network
def test_the_ladder_counts_what_listing_counts(name):
    space = SPACES[name]()
    costs = [cost(space.at_unchecked(d)) for d in space]
    lattice = CostLattice(space)
    for key, axis in AXES.items():
        values = [getattr(c, key) for c in costs]
        assert lattice.extremes(axis) == (min(values), max(values))
        whole = BoundedSampler(lattice, [(axis, 0, max(values))])
        assert whole.weight <= len(costs) == space.size
        middle = sorted(values)[len(values) // 2]
        inside = sum(v <= middle for v in values)
        # cells at the edge count whole
        assert inside <= BoundedSampler(lattice, [(axis, 0, middle)]).weight <= inside + 0.1 * len(values)


@pytest.mark.parametrize("name", ["small", "tiny", "macro", "doubles"])
def test_the_ladder_knows_every_reading_of_every_network(name):
    space = SPACES[name]()
    lattice = CostLattice(space)
    networks = {expand(space.at_unchecked(d)).digest: space.at_unchecked(d) for d in space}
    multiplicities = [
        lattice.multiplicity(tuple(b.digest for _, b in expand(arch).blocks() if b.layers))
        for arch in networks.values()
    ]
    assert min(multiplicities) >= 1
    assert sum(multiplicities) == BoundedSampler(lattice, [(AXES["macs"], 0, lattice.extremes(AXES["macs"])[1])]).weight


@pytest.mark.parametrize(
    "name, share",
    [
        ("small", 0.05),
        ("small", 0.5),
        ("tiny", 0.05),
        ("tiny", 0.5),
        ("doubles", 0.5),
        pytest.param("macro", 0.05, marks=pytest.mark.slow),
    ],
)
def test_draws_inside_a_budget_are_uniform_over_networks(name, share, monkeypatch):
    """Chi-square against the listed feasible set, shallow and small networks no likelier than others."""
    space = SPACES[name]()
    macs = sorted(cost(space.at_unchecked(d)).macs for d in space)
    budget = Budget({"macs": Bound(low=macs[int(0.3 * len(macs))], high=macs[int((0.3 + share) * len(macs))])})
    inside = {expand(space.at_unchecked(d)).digest for d in space if budget.admits(space.at_unchecked(d))}
    for walked in (0, 16_000):  # along the lattice, and from the list
        monkeypatch.setattr("scalesearch.budget.feasibility.MAX_LISTED", walked)
        feasible, rng = Feasible(space, budget), Random(1)
        drawn = Counter(expand(space.at_unchecked(feasible.draw(rng))).digest for _ in range(30 * len(inside)))
        assert set(drawn) <= inside
        assert stats.chisquare([drawn[d] for d in inside]).pvalue > 1e-3


@given(st.integers(0, 2**32), st.floats(0.0, 0.9), st.floats(0.005, 0.3))
@settings(max_examples=12)
def test_what_is_drawn_is_inside_whatever_the_budget(seed, start, width):
    space = load_space(MBCONV).adapted(resolution=32, classes=10, channels=3)
    low, high = CostLattice(space).extremes(AXES["macs"])
    lower = low + start * (high - low)
    budget = Budget({"macs": Bound(lower, lower + width * (high - lower)), "params": Bound(high=6e6)})
    feasible, rng = Feasible(space, budget), Random(seed)
    for _ in range(3):
        arch = space.at(feasible.draw(rng))
        assert budget.admits(arch)


def test_one_in_a_million_is_drawn_fast_and_its_share_is_told():
    """A band of ±1 % of MACs, and a bound that one network in 10¹³ meets: hundreds a second."""
    space = load_space(MBCONV)
    for written, most_share in (("400M ± 1%", 0.02), ("≤ 16M", 1e-12)):
        feasible, rng = Feasible(space, budget_from_dict({"macs": written})), Random(0)
        feasible.draw(rng)
        start = time.perf_counter()
        drawn = [space.at_unchecked(feasible.draw(rng)) for _ in range(200)]
        assert time.perf_counter() - start < 10  # a second or so; the rate is in benchmarks/sampling.py
        assert all(feasible.budget.admits(arch) for arch in drawn)
        assert len({expand(a).digest for a in drawn}) > 100
        certificate = certify(space, feasible.budget)
        low, high = certificate.interval
        assert 0 < certificate.inside < most_share
        assert low <= certificate.inside <= high


def test_certified_share_agrees_with_counting(monkeypatch):
    space = small_space()
    costs = [cost(space.at_unchecked(d)).macs for d in space]
    budget = Budget.at_most(macs=sorted(costs)[len(costs) // 4])
    exact = certify(space, budget)
    assert exact.exact
    assert exact.networks <= len(costs)
    assert exact.smallest == min(costs)
    assert exact.largest == max(costs)
    monkeypatch.setattr("scalesearch.budget.feasibility.MAX_LISTED", 0)
    payload = certify(space, budget)
    share = sum(c <= budget.bounds["macs"].high for c in costs) / len(costs)
    assert not payload.exact
    assert payload.climbed
    assert (payload.smallest, payload.largest) == (min(costs), max(costs))
    assert payload.interval[0] - 0.02 <= share <= payload.interval[1] + 0.02


def test_every_network_is_inside_a_wide_budget(monkeypatch):
    monkeypatch.setattr("scalesearch.budget.feasibility.MAX_LISTED", 0)
    assert certify(doubled_space(), budget_from_dict({"macs": "≤ 1T"})).inside == 1.0


@pytest.mark.parametrize(
    "budget",
    [
        pytest.param({"macs": "≥ 400M", "memory": "3.3MB"}, marks=pytest.mark.slow),
        {"macs": "400M ± 1%", "params": "≤ 4M", "acts": "≤ 6429722"},
    ],
)
def test_bounds_that_leave_little_together_leave_something(budget):
    feasible = Feasible(load_space(MBCONV), budget)
    assert feasible.budget.admits(feasible.space.at_unchecked(feasible.draw(Random(0))))


def test_draws_hang_on_the_dice_alone():
    """A walk through the inside of a bound that no ladder knows: the same after other draws as without them."""
    space = space_from_dict(
        {
            "name": "w",
            "resolution": 32,
            "classes": 10,
            "stem": {"conv": {"width": {"choice": [8, 16, 24, 32]}, "stride": 2}},
            "stages": [
                {
                    "depth": {"range": [1, 6]},
                    "mbconv": {"width": {"choice": [8, 16, 24, 32]}, "kernel": {"choice": [3, 5, 7]}},
                },
                {
                    "stride": 2,
                    "depth": {"range": [1, 6]},
                    "mbconv": {"width": {"choice": [8, 16, 24, 32]}, "expand": {"choice": [1, 2, 3, 4, 6]}},
                },
            ],
            "head": {"classifier": {}},
        }
    )
    memory = sorted(peak_memory(space.sample(seed)[1]) for seed in range(60))
    budget = Budget({"memory": Bound(high=memory[1])})
    one, other = Feasible(space, budget), Feasible(space, budget)
    first = [one.draw(Random(seed)) for seed in range(6)]
    assert [other.draw(Random(seed)) for seed in reversed(range(6))] == first[::-1]


@pytest.mark.parametrize("written", ["≤ 1M", "≥ 2G", "1.0G..1.1G"])
def test_an_empty_budget_is_refused_in_seconds_with_the_nearest(written):
    space = load_space(MBCONV)
    start = time.perf_counter()
    with pytest.raises(
        InputError, match=r"no network of .* the nearest budget that one meets is \{macs: \d+\}"
    ) as caught:
        certify(space, budget_from_dict({"macs": written}))
    assert time.perf_counter() - start < 20
    low, high = CostLattice(space).extremes(AXES["macs"])
    nearest = int(str(caught.value).split("{macs: ")[1].split("}")[0])
    assert nearest == (low if "1M" in written and "≤" in written else high)


def test_bounds_that_no_ladder_knows_are_met_too():
    """Peak memory is no sum over blocks."""
    space = load_space(MBCONV).adapted(resolution=32, classes=10, channels=3)
    budget = budget_from_dict({"memory": "300kB", "params": "≤ 2M"})
    feasible, rng = Feasible(space, budget), Random(0)
    for _ in range(5):
        arch = space.at(feasible.draw(rng))
        assert peak_memory(arch) <= 300_000
        assert cost(arch).params <= 2_000_000


def test_a_walk_inside_stays_inside(monkeypatch):
    monkeypatch.setattr("scalesearch.budget.feasibility.MAX_REJECTIONS", 1)
    monkeypatch.setattr("scalesearch.budget.feasibility.MAX_LISTED", 0)
    space = small_space()
    macs = sorted(cost(space.at_unchecked(d)).macs for d in space)
    feasible, rng = Feasible(space, Budget({"memory": Bound(high=1e12), "macs": Bound(high=macs[5])})), Random(0)
    monkeypatch.setattr(Feasible, "sampler", None)
    assert {cost(space.at(feasible.draw(rng))).macs <= macs[5] for _ in range(20)} == {True}


def test_spaces_with_open_decimals_are_not_climbed_and_still_drawn_from():
    space = space_from_dict(
        {
            "name": "d",
            "resolution": 16,
            "classes": 4,
            "stem": {"conv": {"width": {"range": [8, 64]}}},
            "stages": [{"conv": {"width": 8}}],
            "head": {"classifier": {"dropout": {"range": [0.0, 0.5]}}},
        }
    )
    with pytest.raises(TooEntangled):
        CostLattice(space)
    budget = Budget.at_most(macs=400_000)
    assert certify(space, budget).inside < 0.9
    assert cost_or_none(space.at_unchecked(Feasible(space, budget).draw(Random(0)))).macs <= 400_000


@pytest.mark.parametrize("name, distinct", [("nasbench_macro", 3969)])
def test_networks_that_are_one_by_structure_are_counted_once(name, distinct):
    """3,969: the benchmark's own authors' count of distinct networks, identities moved within a stage."""
    space = load_space(ROOT / "search_spaces" / f"{name}.yaml")
    assert len({expand(space.at_unchecked(d)).digest for d in space}) == distinct


def test_a_sum_is_the_same_whatever_the_order_of_its_terms():
    space = load_space(ROOT / "search_spaces" / "nasbench201.yaml")

    def cell(*ops):
        return expand(space.at(dict(zip(("edge01", "edge02", "edge12", "edge03", "edge13", "edge23"), ops)))).digest

    conv, pool, skip, none = "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none"
    # node 1 and node 2 change places
    assert cell(conv, pool, none, skip, conv, skip) == cell(pool, conv, none, skip, skip, conv)
    assert cell(conv, pool, none, skip, conv, skip) != cell(conv, pool, none, skip, skip, conv)
    assert cell(conv, none, none, none, skip, none) == cell(none, conv, none, none, none, skip)  # dead edges fall away
    # two convolutions are not one
    assert cell(conv, none, none, none, skip, none) != cell(conv, conv, none, none, skip, skip)


def test_json_of_a_certificate_is_json():
    assert json.loads(json.dumps(certify(small_space(), Budget()).to_dict()))["inside"] == 1.0


def test_a_certificate_counts_networks_and_says_how_many_points_there_are():
    """Of RegNet's points 77 % have a width that its group width doesn't divide."""
    space = load_space(ROOT / "search_spaces" / "regnet.yaml")
    widths = [unit.blocks["regnet"]["width"].domain.values for unit in space.units if unit.part == "stages"]
    groups = space.decisions["group_width"].domain.values
    divisible = sum(math.prod(sum(w % g == 0 for w in stage) for stage in widths) for g in groups)
    exact = divisible * math.prod(len(d.domain.values) for k, d in space.decisions.items() if k.endswith("depth"))
    found = certify(space, {"macs": "<= 1000G"})
    assert (found.size, found.networks) == (11_612_160, exact)
    assert exact == 2_675_520
    assert found.inside == 1
    rng = Random(0)
    for _ in range(200):
        decisions, arch = space.sample(rng)
        assert cost_or_none(arch) is not None
        assert cost_or_none(space.at(space.mutate(decisions, rng))) is not None
    assert all(cost_or_none(space.at(d)) is not None for d in space.neighbours(decisions))


@pytest.mark.parametrize(
    "widths, groups, networks", [([16, 24, 40], [8, 16], 4), ([8, 24, 40], [8], 3), ([12, 20], [4, 5, 6], 4)]
)
def test_small_spaces_count_their_networks_too(widths, groups, networks):
    """Three siblings: listed spaces, where a width and its groups may not meet."""
    space = space_from_dict(
        {
            "resolution": 16,
            "classes": 4,
            "stem": [{"conv": {"width": 8}}],
            "stages": [{"regnet": {"width": {"choice": widths}, "group_width": {"choice": groups}}}],
            "head": {"classifier": {}},
        }
    )
    found = certify(space, {})
    assert found.networks == len(list(space)) == networks
    assert found.size == len(widths) * len(groups)


def test_where_shapes_hardly_ever_meet_a_draw_says_why():
    space = space_from_dict(
        {
            "resolution": 16,
            "classes": 4,
            "stages": [{"regnet": {"width": {"choice": [24, 40]}, "group_width": 16}}],
            "head": {"classifier": {}},
        }
    )
    with pytest.raises(InputError, match="cannot be cut into groups of 16"):
        space.sample(0)


def test_a_space_that_cannot_be_climbed_counts_its_networks_by_draws():
    """Its points that are no networks are left out of share, median and ends, and their number is estimated."""

    def stage(inputs):
        return {
            "regnet": {"width": {"choice": [48, 64, 80, 96, 112]}, "group_width": {"choice": [16, 24]}},
            "present": {"choice": [True, False]},
        } | inputs

    stages = [{"conv": {"width": 16}}, *(stage({}) for _ in range(5)), {"conv": {"width": 8}, "inputs": [0]}]
    space = space_from_dict(
        {"resolution": 16, "classes": 4, "stem": [{"conv": {"width": 8}}], "stages": stages, "head": {"classifier": {}}}
    )
    found = certify(space, {"macs": "<= 1T"})
    assert not found.climbed
    assert not found.exact
    assert found.inside == 1
    assert 0 < found.networks < found.size
    assert found.counted < 2_000
    assert found.networks / found.size == pytest.approx(found.counted / 2_000, abs=0.06)


@pytest.mark.parametrize("name", ["inception", "inception_v3"])
def test_spaces_that_are_too_entangled_are_seen_to_be_before_their_blocks_are_recorded(name, monkeypatch):
    steps, step = [0], CostLattice._step

    def counted(*arguments):
        steps[0] += 1
        return step(*arguments)

    monkeypatch.setattr(CostLattice, "_step", counted)
    with pytest.raises(TooEntangled):
        CostLattice(load_space(ROOT / "search_spaces" / f"{name}.yaml"))
    assert steps[0] < 2_000  # 80,000 and more without the draws


def test_descending_by_decision_finds_the_extremes_that_the_lattice_counts():
    space = load_space(ROOT / "search_spaces" / "mobilenet_v2.yaml")
    start = space.sample(Random(0))[0]
    low, high = CostLattice(space).extremes(AXES["macs"])
    assert descend_by_decision(space, start, lambda arch: cost(arch).macs)[1] == low
    assert descend_by_decision(space, start, lambda arch: -cost(arch).macs)[1] == -high
