"""Inception v1 (GoogLeNet), v3, v4 and Inception-ResNet-v2.

Sources: Szegedy et al. 2014, table 1 (v1); Szegedy et al. 2015, table 1 (v3); Szegedy et al. 2016, figs.
9 and 15 (v4, Inception-ResNet-v2). `inception_v1` is checked against torchvision's GoogLeNet, which has
batch norm, and 3×3 where the paper has 5×5; `inception_v1_5x5` has the paper's. `inception_v3` is checked
against torchvision's; names in `_aux` have the auxiliary heads. v4 and Inception-ResNet-v2 are checked
against timm's.
"""

from __future__ import annotations

from collections.abc import Iterable

from scalesearch.arch import Arch, Auxiliary, BlockSpec, Stage, block, layer
from scalesearch.zoo.tables import TABLES

POOLS = {
    "max": layer("max_pool", kernel=3),
    "valid_max": layer("max_pool", kernel=3, padding=0),
    "avg": layer("avg_pool", kernel=3),
    "avg_inside": layer("avg_pool", kernel=3, count_pad=False),
}


def branch_layer(text: str) -> BlockSpec:
    """Returns a layer of a branch: a pool's name, a convolution such as `64@3`, `192@1x7` or `96@3v` without padding,
    or two convolutions that the branch ends in, `384@1x3|384@3x1`.
    """
    if text in POOLS:
        return POOLS[text]
    if "|" in text:
        return layer("inception", branches=tuple((branch_layer(fork),) for fork in text.split("|")))
    width, kernel = text.removesuffix("v").split("@")
    sides = tuple(map(int, kernel.split("x")))
    padding = {"padding": 0} if text.endswith("v") else {}
    return layer("conv", width=int(width), kernel=sides if len(sides) > 1 else sides[0], **padding)


def stem_conv(width: int, kernel: int, stride: int = 1, valid: bool = False) -> BlockSpec:
    """Returns a convolution of the stem; `valid` does not pad."""
    return block("conv", "stem", width=width, kernel=kernel, stride=stride, **({"padding": 0} if valid else {}))


def branches_of(texts: Iterable[str]) -> tuple[tuple[BlockSpec, ...], ...]:
    """Returns the branches of a module, each a sequence of layers."""
    return tuple(tuple(map(branch_layer, text.split())) for text in texts)


def modules(table: str) -> list[Stage]:
    """Returns the stages of Inception modules in a table of `layer_tables.yaml`."""
    return [
        Stage(block("inception", branches=branches_of(branches)), depth, stride)
        for depth, stride, *branches in TABLES[table]
    ]


def inception_v1(name: str) -> Arch:
    """Returns GoogLeNet, with 5×5 convolutions or auxiliary heads if `name` has `_5x5` or `_aux`."""
    has_5x5 = name.startswith("inception_v1_5x5")

    def pool(kernel: int) -> Stage:
        return Stage(block("max_pool", kernel=kernel, padding=0, ceil=True), 1, 2)

    stem_pool = block("max_pool", "stem", kernel=3, padding=0, ceil=True)
    stem = (stem_conv(64, 7, 2), stem_pool, stem_conv(64, 1), stem_conv(192, 3))
    stages: list[Stage] = []
    auxiliary = []
    for i, (width1, reduce3, width3, reduce5, width5, pool_width, stride) in enumerate(TABLES["inception_v1"]):
        last_pool = i == 7 and not has_5x5
        stages += [pool(2 if last_pool else 3)] if stride == 2 else []
        branches = (
            f"{width1}@1",
            f"{reduce3}@1 {width3}@3",
            f"{reduce5}@1 {width5}@{5 if has_5x5 else 3}",
            f"max {pool_width}@1",
        )
        stages.append(Stage(block("inception", branches=branches_of(branches))))
        if name.endswith("_aux") and i in (2, 5):  # 4a and 4d
            auxiliary.append(Auxiliary(block("googlenet_auxiliary", "auxiliary"), len(stages) - 1))
    head = block("classifier", "head", dropout=0.2)
    return Arch(name, 224, 1000, stem, tuple(stages), head, norm_eps=1e-3, auxiliary=tuple(auxiliary))


STEM_POOL = block("max_pool", "stem", kernel=3, padding=0)
V4_STEM = (stem_conv(32, 3, 2, valid=True), stem_conv(32, 3, valid=True), stem_conv(64, 3))
# Of Inception v3 and Inception-ResNet-v2.
V3_STEM = (*V4_STEM, STEM_POOL, stem_conv(80, 1), stem_conv(192, 3, valid=True), STEM_POOL)


def inception_v3(name: str) -> Arch:
    """Returns Inception v3, with its auxiliary head if `name` ends in `_aux`."""
    all_auxiliary = (Auxiliary(block("inception_v3_auxiliary", "auxiliary"), after=5, weight=0.4),)
    auxiliary = all_auxiliary if name.endswith("_aux") else ()
    stages, head = tuple(modules("inception_v3")), block("classifier", "head", dropout=0.5)
    return Arch(name, 299, 1000, V3_STEM, stages, head, norm_eps=1e-3, auxiliary=auxiliary)


def inception_v4(name: str) -> Arch:
    """Returns Inception v4."""
    return Arch(name, 299, 1000, V4_STEM, tuple(modules("inception_v4")), block("classifier", "head"), norm_eps=1e-3)


def inception_resnet_v2(name: str) -> Arch:
    """Returns Inception-ResNet-v2."""
    residuals = [
        Stage(block("inception_residual", branches=branches_of(branches), scale=scale, act=act), depth)
        for scale, act, depth, *branches in TABLES["inception_resnet_v2_residuals"]
    ]
    *repeated, last = residuals
    pairs = zip(modules("inception_resnet_v2"), repeated, strict=True)
    stages = [*(stage for pair in pairs for stage in pair), last, Stage(block("conv", width=1536, kernel=1))]
    return Arch(name, 299, 1000, V3_STEM, tuple(stages), block("classifier", "head"), norm_eps=1e-3)


MODELS = {
    **dict.fromkeys(("inception_v1", "inception_v1_aux", "inception_v1_5x5"), inception_v1),
    **dict.fromkeys(("inception_v3", "inception_v3_aux"), inception_v3),
    "inception_v4": inception_v4,
    "inception_resnet_v2": inception_resnet_v2,
}
