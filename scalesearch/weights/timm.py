"""Tables of timm's names for the tensors of its models (timm 1.0.31)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from scalesearch.arch import Graph
from scalesearch.errors import format_value
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.weights import torchvision
from scalesearch.weights.naming import CONV_BN, CONV_NORM, TENSOR_NAMES, Pairs, PlacedBlock, placed_blocks, prefixed

TABLES = TENSOR_NAMES["timm"]
ARCHITECTURES: dict[str, str] = TABLES["architectures"]


def _block_table(b: PlacedBlock) -> dict[str, str]:
    kind = b.graph.kind
    if kind == "fused_mbconv":
        kind = "fused" if "project" in b.parts else "conv"
    elif kind not in ("uib", "mobile_mqa", "conv"):
        kind = "inverted" if "expand" in b.parts else "separable"
    return cast(dict[str, str], TABLES[kind])


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


def mobilenet(graph: Graph) -> Pairs:
    """Yields the pairs of MobileNet v3 and v4."""
    groups = TABLES["groups"][graph.arch.name.partition("_x")[0]]
    last = f"blocks.{len(groups)}.0"
    head = {"conv": f"{last}.conv", "norm": f"{last}.bn1", "linear": "classifier"}
    yield from _efficientnet_pairs(graph, groups, head | {"hidden": "conv_head", "hidden_norm": "norm_head"})


def vgg(graph: Graph) -> Pairs:
    """Yields the pairs of VGG."""
    heads = {"head.fc1": "pre_logits.fc1", "head.fc2": "pre_logits.fc2", "head.fc3": "head.fc"}
    yield from ((ours, heads.get(ours, theirs)) for ours, theirs in torchvision.vgg(graph))


def regnet(graph: Graph) -> Pairs:
    """Yields the pairs of RegNet."""
    yield from prefixed("stem.0", "stem", CONV_BN)
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"s{b.stage + 1}.b{b.depth + 1}", TABLES["regnet"])
    yield "head.linear", "head.fc"


def convnext(graph: Graph) -> Pairs:
    """Yields the pairs of ConvNeXt."""
    yield from prefixed("stem.0", "stem", CONV_NORM)
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"stages.{b.stage}.blocks.{b.depth}", TABLES["convnext"])
        yield from prefixed(f"{b.path}.downsample", f"stages.{b.stage}.downsample", {"norm": "0", "conv": "1"})
    yield from prefixed("head", "head", {"norm": "norm", "linear": "fc"})


def inception_v4(graph: Graph) -> Pairs:
    """Yields the pairs of Inception v4."""
    for i in range(3):
        yield from prefixed(f"stem.{i}", f"features.{i}", CONV_BN)
    for b in placed_blocks(graph):
        first, names = TABLES["inception_v4"][b.stage]
        yield from torchvision.branch_pairs(b.path, f"features.{first + b.depth}", names)
    yield "head.linear", "last_linear"


def inception_resnet_v2(graph: Graph) -> Pairs:
    """Yields the pairs of Inception-ResNet v2."""
    for i, name in TABLES["inception_resnet_v2_stem"].items():
        yield from prefixed(f"stem.{i}", name, CONV_BN)
    *modules, last = placed_blocks(graph)
    for b in modules:
        name, names = TABLES["inception_resnet_v2"][b.stage]
        yield from torchvision.branch_pairs(b.path, name.format(b.depth), names)
        yield f"{b.path}.project", f"{name.format(b.depth)}.conv2d"
    yield from prefixed(last.path, "conv2d_7b", CONV_BN)
    yield "head.linear", "classif"


FAMILIES = {
    "vgg": vgg,
    **dict.fromkeys(("resnet", "resnext", "wide_resnet"), torchvision.resnet),
    "regnet": regnet,
    "densenet": torchvision.densenet,
    **dict.fromkeys(("efficientnet", "mobilenet_v1", "mobilenet_v2", "mnasnet"), efficientnet),
    **dict.fromkeys(("mobilenet_v3", "mobilenet_v4"), mobilenet),
    "convnext": convnext,
    "inception_v3": torchvision.inception_v3,
    "inception_v4": inception_v4,
    "inception_resnet": inception_resnet_v2,
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


NEUTRAL_ARGUMENTS: list[str] = TABLES["neutral_arguments"]
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
