"""Compound scaling: published rounding, published networks, and targets met as counted."""

from __future__ import annotations

import math
from random import Random

import pytest
from conftest import MBCONV
from hypothesis import given, settings, strategies as st

from scalesearch import zoo
from scalesearch.arch.adapting import adapt
from scalesearch.arch.blocks.parts import make_divisible
from scalesearch.arch.blocks.registry import BLOCKS
from scalesearch.arch.expansion import expand
from scalesearch.counting.counts import cost, cost_or_none
from scalesearch.errors import InputError
from scalesearch.scaling.closed_loop import PRESETS, Shares, realised_multipliers, scale_rounding_total, scale_to
from scalesearch.scaling.multipliers import scale, widths
from scalesearch.scaling.scaling_space import ScalingSpace
from scalesearch.space.schema import load_space

# width and depth multiplier, resolution (Tan & Le 2019, reference code) → published params
PUBLISHED = {
    1: (1.0, 1.1, 240, 7794184),
    2: (1.1, 1.2, 260, 9109994),
    3: (1.2, 1.4, 300, 12233232),
    4: (1.4, 1.8, 380, 19341616),
    5: (1.6, 2.2, 456, 30389784),
    6: (1.8, 2.6, 528, 43040704),
    7: (2.0, 3.1, 600, 66347960),
}


@pytest.mark.parametrize("member", PUBLISHED)
def test_efficientnets_come_out_of_b0_by_scaling_alone(member):
    width, depth, resolution, params = PUBLISHED[member]
    arch = scale(zoo.model("efficientnet_b0"), width=width, depth=depth, resolution=resolution / 224)
    assert (arch.resolution, cost(arch).params) == (resolution, params)
    assert cost(arch) == cost(zoo.model(f"efficientnet_b{member}"))


@pytest.mark.parametrize(
    "family, keep",
    [
        ("mobilenet_v1", ()),
        ("mobilenet_v2", ("head",)),
        ("mobilenet_v3_small", ("hidden",)),
        ("mobilenet_v3_large", ("hidden",)),
    ],
)
@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.4])
def test_width_multipliers_of_mobilenets_are_scaling(family, keep, width):
    """v2 keeps its head where it shrinks; v3, by timm's rule, the hidden layer always and the stem below 0.75."""
    kept = () if keep == ("head",) and width > 1 else (*keep, "stem") if keep == ("hidden",) and width < 0.75 else keep
    member = zoo.model(f"{family}_x{str(width).replace('.', '_')}")
    assert cost(scale(zoo.model(family), width=width, keep=kept)) == cost(member)


@pytest.mark.parametrize(
    "base, depths, member",
    [
        ("resnet50", [3, 4, 23, 3], "resnet101"),
        ("resnet50", [3, 8, 36, 3], "resnet152"),
        ("resnet18", [3, 4, 6, 3], "resnet34"),
    ],
)
def test_depth_lists_of_resnets_are_scaling(base, depths, member):
    assert cost(scale(zoo.model(base), depth=depths)) == cost(zoo.model(member))
    with pytest.raises(InputError, match="each of the 4 stages"):
        scale(zoo.model(base), depth=[1, 2])


@pytest.mark.parametrize(
    "size, depth, width, most", [("s", 1, 2, None), ("m", 2, 3, 576), ("l", 3, 4, 512), ("x", 3, 5, 640)]
)
def test_yolov8_s_to_x_are_n_scaled(size, depth, width, most):
    """Ultralytics' depth, width and max_channels, as multiples of n's."""
    assert cost(scale(zoo.model("yolov8n"), depth=depth, width=width, most_width=most)) == cost(
        zoo.model(f"yolov8{size}")
    )
    classifier = scale(zoo.model("yolov8n_cls"), depth=depth, width=width, keep=("head",))
    assert cost(classifier) == cost(zoo.model(f"yolov8{size}_cls"))


def test_group_widths_are_an_axis_of_their_own():
    """Dollár et al. 2021: with d, w, r as they are, wider groups cost more and divide the widths."""
    base = zoo.model("regnet_y_400mf")
    wide = scale(base, group=2.0)
    assert all(s.block.get("group_width") == 16 and s.block.get("width") % 16 == 0 for s in wide.stages)
    assert cost(wide).macs > cost(base).macs
    space = ScalingSpace(base)
    assert space.axes == ("depth", "width", "resolution", "group")
    assert {d["group"] for d in space.networks.values()} == {0.0, 1.0}
    fast = scale_to(base, 4 * cost(base).macs, PRESETS["fast"])
    assert abs(fast.deviation) <= 0.02
    assert fast.arch.stages[0].block.get("group_width") > 8


