"""The zoo against papers and published tables, and every family's search space around its members."""

from __future__ import annotations

import itertools
import math

import pytest
from conftest import ROOT, SPACES, facts
from peers import TORCHVISION

import scalesearch as ss
from scalesearch import zoo
from scalesearch.arch.arch import Arch, Stage
from scalesearch.arch.blocks.registry import block, layer
from scalesearch.arch.expansion import expand
from scalesearch.errors import InputError
from scalesearch.space.schema import arch_from_dict, load_space

# Networks that no library has: the papers' parameters, in millions as printed, and to the digit where a count is known.
PAPERS = {
    "resnet20_cifar": (0.27, 269_722),
    "resnet32_cifar": (0.46, 464_154),
    "resnet44_cifar": (0.66, 658_586),
    "resnet56_cifar": (0.85, 853_018),
    "resnet110_cifar": (1.7, 1_727_962),
    "densenet_bc100_12": (0.8, 769_162),
    "densenet_bc250_24": (15.3, None),
    "densenet_bc190_40": (25.6, None),
    "inception_v1_5x5": (7.0, 7_005_832),
    "darknet53": (41.6, 41_609_928),
    "yolov3_spp": (63.0, None),
    "mobilenet_v2_x0_5_cifar": (0.70, 700_490),
    "mobilenet_v2_x0_75_cifar": (1.37, 1_368_234),
    "mobilenet_v2_cifar": (2.24, 2_236_682),
    "mobilenet_v2_x1_4_cifar": (4.33, 4_333_706),
    "shufflenet_v2_x0_5_cifar": (0.35, 352_042),
    "shufflenet_v2_x1_0_cifar": (1.26, 1_263_854),
    "shufflenet_v2_x1_5_cifar": (2.49, 2_488_874),
    "shufflenet_v2_x2_0_cifar": (5.37, 5_365_486),
}
MEMBERS_OF_SPACE = {
    "vgg": ["vgg11", "vgg13_bn", "vgg16", "vgg19_bn"],
    "resnet": ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2"],
    "resnet_cifar": ["resnet20_cifar", "resnet110_cifar"],
    "inception": ["inception_v1", "inception_v1_5x5"],
    "inception_v3": ["inception_v3"],
    "inception_v4": ["inception_v4"],
    "inception_resnet_v2": ["inception_resnet_v2"],
    "densenet": ["densenet121", "densenet161", "densenet169", "densenet201"],
    "densenet_cifar": ["densenet_bc100_12", "densenet_bc250_24", "densenet_bc190_40"],
    "mbconv": ["efficientnet_b0"],
    "efficientnet": [f"efficientnet_b{i}" for i in range(8)],
    "efficientnet_v2": [f"efficientnet_v2_{size}" for size in "sml"],
    "mobilenet_v1": ["mobilenet_v1", "mobilenet_v1_x0_35"],
    "mobilenet_v2": ["mobilenet_v2", "mobilenet_v2_x1_4"],
    "mobilenet_v3_small": ["mobilenet_v3_small", "mobilenet_v3_small_x0_5"],
    "mobilenet_v3_large": ["mobilenet_v3_large", "mobilenet_v3_large_x0_75"],
    "mobilenetv4": ["mobilenet_v4_conv_small", "mobilenet_v4_conv_medium", "mobilenet_v4_conv_large"],
    "mobilenetv4_hybrid": ["mobilenet_v4_hybrid_medium", "mobilenet_v4_hybrid_large"],
    "mnasnet": ["mnasnet0_5", "mnasnet1_3"],
    "shufflenet": ["shufflenet_v2_x0_5", "shufflenet_v2_x2_0"],
    "regnet": ["regnet_y_400mf", "regnet_y_800mf", "regnet_y_800mf_pycls", "regnet_y_3_2gf", "regnet_y_8gf"],
    "squeezenet": ["squeezenet1_0", "squeezenet1_1"],
    "convnext": ["convnext_tiny"],
    "darknet": ["darknet53"],
    "yolo": [f"yolov8{size}" for size in "nsmlx"],
    "yolo_cls": [f"yolov8{size}_cls" for size in "nsmlx"],
    "yolov3": ["yolov3"],
    "yolov3_spp": ["yolov3_spp"],
    "yolov3_tiny": ["yolov3_tiny"],
    "nasbench201": [],
    "nasbench_macro": [],
    "small_images": [],
    "yolo_small": [],
}


