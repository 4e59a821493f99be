"""Tables of torchvision's names for the tensors of its models (torchvision 0.28)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scalesearch.arch import Graph
from scalesearch.weights.naming import CONV_BN, CONV_NORM, TENSOR_NAMES, Pairs, PlacedBlock, placed_blocks, prefixed

TABLES = TENSOR_NAMES["torchvision"]


def vgg(graph: Graph) -> Pairs:
    """Yields the pairs of VGG."""
    position = 0
    for b in placed_blocks(graph):
        position += b.depth == 0 and graph.arch.stages[b.stage].stride > 1  # the pool
        yield from prefixed(b.path, "features", {"conv": f"{position}", "norm": f"{position + 1}"})
        position += 3 if "norm" in b.parts else 2
    yield from prefixed("head", "classifier", {"fc1": "0", "fc2": "3", "fc3": "6"})


def resnet(graph: Graph) -> Pairs:
    """Yields the pairs of ResNet, ResNeXt and Wide ResNet."""
    yield from prefixed("stem.0", "", {"conv": "conv1", "norm": "bn1"})
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"layer{b.stage + 1}.{b.depth}", TABLES[b.graph.kind])
    yield "head.linear", "fc"


def regnet(graph: Graph) -> Pairs:
    """Yields the pairs of RegNet."""
    yield from prefixed("stem.0", "stem", CONV_NORM)
    for b in placed_blocks(graph):
        theirs = f"trunk_output.block{b.stage + 1}.block{b.stage + 1}-{b.depth}"
        yield from prefixed(b.path, theirs, TABLES["regnet"])
    yield "head.linear", "fc"


def densenet(graph: Graph) -> Pairs:
    """Yields the pairs of DenseNet."""
    yield from prefixed("stem.0", "features", {"conv": "conv0", "norm": "norm0"})
    for b in placed_blocks(graph):
        number = b.stage // 2 + 1
        module_name = (
            f"transition{number}" if b.graph.kind == "transition" else f"denseblock{number}.denselayer{b.depth + 1}"
        )
        yield b.path, f"features.{module_name}"
        yield from ((f"{b.path}.{part}", f"features.{module_name}.{part}") for part in b.parts)
    yield from prefixed("head", "", {"norm": "features.norm5", "linear": "classifier"})


def _numbered_parts(b: PlacedBlock, theirs: str) -> Pairs:
    """Yields the pairs of a block whose parts the library numbers in order (MBConv and its relatives)."""
    for n, part in enumerate(b.parts):
        if part == "se":
            yield from prefixed(b.path, f"{theirs}.{n}", TABLES["squeeze_excite"])
        else:
            yield from prefixed(f"{b.path}.{part}", f"{theirs}.{n}", CONV_NORM)


def efficientnet(graph: Graph) -> Pairs:
    """Yields the pairs of EfficientNet v1 and v2."""
    yield from prefixed("stem.0", "features.0", CONV_NORM)
    for b in placed_blocks(graph):
        yield from _numbered_parts(b, f"features.{b.stage + 1}.{b.depth}.block")
    yield from prefixed("head", f"features.{len(graph.stages) + 1}", CONV_NORM)
    yield "head.linear", "classifier.1"


def mobilenet_v2(graph: Graph) -> Pairs:
    """Yields the pairs of MobileNet v2."""
    yield from prefixed("stem.0", "features.0", CONV_NORM)
    blocks = placed_blocks(graph)
    for b in blocks:
        *inner, last = b.parts
        for n, part in enumerate(inner):
            yield from prefixed(f"{b.path}.{part}", f"features.{b.index + 1}.conv.{n}", CONV_NORM)
        yield f"{b.path}.{last}.conv", f"features.{b.index + 1}.conv.{len(inner)}"
        yield f"{b.path}.{last}.norm", f"features.{b.index + 1}.conv.{len(inner) + 1}"
    yield from prefixed("head", f"features.{len(blocks) + 1}", CONV_NORM)
    yield "head.linear", "classifier.1"


def mobilenet_v3(graph: Graph) -> Pairs:
    """Yields the pairs of MobileNet v3."""
    yield from prefixed("stem.0", "features.0", CONV_NORM)
    blocks = placed_blocks(graph)
    for b in blocks:
        yield from _numbered_parts(b, f"features.{b.index + 1}.block")
    yield from prefixed("head", f"features.{len(blocks) + 1}", CONV_NORM)
    yield from prefixed("head", "classifier", {"hidden": "0", "linear": "3"})


def mnasnet(graph: Graph) -> Pairs:
    """Yields the pairs of MnasNet."""
    yield from prefixed("stem.0", "layers", {"conv": "0", "norm": "1"})
    for b in placed_blocks(graph):
        theirs = f"layers.{7 + b.stage}.{b.depth}.layers" if b.stage else "layers"
        yield from prefixed(b.path, theirs, TABLES["mnasnet"])
    yield from prefixed("head", "", {"conv": "layers.14", "norm": "layers.15", "linear": "classifier.1"})


def shufflenet(graph: Graph) -> Pairs:
    """Yields the pairs of ShuffleNet v2."""
    yield from prefixed("stem.0", "conv1", CONV_NORM)
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"stage{b.stage + 2}.{b.depth}", TABLES["shufflenet"])
    yield from prefixed("head", "", {"conv": "conv5.0", "norm": "conv5.1", "linear": "fc"})


def squeezenet(graph: Graph) -> Pairs:
    """Yields the pairs of SqueezeNet."""
    yield "stem.0.conv", "features.0"
    position = 2
    for b in placed_blocks(graph):
        position += b.depth == 0 and graph.arch.stages[b.stage].stride > 1  # the pool
        yield from prefixed(b.path, f"features.{position}", TABLES["squeezenet"])
        position += 1
    yield "head.conv", "classifier.1"


def convnext(graph: Graph) -> Pairs:
    """Yields the pairs of ConvNeXt."""
    yield from prefixed("stem.0", "features.0", CONV_NORM)
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"features.{2 * b.stage + 1}.{b.depth}", TABLES["convnext"])
        yield from prefixed(f"{b.path}.downsample", f"features.{2 * b.stage}", {"norm": "0", "conv": "1"})
    yield from prefixed("head", "classifier", {"norm": "0", "linear": "2"})


def inception_v1(graph: Graph) -> Pairs:
    """Yields the pairs of GoogLeNet."""
    for position, name in ((0, "conv1"), (2, "conv2"), (3, "conv3")):
        yield from prefixed(f"stem.{position}", name, CONV_BN)
    modules = iter(("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"))
    for b in placed_blocks(graph):
        if b.graph.kind == "inception":
            yield from branch_pairs(b.path, f"inception{next(modules)}", TABLES["inception_v1"])
    for i in range(len(graph.auxiliary)):
        yield from prefixed(f"auxiliary.{i}", f"aux{i + 1}.conv", CONV_BN)
        yield from prefixed(f"auxiliary.{i}", f"aux{i + 1}", {"fc1": "fc1", "fc2": "fc2"})
    yield "head.linear", "fc"


def branch_pairs(ours: str, theirs: str, names: Iterable[Any]) -> Pairs:
    """Yields the pairs of branches by the library's names of their layers; "" has no weights, a list is a fork."""
    for n, branch in enumerate(names):
        for i, name in enumerate(branch):
            path = f"{ours}.branches.{n}.{i}"
            if isinstance(name, list):
                yield from branch_pairs(path, theirs, ([fork] for fork in name))
            elif name:
                yield from prefixed(path, f"{theirs}.{name}", CONV_BN)