def test_fast_scaling_grows_activations_least():
    """dWr: acts grow about as the root of the MACs (Dollár et al. 2021, table 2)."""
    base = zoo.model("efficientnet_b0")
    acts = {
        name: cost(scale_to(base, 8 * cost(base).macs, PRESETS[name]).arch).acts / cost(base).acts
        for name in ("fast", "efficientnet", "depth")
    }
    assert acts["fast"] < acts["efficientnet"] < acts["depth"]
    assert acts["fast"] < 8**0.7


# to a quarter or sixteenfold they take minutes
LONG = ("densenet", "inception_resnet", "mobilenet_v4_hybrid", "yolov3_tiny")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list(zoo.MODELS)[::3] if not name.startswith(LONG)])
def test_the_zoo_meets_its_targets(name):
    base = zoo.model(name)
    for factor in (0.25, 16):
        scaled = scale_to(base, round(cost(base).macs * factor), PRESETS["efficientnet"])
        assert abs(scaled.deviation) <= 0.02
        assert scaled.miss(0.02) == ""
        assert scaled.macs == cost(scaled.arch).macs


def test_a_miss_says_why():
    scaled = scale_to(zoo.model("yolov8n"), 2 * cost(zoo.model("yolov8n")).macs, PRESETS["depth"])
    assert "the steps of depth are too coarse" in scaled.miss(0.02)
    assert f"{scaled.n_candidates:,} networks" in scaled.miss(0.02)


@given(st.floats(1, 4000))
def test_channel_rounding_keeps_the_published_promises(value):
    channels = make_divisible(value)
    assert channels % 8 == 0
    assert channels >= max(8, 0.9 * value)
    assert abs(channels - value) <= max(8, 0.1 * value + 8)


def test_scaling_by_one_changes_nothing():
    for name in zoo.MODELS:
        assert scale(zoo.model(name)) == zoo.model(name)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1.1, 16))
def test_shares_put_the_coefficients_on_the_surface(a, b, factor):
    low, high = sorted((a, b))
    alpha, beta, gamma = Shares(low, high - low, 1 - high).multipliers(factor)
    assert math.isclose(alpha * beta**2 * gamma**2, factor, rel_tol=1e-9)


def test_efficientnets_coefficients_are_stretched_not_bent():
    shares = Shares.from_coefficients(1.2, 1.1, 1.15)
    alpha, beta, gamma = shares.multipliers(2)
    assert math.isclose(alpha * beta**2 * gamma**2, 2)
    assert math.isclose(math.log(alpha) / math.log(beta), math.log(1.2) / math.log(1.1))
    with pytest.raises(InputError):
        Shares.from_coefficients(0.9, 1.1, 1.1)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50"])
@pytest.mark.parametrize("factor", [0.5, 2, 4])
def test_compound_scaling_of_the_zoo_meets_its_target(name, factor):
    base = zoo.model(name)
    target = round(cost(base).macs * factor)
    scaled = scale_to(base, target, PRESETS["efficientnet"])
    assert scaled.macs == cost(scaled.arch).macs
    assert abs(scaled.deviation) <= 0.02


@pytest.mark.slow
@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=40)
def test_closed_loop_scaling_of_random_bases(seed, i, j):
    """What comes back is counted, on target where told so, and grows only along axes that have a share."""
    base = load_space(MBCONV).sample(seed)[1].with_(resolution=64)
    low, high = sorted((i, j))
    shares = Shares(low / 12, (high - low) / 12, (12 - high) / 12)
    scaled = scale_to(base, 2 * cost(base).macs, shares)
    assert scaled.macs == cost(scaled.arch).macs
    assert scaled.target == 2 * cost(base).macs
    # two axes or more are fine enough; one alone (whole pixels, layers, 8 channels) may not be
    assert abs(scaled.deviation) <= (0.02 if sum(s > 0 for s in shares) > 1 else 0.25)
    depth, width, resolution = realised_multipliers(scaled.arch, base)
    assert depth == 1 or shares.depth
    assert resolution == 1 or shares.resolution
    if not shares.width:
        assert [widths(s.block) for s in scaled.arch.stages] == [widths(s.block) for s in base.stages]
    assert min(depth, width, resolution) >= 0.999


def test_nearest_is_said_where_none_fits():
    base = zoo.model("resnet18").with_(resolution=24, classes=10)
    scaled = scale_to(base, round(1.5 * cost(base).macs), Shares(0, 0, 1))
    near = {r: cost(base.with_(resolution=r)).macs / scaled.target - 1 for r in range(24, 48)}
    assert abs(scaled.deviation) == min(map(abs, near.values())) > 0.02