@pytest.mark.parametrize("name", PAPERS)
def test_networks_without_a_peer_have_the_papers_params(name):
    millions, exact = PAPERS[name]
    params = ss.cost(ss.load(name)).params
    assert params == pytest.approx(millions * 1e6, rel=0.07)
    assert exact is None or params == exact


PUBLISHED_MACS = {  # in millions, of chenyaofo/pytorch-cifar-models
    "mobilenet_v2_x0_5_cifar": 27.97,
    "mobilenet_v2_x0_75_cifar": 59.31,
    "mobilenet_v2_cifar": 87.98,
    "mobilenet_v2_x1_4_cifar": 170.07,
    "shufflenet_v2_x0_5_cifar": 10.90,
    "shufflenet_v2_x1_0_cifar": 45.00,
    "shufflenet_v2_x1_5_cifar": 94.26,
    "shufflenet_v2_x2_0_cifar": 187.81,
}


@pytest.mark.parametrize("name", PUBLISHED_MACS)
def test_networks_for_small_images_have_the_macs_that_their_authors_publish(name):
    assert round(ss.cost(ss.load(name)).macs / 1e6, 2) == PUBLISHED_MACS[name]


@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_network_is_plain_data_and_adapts_to_other_classes(name):
    arch = ss.load(name)
    assert arch_from_dict(arch.to_dict()) == arch
    other = ss.load(name, classes=7)
    assert ss.cost(other).params < ss.cost(arch).params
    # classes, distances, anchors
    assert expand(other).head.shape_of(expand(other).head.outputs[0])[0] in (7, 4, 3 * (5 + 7))


def test_every_space_is_named_here():
    assert {path.stem for path in SPACES} == MEMBERS_OF_SPACE.keys()


@pytest.mark.parametrize("path", SPACES, ids=lambda p: p.stem)
def test_hand_built_members_are_points_of_their_familys_space(path):
    space = load_space(path)
    for name in MEMBERS_OF_SPACE[path.stem]:
        decisions = space.decisions_of(ss.load(name))
        assert decisions is not None, name
        assert space.at(decisions).with_(name=name) == ss.load(name)
    assert not space.contains(ss.load("resnet18" if path.stem != "resnet" else "vgg11"))


@pytest.mark.parametrize("path", SPACES, ids=lambda p: p.stem)
def test_random_points_are_found_again(path):
    space = load_space(path)
    for seed in range(3):
        decisions, arch = space.sample(seed)
        assert space.decisions_of(arch) == decisions
        assert space.at(decisions) == arch


def test_nasbench_macro_is_the_published_table():
    """All 6,561 networks: params and MACs of our space's points equal the benchmark's, which are sums over layers."""
    base, *rows = facts("nasbench_macro_costs.csv")
    added = {(int(row["layer"]), int(row["kind"])): counts_of(row) for row in rows}
    space = load_space(ROOT / "search_spaces" / "nasbench_macro.yaml")
    assert space.size == 6561
    for kinds in itertools.product(range(3), repeat=8):
        decisions = {}
        for i, kind in enumerate(kinds):
            other = "conv" if i in (0, 2, 5) else "identity"
            decisions[f"stages.{i}.block"] = "inverted_residual" if kind else other
            if kind:
                decisions[f"expand{i}"] = (3, 6)[kind - 1]
            if kind == 1:
                decisions[f"stages.{i}.inverted_residual.kernel"] = 3
        parts = counts_of(base), *(added[i, kind] for i, kind in enumerate(kinds) if kind)
        assert ss.cost(space.at(decisions))[:2] == tuple(map(sum, zip(*parts)))


def counts_of(row):
    return int(row["params"]), int(row["flops"])


