"""Tables of timm's names for the tensors of its models (timm 1.0.31)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scalesearch.arch import Graph
from scalesearch.errors import format_value
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.weights import torchvision
from scalesearch.weights.naming import CONV_NORM, Pairs, PlacedBlock, placed_blocks, prefixed

SE = {"se.reduce": "se.conv_reduce", "se.expand": "se.conv_expand"}
SEPARABLE = {
    "depthwise.conv": "conv_dw",
    "depthwise.norm": "bn1",
    "project.conv": "conv_pw",
    "project.norm": "bn2",
    "pointwise.conv": "conv_pw",
    "pointwise.norm": "bn2",
} | SE
INVERTED = {
    "expand.conv": "conv_pw",
    "expand.norm": "bn1",
    "depthwise.conv": "conv_dw",
    "depthwise.norm": "bn2",
    "project.conv": "conv_pwl",
    "project.norm": "bn3",
} | SE
FUSED = {"fused.conv": "conv_exp", "fused.norm": "bn1", "project.conv": "conv_pwl", "project.norm": "bn2"}
CONV = {"conv": "conv", "norm": "bn1", "fused.conv": "conv", "fused.norm": "bn1"}
UIB = {
    f"{ours}.{part}": f"{theirs}.{other}"
    for ours, theirs in (("start", "dw_start"), ("expand", "pw_exp"), ("depthwise", "dw_mid"), ("project", "pw_proj"))
    for part, other in (("conv", "conv"), ("norm", "bn"))
} | {"layer_scale": "layer_scale"}
MQA = {
    "norm": "norm",
    "query": "attn.query.proj",
    "key_down.conv": "attn.key.down_conv",
    "key_down.norm": "attn.key.norm",
    "key": "attn.key.proj",
    "value_down.conv": "attn.value.down_conv",
    "value_down.norm": "attn.value.norm",
    "value": "attn.value.proj",
    "project": "attn.output.proj",
    "layer_scale": "layer_scale",
}
BLOCK_TABLES = {"uib": UIB, "mobile_mqa": MQA, "conv": CONV}


def _block_table(b: PlacedBlock) -> dict[str, str]:
    if b.graph.kind == "fused_mbconv":
        return FUSED if "project" in b.parts else CONV
    return BLOCK_TABLES.get(b.graph.kind) or (INVERTED if "expand" in b.parts else SEPARABLE)


def _efficientnet_pairs(graph: Graph, groups: Sequence[int], head: dict[str, str]) -> Pairs:
    """Yields the pairs of a network from timm's EfficientNet builder, whose groups have the given sizes."""
    yield from prefixed("stem.0", "", {"conv": "conv_stem", "norm": "bn1"})
    positions = [(g, i) for g, size in enumerate(groups) for i in range(size)]
    for b in placed_blocks(graph):
        group, i = positions[b.index]
        yield from prefixed(b.path, f"blocks.{group}.{i}", _block_table(b))
    yield from prefixed("head", "", head)


def efficientnet(graph: Graph) -> Pairs:
    """Yields the pairs of EfficientNet v1 and v2, MobileNet v1 and v2, and MnasNet, whose groups are the stages."""
    head = {"conv": "conv_head", "norm": "bn2", "linear": "classifier"}
    yield from _efficientnet_pairs(graph, [len(stage) for stage in graph.stages], head)


V3_GROUPS = {"small": (1, 2, 3, 2, 3), "large": (1, 2, 3, 4, 2, 3)}


def mobilenet_v3(graph: Graph) -> Pairs:
    """Yields the pairs of MobileNet v3."""
    groups = V3_GROUPS["small" if "small" in graph.arch.name else "large"]
    last = f"blocks.{len(groups)}.0"
    yield from _efficientnet_pairs(
        graph, groups, {"conv": f"{last}.conv", "norm": f"{last}.bn1", "hidden": "conv_head", "linear": "classifier"}
    )


V4_GROUPS = {
    "conv_small": (2, 2, 6, 6),
    "conv_medium": (1, 2, 8, 11),
    "conv_large": (1, 2, 11, 13),
    "hybrid_medium": (1, 2, 12, 16),
    "hybrid_large": (1, 2, 15, 18),
}


def mobilenet_v4(graph: Graph) -> Pairs:
    """Yields the pairs of MobileNet v4."""
    groups = V4_GROUPS[graph.arch.name.removeprefix("mobilenet_v4_")]
    head = {
        "conv": "blocks.4.0.conv",
        "norm": "blocks.4.0.bn1",
        "hidden": "conv_head",
        "hidden_norm": "norm_head",
        "linear": "classifier",
    }
    yield from _efficientnet_pairs(graph, groups, head)


