"""Inception v1 (GoogLeNet), v3, v4 and Inception-ResNet-v2.

Sources: Szegedy et al. 2014, table 1 (v1); Szegedy et al. 2015, table 1 (v3); Szegedy et al. 2016, figs.
9 and 15 (v4, Inception-ResNet-v2). `inception_v1` is checked against torchvision's GoogLeNet, which has
batch norm, and 3×3 where the paper has 5×5; `inception_v1_5x5` has the paper's. `inception_v3` is checked
against torchvision's; names in `_aux` have the auxiliary heads. v4 and Inception-ResNet-v2 are checked
against timm's.
"""

from __future__ import annotations

from scalesearch.arch import Arch, Auxiliary, BlockSpec, Stage, block, layer
from scalesearch.zoo.tables import TABLES


def conv(width: int, *kernel: int, valid: bool = False) -> BlockSpec:
    """Returns a convolution layer of a branch; `kernel` is one side, or height and width; `valid` does not pad."""
    side = kernel if len(kernel) > 1 else kernel[0]
    return layer("conv", width=width, kernel=side, **({"padding": 0} if valid else {}))


def stem_conv(width: int, kernel: int, stride: int = 1, valid: bool = False) -> BlockSpec:
    """Returns a convolution of the stem; `valid` does not pad."""
    return block("conv", "stem", width=width, kernel=kernel, stride=stride, **({"padding": 0} if valid else {}))


def module(*branches: tuple[BlockSpec, ...], depth: int = 1, stride: int = 1) -> Stage:
    """Returns a stage of Inception modules with these branches, each a sequence of layers."""
    return Stage(block("inception", branches=branches), depth, stride)


def split(*branches: BlockSpec) -> BlockSpec:
    """Returns the end of a branch that forks again."""
    return layer("inception", branches=tuple((b,) for b in branches))


MAX_POOL = layer("max_pool", kernel=3)
VALID_POOL = layer("max_pool", kernel=3, padding=0)
AVG_POOL = layer("avg_pool", kernel=3)
AVG_POOL_INSIDE = layer("avg_pool", kernel=3, count_pad=False)


def inception_v1(name: str) -> Arch:
    """Returns GoogLeNet, with 5×5 convolutions or auxiliary heads if `name` has `_5x5` or `_aux`."""
    has_5x5 = name.startswith("inception_v1_5x5")

    def pool(kernel: int) -> Stage:
        return Stage(block("max_pool", kernel=kernel, padding=0, ceil=True), 1, 2)

    stem = (
        stem_conv(64, 7, 2),
        block("max_pool", "stem", kernel=3, padding=0, ceil=True),
        stem_conv(64, 1),
        stem_conv(192, 3),
    )
    stages: list[Stage] = []
    auxiliary = []
    for i, (width1, reduce3, width3, reduce5, width5, pool_width, stride) in enumerate(TABLES["inception_v1"]):
        last_pool = i == 7 and not has_5x5
        stages += [pool(2 if last_pool else 3)] if stride == 2 else []
        stages.append(
            module(
                (conv(width1, 1),),
                (conv(reduce3, 1), conv(width3, 3)),
                (conv(reduce5, 1), conv(width5, 5 if has_5x5 else 3)),
                (MAX_POOL, conv(pool_width, 1)),
            )
        )
        if name.endswith("_aux") and i in (2, 5):  # 4a and 4d
            auxiliary.append(Auxiliary(block("googlenet_auxiliary", "auxiliary"), len(stages) - 1))
    return Arch(
        name,
        224,
        1000,
        stem,
        tuple(stages),
        block("classifier", "head", dropout=0.2),
        norm_eps=1e-3,
        auxiliary=tuple(auxiliary),
    )


def v3_stem() -> tuple[BlockSpec, ...]:
    """Returns the stem of Inception v3 and Inception-ResNet-v2."""
    pool = block("max_pool", "stem", kernel=3, padding=0)
    return (
        stem_conv(32, 3, 2, valid=True),
        stem_conv(32, 3, valid=True),
        stem_conv(64, 3),
        pool,
        stem_conv(80, 1),
        stem_conv(192, 3, valid=True),
        pool,
    )


def inception_v3(name: str) -> Arch:
    """Returns Inception v3, with its auxiliary head if `name` ends in `_aux`."""

    def a(pool_width: int, depth: int = 1) -> Stage:
        return module(
            (conv(64, 1),),
            (conv(48, 1), conv(64, 5)),
            (conv(64, 1), conv(96, 3), conv(96, 3)),
            (AVG_POOL, conv(pool_width, 1)),
            depth=depth,
        )

    def c(width: int, depth: int = 1) -> Stage:
        return module(
            (conv(192, 1),),
            (conv(width, 1), conv(width, 1, 7), conv(192, 7, 1)),
            (conv(width, 1), conv(width, 7, 1), conv(width, 1, 7), conv(width, 7, 1), conv(192, 1, 7)),
            (AVG_POOL, conv(192, 1)),
            depth=depth,
        )

    forks = split(conv(384, 1, 3), conv(384, 3, 1))
    stages = (
        a(32),
        a(64, depth=2),
        module(
            (conv(384, 3, valid=True),), (conv(64, 1), conv(96, 3), conv(96, 3, valid=True)), (VALID_POOL,), stride=2
        ),
        c(128),
        c(160, depth=2),
        c(192),
        module(
            (conv(192, 1), conv(320, 3, valid=True)),
            (conv(192, 1), conv(192, 1, 7), conv(192, 7, 1), conv(192, 3, valid=True)),
            (VALID_POOL,),
            stride=2,
        ),
        module(
            (conv(320, 1),),
            (conv(384, 1), forks),
            (conv(448, 1), conv(384, 3), forks),
            (AVG_POOL, conv(192, 1)),
            depth=2,
        ),
    )
    auxiliary = (
        (Auxiliary(block("inception_v3_auxiliary", "auxiliary"), after=5, weight=0.4),) if name.endswith("_aux") else ()
    )
    return Arch(
        name, 299, 1000, v3_stem(), stages, block("classifier", "head", dropout=0.5), norm_eps=1e-3, auxiliary=auxiliary
    )