def test_nasbench201_is_the_published_table():
    """Every fourth cell, if its edges all lead to its output: params equal, MACs but for the ten bias additions that
    the benchmark counts. Published counts hang on the number of its 1×1 and 3×3 convolutions alone."""
    published = {(int(row["conv1x1"]), int(row["conv3x3"])): counts_of(row) for row in facts("nasbench201_costs.csv")}
    space = load_space(ROOT / "search_spaces" / "nasbench201.yaml")
    assert space.size == 15_625
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    compared = 0
    for ops in itertools.islice(itertools.product(range(5), repeat=6), 0, None, 4):
        params, flops = published[ops.count(2), ops.count(3)]
        e01, e02, e12, _e03, e13, e23 = ops
        dead = (e01 and not (e13 or (e12 and e23))) or (e02 and not e23) or (e12 and not e23)
        counted = ss.cost(
            space.at(dict(zip(("edge01", "edge02", "edge12", "edge03", "edge13", "edge23"), (names[o] for o in ops))))
        )
        assert counted.params <= params
        if not dead:
            compared += 1
            assert counted[:2] == (params, flops - 10)
    assert compared > 2_500


def test_modules_of_a_persons_own_design_mix_and_can_be_searched():
    """Residual, dense, inception and attention pieces in one architecture; branches with open widths, kernels and
    layers."""
    module = {
        "inception": {
            "branches": [
                [{"conv": {"width": {"choice": [8, 16]}, "kernel": [1, 5]}}, {"conv": {"width": 8, "kernel": [5, 1]}}],
                [
                    {
                        "choice": [
                            {"identity": {}},
                            {"max_pool": {"kernel": 3}},
                            {"conv": {"width": {"choice": [8, 16]}, "dilation": 2}},
                        ]
                    }
                ],
                [
                    {
                        "inception": {
                            "branches": [
                                [{"conv": {"width": 8, "kernel": 1}}],
                                [{"eca": {"kernel": {"choice": [3, 5]}}}],
                            ]
                        }
                    }
                ],
            ]
        }
    }
    space = ss.space_from_dict(
        {
            "name": "mixed",
            "resolution": 32,
            "classes": 10,
            "stem": {"conv": {"width": 16}},
            "stages": [
                {"depth": 2, "basic": {"width": 16}},
                module,
                {"depth": 3, "dense": {"growth": 8}},
                {"inputs": [1, 2], "concat": {}},
                {"cbam": {}},
                {"stride": 2, "convnext": {"width": 32}},
                {"mhsa": {"heads": 4}},
            ],
            "head": {"classifier": {}},
        }
    )
    assert space.size == 2 * (1 + 1 + 2) * 2
    archs = {arch.digest: (decisions, arch) for decisions, arch in ((d, space.at(d)) for d in space)}
    assert len(archs) == space.size
    for decisions, arch in archs.values():
        assert ss.cost(arch).macs > 0
        assert space.decisions_of(arch) == decisions
        assert arch_from_dict(arch.to_dict()) == arch
    assert any("stages.1.inception.branches.1.0" in d for d, _ in archs.values())


def test_inception_follows_the_paper_and_not_a_chain():
    """Branches look at the module's input side by side, and the residual's activation stands after the addition."""
    branches = tuple((layer("conv", width=8, kernel=k),) for k in (1, 3))
    arch = Arch(
        "x",
        8,
        2,
        (),
        (Stage(block("inception", branches=branches)), Stage(block("basic", width=16))),
        block("classifier", "head"),
    )
    module, residual = expand(arch).stages[0][0], expand(arch).stages[1][0]
    assert [x.inputs for x in module.layers if type(x.op).__name__ == "Conv"] == [(-1,), (-1,)]
    assert [type(x.op).__name__ for x in residual.layers][-2:] == ["Add", "Act"]


def test_stage_inputs_are_checked():
    def network(**stage):
        return {"resolution": 8, "stages": [{"conv": {"width": 8}}, {**stage}], "head": {"classifier": {}}}

    for stage, message in (
        ({"inputs": [3], "concat": {}}, r"stages\[1\].inputs: takes numbers of earlier stages, 0 to 0"),
        ({"inputs": [-2, 0], "concat": {}}, "got -2"),
        ({"inputs": {"choice": [0]}, "concat": {}}, r"stages\[1\].inputs"),
    ):
        with pytest.raises(InputError, match=message):
            ss.space_from_dict(network(**stage))
    with pytest.raises(InputError, match="conv takes one input, got 2; concat or add joins them"):
        ss.cost(
            arch_from_dict(
                {
                    "resolution": 8,
                    "stages": [
                        {"conv": {"width": 8}},
                        {"conv": {"width": 8}},
                        {"inputs": [0, 1], "conv": {"width": 8}},
                    ],
                    "head": {"classifier": {}},
                }
            )
        )