def vgg(graph: Graph) -> Pairs:
    """Yields the pairs of VGG."""
    heads = {"head.fc1": "pre_logits.fc1", "head.fc2": "pre_logits.fc2", "head.fc3": "head.fc"}
    yield from ((ours, heads.get(ours, theirs)) for ours, theirs in torchvision.vgg(graph))


def regnet(graph: Graph) -> Pairs:
    """Yields the pairs of RegNet."""
    words = {"conv": "conv", "norm": "bn"}
    table = {
        f"{part}.{ours}": f"{name}.{theirs}"
        for ours, theirs in words.items()
        for part, name in (("reduce", "conv1"), ("conv", "conv2"), ("expand", "conv3"), ("shortcut", "downsample"))
    }
    table |= {"se.reduce": "se.fc1", "se.expand": "se.fc2"}
    yield from prefixed("stem.0", "stem", words)
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"s{b.stage + 1}.b{b.depth + 1}", table)
    yield "head.linear", "head.fc"


def convnext(graph: Graph) -> Pairs:
    """Yields the pairs of ConvNeXt."""
    table = {
        "depthwise": "conv_dw",
        "norm": "norm",
        "expand": "mlp.fc1",
        "project": "mlp.fc2",
        "layer_scale.gamma": "gamma",
    }
    yield from prefixed("stem.0", "stem", CONV_NORM)
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"stages.{b.stage}.blocks.{b.depth}", table)
        yield from prefixed(f"{b.path}.downsample", f"stages.{b.stage}.downsample", {"norm": "0", "conv": "1"})
    yield from prefixed("head", "head", {"norm": "norm", "linear": "fc"})


def _branch_names(*lengths: int, pool_first: tuple[int, ...] = ()) -> tuple[Any, ...]:
    """Returns the names of plain branches with the given numbers of layers.

    A branch is `branch1` if it has one layer, else `branch1.0`, `branch1.1`, … A branch in `pool_first` begins
    with a pool, which takes a number but has no weights.
    """

    def several(b: int, n: int) -> tuple[str, ...]:
        return tuple("" if i == 0 and b in pool_first else f"branch{b}.{i}" for i in range(n))

    return tuple((f"branch{b}",) if n == 1 else several(b, n) for b, n in enumerate(lengths))


V4_C = (
    ("branch0",),
    ("branch1_0", ("branch1_1a", "branch1_1b")),
    ("branch2_0", "branch2_1", "branch2_2", ("branch2_3a", "branch2_3b")),
    ("", "branch3.1"),
)
# Per stage of v4: the index of its first block among `features`, and the branches.
V4 = (
    (3, (("",), ("conv",))),
    (4, _branch_names(2, 4)),
    (5, (("conv",),)),
    (6, _branch_names(1, 2, 3, 2, pool_first=(3,))),
    (10, _branch_names(1, 3)),
    (11, _branch_names(1, 3, 5, 2, pool_first=(3,))),
    (18, _branch_names(2, 4)),
    (19, V4_C),
)


def inception_v4(graph: Graph) -> Pairs:
    """Yields the pairs of Inception v4."""
    for i in range(3):
        yield from prefixed(f"stem.{i}", f"features.{i}", {"conv": "conv", "norm": "bn"})
    for b in placed_blocks(graph):
        first, names = V4[b.stage]
        yield from torchvision.branch_pairs(b.path, f"features.{first + b.depth}", names)
    yield "head.linear", "last_linear"


STEM = {0: "conv2d_1a", 1: "conv2d_2a", 2: "conv2d_2b", 4: "conv2d_3b", 5: "conv2d_4a"}
RESNET_V2 = (
    ("mixed_5b", _branch_names(1, 2, 3, 2, pool_first=(3,))),
    ("repeat.{}", _branch_names(1, 2, 3)),
    ("mixed_6a", _branch_names(1, 3)),
    ("repeat_1.{}", _branch_names(1, 3)),
    ("mixed_7a", _branch_names(2, 2, 3)),
    ("repeat_2.{}", _branch_names(1, 3)),
    ("block8", _branch_names(1, 3)),
)