def inception_v4(name: str) -> Arch:
    """Returns Inception v4."""
    stem = (stem_conv(32, 3, 2, valid=True), stem_conv(32, 3, valid=True), stem_conv(64, 3))
    stages = (
        module((VALID_POOL,), (conv(96, 3, valid=True),), stride=2),
        module(
            (conv(64, 1), conv(96, 3, valid=True)),
            (conv(64, 1), conv(64, 1, 7), conv(64, 7, 1), conv(96, 3, valid=True)),
        ),
        module((conv(192, 3, valid=True),), (VALID_POOL,), stride=2),
        module(
            (conv(96, 1),),
            (conv(64, 1), conv(96, 3)),
            (conv(64, 1), conv(96, 3), conv(96, 3)),
            (AVG_POOL_INSIDE, conv(96, 1)),
            depth=4,
        ),
        module(
            (conv(384, 3, valid=True),), (conv(192, 1), conv(224, 3), conv(256, 3, valid=True)), (VALID_POOL,), stride=2
        ),
        module(
            (conv(384, 1),),
            (conv(192, 1), conv(224, 1, 7), conv(256, 7, 1)),
            (conv(192, 1), conv(192, 7, 1), conv(224, 1, 7), conv(224, 7, 1), conv(256, 1, 7)),
            (AVG_POOL_INSIDE, conv(128, 1)),
            depth=7,
        ),
        module(
            (conv(192, 1), conv(192, 3, valid=True)),
            (conv(256, 1), conv(256, 1, 7), conv(320, 7, 1), conv(320, 3, valid=True)),
            (VALID_POOL,),
            stride=2,
        ),
        module(
            (conv(256, 1),),
            (conv(384, 1), split(conv(256, 1, 3), conv(256, 3, 1))),
            (conv(384, 1), conv(448, 3, 1), conv(512, 1, 3), split(conv(256, 1, 3), conv(256, 3, 1))),
            (AVG_POOL_INSIDE, conv(256, 1)),
            depth=3,
        ),
    )
    return Arch(name, 299, 1000, stem, stages, block("classifier", "head"), norm_eps=1e-3)


def inception_resnet_v2(name: str) -> Arch:
    """Returns Inception-ResNet-v2."""

    def residual(scale: float, *branches: tuple[BlockSpec, ...], depth: int = 1, act: str | None = "relu") -> Stage:
        return Stage(block("inception_residual", branches=branches, scale=scale, act=act), depth)

    c = ((conv(192, 1),), (conv(192, 1), conv(224, 1, 3), conv(256, 3, 1)))
    stages = (
        module(
            (conv(96, 1),),
            (conv(48, 1), conv(64, 5)),
            (conv(64, 1), conv(96, 3), conv(96, 3)),
            (AVG_POOL_INSIDE, conv(64, 1)),
        ),
        residual(0.17, (conv(32, 1),), (conv(32, 1), conv(32, 3)), (conv(32, 1), conv(48, 3), conv(64, 3)), depth=10),
        module(
            (conv(384, 3, valid=True),), (conv(256, 1), conv(256, 3), conv(384, 3, valid=True)), (VALID_POOL,), stride=2
        ),
        residual(0.10, (conv(192, 1),), (conv(128, 1), conv(160, 1, 7), conv(192, 7, 1)), depth=20),
        module(
            (conv(256, 1), conv(384, 3, valid=True)),
            (conv(256, 1), conv(288, 3, valid=True)),
            (conv(256, 1), conv(288, 3), conv(320, 3, valid=True)),
            (VALID_POOL,),
            stride=2,
        ),
        residual(0.20, *c, depth=9),
        residual(1.0, *c, act=None),
        Stage(block("conv", width=1536, kernel=1)),
    )
    return Arch(name, 299, 1000, v3_stem(), stages, block("classifier", "head"), norm_eps=1e-3)


MODELS = {
    "inception_v1": inception_v1,
    "inception_v1_aux": inception_v1,
    "inception_v1_5x5": inception_v1,
    "inception_v3": inception_v3,
    "inception_v3_aux": inception_v3,
    "inception_v4": inception_v4,
    "inception_resnet_v2": inception_resnet_v2,
}