def test_optional_stages_shift_the_numbers_of_those_after():
    space = ss.space_from_dict(
        {
            "resolution": 8,
            "stages": [
                {"conv": {"width": 8}},
                {"present": {"choice": [True, False]}, "basic": {"width": 8}},
                {"conv": {"width": 16}},
                {"inputs": [0, 2], "concat": {}},
            ],
            "head": {"classifier": {}},
        }
    )
    assert [arch.stages[-1].inputs for arch in (space.at(d) for d in space)] == [(0, 2), (0, 1)]
    for d in space:
        assert space.decisions_of(space.at(d)) == d
    with pytest.raises(InputError, match=r"stages\[2\].inputs: stage 1 may be absent"):
        ss.space_from_dict(
            {
                "resolution": 8,
                "stages": [
                    {"conv": {"width": 8}},
                    {"present": {"choice": [True, False]}, "se": {}},
                    {"inputs": [0, 1], "concat": {}},
                ],
                "head": {"classifier": {}},
            }
        )


def test_published_figures_name_their_source():
    for name in zoo.MODELS:
        found = zoo.published_figure(name)
        assert (found.top1 is None) == (found.source is None)
        assert found.top1 is None or (50 < found.top1 < 97 and found.top1_resolution)


def test_published_top1_are_the_references(reference):
    for row in reference:
        found = zoo.published_figure(row["name"])
        if found.top1 is None or not row["top1"]:
            continue
        if int(row["resolution"]) == found.top1_resolution == int(row["top1_resolution"]):
            if row["name"].startswith("mobilenet_v4_conv_small") or "hybrid" in row["name"]:
                continue  # several published weights; the zoo names which one it has
            assert found.top1 == pytest.approx(float(row["top1"]), abs=0.001), row["name"]


def test_published_figures_of_torchvision_are_its_own(torchvision_models):
    """Top-1, resolution and how images are prepared, of every network whose figure the zoo has from torchvision."""
    compared = 0
    for name in zoo.MODELS:
        found = zoo.published_figure(name)
        if found.source is None or not found.source.startswith("torchvision"):
            continue
        weights = torchvision_models.get_model_weights(TORCHVISION.get(name, name)).IMAGENET1K_V1
        prepared, wanted = found.preprocessing, weights.transforms()
        assert found.top1 == weights.meta["_metrics"]["ImageNet-1K"]["acc@1"], name
        assert [found.top1_resolution] == wanted.crop_size, name
        assert [prepared.resize] == wanted.resize_size, name
        assert prepared.interpolation == wanted.interpolation.value, name
        compared += 1
    assert compared == 51


def test_published_figures_of_timm_are_its_tables():
    """The rows of timm's results-imagenet.csv that the zoo's figures name as their source."""
    rows = facts("published.csv")
    named = {name for name in zoo.MODELS if (zoo.published_figure(name).source or "").startswith("timm")}
    assert named == {row["name"] for row in rows}
    for row in rows:
        found = zoo.published_figure(row["name"])
        assert found.source == f"timm results-imagenet.csv, {row['model']}"
        assert (found.top1, found.top1_resolution) == (float(row["top1"]), int(row["img_size"])), row["name"]
        assert found.preprocessing.resize == int(int(row["img_size"]) / float(row["crop_pct"])), row["name"]
        assert found.preprocessing.interpolation == row["interpolation"], row["name"]


def test_counts_are_those_that_pycls_published():
    """To the digit; its flops count every addition of a bias, too, its activations the output of a ResNet's pool."""
    for row in facts("pycls.csv"):
        arch = ss.load(row["name"])
        counted, graph = ss.cost(arch), expand(arch)
        added = sum(
            math.prod(block.shape_of(i))
            for _, block in graph.blocks()
            for i, one in enumerate(block.layers)
            if getattr(one.op, "bias", False)
        )
        assert counted.params == int(row["params"]), row["name"]
        assert counted.macs == int(row["flops"]) - added, row["name"]
        pooled = 64 * 56 * 56 if row["name"].startswith("resne") else 0
        assert counted.acts == int(row["acts"]) - pooled, row["name"]