def inception_resnet_v2(graph: Graph) -> Pairs:
    """Yields the pairs of Inception-ResNet v2."""
    words = {"conv": "conv", "norm": "bn"}
    for i, name in STEM.items():
        yield from prefixed(f"stem.{i}", name, words)
    *modules, last = placed_blocks(graph)
    for b in modules:
        name, names = RESNET_V2[b.stage]
        yield from torchvision.branch_pairs(b.path, name.format(b.depth), names)
        yield f"{b.path}.project", f"{name.format(b.depth)}.conv2d"
    yield from prefixed(last.path, "conv2d_7b", words)
    yield "head.linear", "classif"


FAMILIES = {
    "vgg": vgg,
    "resnet": torchvision.resnet,
    "resnext": torchvision.resnet,
    "wide_resnet": torchvision.resnet,
    "regnet": regnet,
    "densenet": torchvision.densenet,
    "efficientnet": efficientnet,
    "mobilenet_v1": efficientnet,
    "mobilenet_v2": efficientnet,
    "mobilenet_v3": mobilenet_v3,
    "mobilenet_v4": mobilenet_v4,
    "mnasnet": efficientnet,
    "convnext": convnext,
    "inception_v3": torchvision.inception_v3,
    "inception_v4": inception_v4,
    "inception_resnet": inception_resnet_v2,
}

# timm's names of architectures where ours differ; all others have the same name.
ARCHITECTURES = {
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v2_x0_35": "mobilenetv2_035",
    "mobilenet_v2_x0_5": "mobilenetv2_050",
    "mobilenet_v2_x0_75": "mobilenetv2_075",
    "mobilenet_v2_x1_4": "mobilenetv2_140",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mobilenet_v3_small_x0_5": "mobilenetv3_small_050",
    "mobilenet_v3_small_x0_75": "mobilenetv3_small_075",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_large_x0_75": "mobilenetv3_large_075",
    "mobilenet_v4_conv_small": "mobilenetv4_conv_small",
    "mobilenet_v4_conv_medium": "mobilenetv4_conv_medium",
    "mobilenet_v4_conv_large": "mobilenetv4_conv_large",
    "mobilenet_v4_hybrid_medium": "mobilenetv4_hybrid_medium",
    "mobilenet_v4_hybrid_large": "mobilenetv4_hybrid_large",
    "efficientnet_v2_s": "efficientnetv2_s",
    "efficientnet_v2_m": "efficientnetv2_m",
    "efficientnet_v2_l": "efficientnetv2_l",
    "mnasnet0_5": "mnasnet_050",
    "mnasnet0_75": "mnasnet_075",
    "mnasnet1_0": "mnasnet_100",
    "regnet_y_400mf": "regnety_004",
    "regnet_y_800mf": "regnety_008_tv",
    "regnet_y_800mf_pycls": "regnety_008",
    "regnet_y_1_6gf": "regnety_016",
    "regnet_y_3_2gf": "regnety_032",
    "regnet_y_4gf": "regnety_040",
    "regnet_y_6_4gf": "regnety_064",
    "regnet_y_8gf": "regnety_080_tv",
    "regnet_y_8gf_pycls": "regnety_080",
}
TENSORFLOW_SETTINGS = {"padding": "same", "norm_eps": 1e-3}  # of weights ported from TensorFlow: timm's "tf_…"


def variant_settings(name: str, architecture: str) -> PlainDict | None:
    """Returns the settings that turn our network `name` into timm's `architecture`; None if that is another one.

    The settings are {} for the plain architecture and TensorFlow's padding and eps for its `tf_` variant.
    """
    timm_name = ARCHITECTURES.get(name, name)
    base_name = architecture.partition(".")[0]
    if base_name == timm_name:
        return {}
    return dict(TENSORFLOW_SETTINGS) if base_name == f"tf_{timm_name}" else None


NEUTRAL_ARGUMENTS = (
    "num_classes",
    "in_chans",
    "drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "pretrained",
    "checkpoint_path",
)
DEFAULT_ARGUMENTS = {"global_pool": ("avg", ""), "output_stride": (32,)}  # the values that our networks have


def unsupported_arguments(config: PlainMapping) -> str:
    """Returns, as text, what timm's `config.json` changes in its architecture; "" if nothing.

    These are model arguments that change what is computed, and another pool before the classifier.
    """
    model_args = config.get("model_args")
    arguments = dict(model_args) if isinstance(model_args, Mapping) else {}
    if isinstance(config.get("global_pool"), str):
        arguments["global_pool"] = config["global_pool"]
    return ", ".join(
        f"{key} {format_value(value)}"
        for key, value in arguments.items()
        if key not in NEUTRAL_ARGUMENTS and value not in DEFAULT_ARGUMENTS.get(key, ())
    )