@pytest.mark.parametrize("name", [pytest.param("mobilenet_v2", marks=pytest.mark.slow), "regnet_y_400mf"])
def test_no_network_near_a_factor_is_missing(name):
    """What random multipliers within the growth give inside the tolerance is among the exact set."""
    base = zoo.model(name).with_(resolution=32, classes=10)
    space, rng = ScalingSpace(base), Random(0)
    met = set()
    for _ in range(4_000):
        alpha, beta, size = rng.uniform(1, 2), rng.uniform(1, 2**0.5), rng.randint(32, 45)
        grown = scale_rounding_total(base, alpha, beta, 1.0).with_(resolution=size)
        if (counted := cost_or_none(grown)) and abs(counted.macs / space.target - 1) <= 0.02:
            met.add(expand(grown).digest)
    assert len(met) > 10
    assert met <= space.networks.keys()


@pytest.mark.parametrize("factor, depths", [(1.2, [1, 1, 2, 2, 5]), (1.4, [1, 1, 2, 2, 9])])
def test_depths_are_enumerated_before_a_miss_is_claimed(factor, depths):
    base = zoo.model("vgg11")
    listed = cost(scale(base, depth=depths)).macs / (factor * cost(base).macs) - 1
    found = scale_to(base, round(factor * cost(base).macs), "depth")
    assert abs(found.deviation) <= abs(listed) + 1e-8 <= 0.02
    assert [s.depth for s in base.stages] <= [s.depth for s in found.arch.stages]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"width": math.nan}, "width: takes a number above 0"),
        ({"depth": -3}, "depth: takes"),
        ({"resolution": math.inf}, "resolution: takes"),
        ({"width": "2"}, "width: takes"),
        ({"depth": None}, "depth: takes"),
        ({"width": 0}, "width: takes"),
    ],
)
def test_multipliers_are_numbers(arguments, message):
    with pytest.raises(InputError, match=message):
        scale(zoo.model("resnet18"), **arguments)


def test_targets_and_presets_are_checked():
    base = zoo.model("resnet18")
    assert scale_to(base, 2 * cost(base).macs, "uniform").shares == PRESETS["uniform"]
    for target, shares, message in (
        ("600M", "depth", "target: takes a number"),
        (10**9, "dept", 'unknown preset "dept"'),
        (math.nan, "depth", "target"),
    ):
        with pytest.raises(InputError, match=message):
            scale_to(base, target, shares)
    assert scale_to(zoo.model("vgg16"), 4096 * cost(zoo.model("vgg16")).macs, "resolution").arch.resolution <= 8192


def test_scaling_space_is_a_space_of_counted_networks():
    space = ScalingSpace(load_space(MBCONV).sample(3)[1].with_(resolution=32))
    members = [
        space.at({"depth": i / 2, "width": j / 2, "resolution": (2 - i - j) / 2})
        for i in range(3)
        for j in range(3 - i)
    ]
    assert len(members) == 6
    assert all(abs(m.deviation) < 0.1 for m in members)
    with pytest.raises(InputError):
        space.at({"depth": 0.7, "width": -0.1, "resolution": 0.4})


@pytest.mark.parametrize(
    "name",
    [
        "densenet161",
        "regnet_y_3_2gf",
        "yolov8n",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("inception_v3", "mobilenet_v4_hybrid_medium", "inception_v1")
        ),
    ],
)
def test_branched_networks_scale_by_what_they_repeat(name):
    """Reductions, pools and joints stay single, C2f deepens inside, detectors keep to multiples of the total stride."""
    base = zoo.model(name)
    grown = scale_to(base, 2 * cost(base).macs, PRESETS["depth"])
    assert abs(grown.deviation) <= 0.02 or name == "yolov8n"  # few depths to choose from
    for before, after in zip(expand(base).stages, expand(grown.arch).stages):
        assert before[-1].out_shape[1:] == after[-1].out_shape[1:]
    wide = scale_to(base, 2 * cost(base).macs, PRESETS["efficientnet"])
    assert abs(wide.deviation) <= 0.02
    if name == "yolov8n":
        assert wide.arch.resolution % 32 == 0
        assert all(s.depth == 1 for s in wide.arch.stages if s.block.kind != "conv")
        assert any(
            s.block.get("repeats", 1) > t.block.get("repeats", 1) for s, t in zip(grown.arch.stages, base.stages)
        )
    if name.startswith("regnet"):
        assert all(s.block.get("width") % 24 == 0 for s in wide.arch.stages)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_classifier_adapts_to_small_images(name):
    arch = zoo.model(name)
    if BLOCKS[arch.head.kind].task != "classification":
        pytest.skip("a detector")
    for resolution in (16, 32, 64):
        small = adapt(arch, resolution=resolution, classes=10)
        assert expand(small).stages[-1][-1].out_shape[-1] >= 2