def inception_v3(graph: Graph) -> Pairs:
    """Yields the pairs of Inception v3."""
    for position, name in TABLES["inception_v3_stem"].items():
        yield from prefixed(f"stem.{position}", name, CONV_BN)
    for b in placed_blocks(graph):
        modules, names = TABLES["inception_v3"][b.stage]
        yield from branch_pairs(b.path, f"Mixed_{modules[b.depth]}", names)
    for part, name in (("1", "conv0"), ("2", "conv1")):
        yield from prefixed("auxiliary.0", f"AuxLogits.{name}", {f"conv{part}": "conv", f"norm{part}": "bn"})
    yield "auxiliary.0.linear", "AuxLogits.fc"
    yield "head.linear", "fc"


FAMILIES = {
    "vgg": vgg,
    **dict.fromkeys(("resnet", "resnext", "wide_resnet"), resnet),
    "regnet": regnet,
    "densenet": densenet,
    "efficientnet": efficientnet,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3": mobilenet_v3,
    "mnasnet": mnasnet,
    "shufflenet": shufflenet,
    "squeezenet": squeezenet,
    "convnext": convnext,
    "inception_v1": inception_v1,
    "inception_v3": inception_v3,
}
LINEAR_IN_TORCHVISION = ("classifier.0.weight",)  # linear layers in torchvision, 1×1 convolutions here
# Names in files that torchvision still distributes, and what its current networks call the same tensors.
OLD_NAMES = ((r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2"),)
