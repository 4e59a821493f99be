"""One contract for every block, inherited by being listed in the table; and a few blocks against the papers'
arithmetic."""

from __future__ import annotations

import types
import typing
from typing import Literal

import pytest
import torch
from helpers import assert_counts_agree, liven
from hypothesis import Phase, given, reject, settings, strategies as st

from scalesearch.arch.arch import Arch, Auxiliary, Stage
from scalesearch.arch.blocks.registry import BLOCKS, block, block_fields, layer
from scalesearch.arch.expansion import expand
from scalesearch.counting.counts import cost
from scalesearch.counting.measuring import peak_memory as measured_peak
from scalesearch.counting.memory import peak_memory
from scalesearch.errors import InputError
from scalesearch.exporting.python import to_python
from scalesearch.network.modules import build
from scalesearch.signature import fields_of
from scalesearch.space.schema import arch_from_dict

NUMBERS = {
    "width": [8, 16, 24],
    "kernel": [1, 3, 5],
    "stride": [1, 2],
    "dilation": [1, 2],
    "groups": [1, 2, 8],
    "padding": [0, 1],
    "expand": [1.0, 2.0, 2.5],
    "ratio": [0.25, 0.5],
    "se_ratio": [0.0, 0.25],
    "dropout": [0.0, 0.2],
    "pool": [1, 2],
    "hidden": [16],
    "growth": [8, 12],
    "bottleneck": [0, 2],
    "compression": [0.5, 1.0],
    "squeeze": [4, 8],
    "group_width": [4, 8],
    "layer_scale": [0.0, 0.1],
    "reduction": [4, 16],
    "heads": [1, 2, 4],
    "key_width": [8],
    "value_width": [8, 16],
    "kv_stride": [1, 2],
    "repeats": [1, 2],
    "factor": [1, 2],
    "group": [0, 1],
    "bins": [4, 16],
    "scale": [1.0, 0.2],
    "strides": [(1, 2), (2, 1)],
    "height": [4, 7],
    "side": [2, 3],
    "boxes": [1, 2],
    "scale_xy": [(), (1.05, 1.2)],
    "anchors": [((8, 8), (4, 6.5), (3, 0.25), (9, 9))],
    "masks": [((0, 1), (2, 3))],
    "branches": [
        ((layer("conv", width=8, kernel=1),), (layer("max_pool", kernel=3), layer("conv", width=16, kernel=(1, 5)))),
        (
            (layer("identity"),),
            (
                layer("conv", width=8, kernel=3, dilation=2),
                layer(
                    "inception",
                    branches=((layer("conv", width=8, kernel=(3, 1)),), (layer("se"), layer("separable", width=8))),
                ),
            ),
        ),
        ((layer("basic", width=16),),),
    ],
}


def arguments(kind: str, part: str) -> st.SearchStrategy[dict]:
    """Any arguments that the block's own signature takes."""

    def values(field):
        options = []
        for kind in field.types:
            if kind is bool:
                options += [True, False]
            elif kind is type(None):
                options.append(None)
            elif typing.get_origin(kind) is Literal:
                options += typing.get_args(kind)
            elif field.name == "kernel" and typing.get_origin(kind) is tuple:
                options += [(1, 5), (3, 1)]
            else:
                options += NUMBERS[field.name]
        return st.sampled_from(options)

    return st.fixed_dictionaries({name: values(field) for name, field in block_fields(kind, part).items()})


def around(kind: str, args: dict, stride: int, padding: str) -> Arch:
    """A small network with the block where its role lets it stand."""
    row = BLOCKS[kind]
    stages = [Stage(block("basic", width=16), 1, 2), Stage(block("basic", width=16))]
    if row.role == "layer" and not row.several:
        takes_stride = "stride" in fields_of(row.function)
        stages.append(Stage(block(kind, **args), 1 if "group" in args else 2, stride if takes_stride else 1))
    elif row.role == "layer":
        stages += [Stage(block(kind, **args), 1, 1, (0, 1)), Stage(block("conv", width=8))]
    if kind == "logits":
        stages.append(Stage(block("connected", width=4)))
    if kind == "yolov1":
        stages.append(Stage(block("connected", width=args["side"] ** 2 * (4 + 5 * args["boxes"]))))
    if kind == "yolo" and not args["predicts"]:
        values = 2 * ((9 if args["boxes"] == "gaussian" else 5) + 4)
        stages = [Stage(block("conv", width=values)), Stage(block("conv", width=values), 1, 2)]
    head = block(kind, "head", **args) if row.role == "head" else block("classifier", "head")
    auxiliary = (Auxiliary(block(kind, "auxiliary", **args), 0),) if row.role == "auxiliary" else ()
    return Arch(
        kind,
        25,
        4,
        (block("conv", "stem", width=16),),
        tuple(stages),
        head,
        padding=padding,
        drop_path=0.25,
        taps=(0, 1) if row.role == "head" and row.several else (),
        auxiliary=auxiliary,
    )


def tensors(out) -> tuple:
    return out if isinstance(out, tuple) else (out,)


QUICK = {"conv", "mbconv", "uib", "dense", "inception", "mobile_mqa", "c2f", "concat", "classifier"}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k in QUICK else [pytest.mark.slow]) for k in BLOCKS])
def test_every_block_keeps_the_contract(kind):
    part = {"layer": "stages"}.get(BLOCKS[kind].role, BLOCKS[kind].role)

    @given(arguments(kind, part), st.sampled_from([1, 2]), st.sampled_from(["symmetric", "same"]))
    @settings(max_examples=3 if kind in QUICK else 2, derandomize=True, phases=[Phase.generate])
    def check(args, stride, padding):
        # torch pads by half the kernel at most
        if kind in ("max_pool", "avg_pool") and isinstance(args["padding"], int):
            args = args | {"padding": min(args["padding"], args["kernel"] // 2)}
        arch = around(kind, args, stride, padding)
        try:
            expand(arch)
        except InputError:  # arguments that don't go together, and say so
            reject()
        assert_counts_agree(arch)
        assert arch_from_dict(arch.to_dict()) == arch
        for training in (False, True):
            assert peak_memory(arch, 3, training) == pytest.approx(
                measured_peak(build(arch), (3, 25, 25), 3, training), rel=0.1
            )
        exported = types.ModuleType("exported")
        exec(to_python(arch), exported.__dict__)
        network, standalone = liven(build(arch)).eval(), exported.build().eval()
        standalone.load_state_dict(network.state_dict())
        x = torch.randn(2, 3, 25, 25)
        assert all(map(torch.equal, tensors(network(x)), tensors(standalone(x))))
        assert len(tensors(network.train()(x))) == len(tensors(standalone.train()(x)))

    check()


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_says_what_it_is(kind):
    assert BLOCKS[kind].function.__doc__
    part = {"layer": "stages"}.get(BLOCKS[kind].role, BLOCKS[kind].role)
    with pytest.raises(InputError, match=f'unknown key for block "{kind}"'):
        block(kind, part, no_such_key=1)


def params(spec, cin, stride=1):
    arch = Arch("x", 8, 2, (), (Stage(spec, 1, stride),), block("classifier", "head"), channels=cin)
    return cost(arch).params - (2 * dict(spec.args)["width"] + 2)


def test_blocks_have_the_papers_parameters():
    """Written out from the papers' figures; norms have two parameters a channel."""
    assert params(block("separable", width=64), 32) == (9 * 32 + 64) + (32 * 64 + 128)
    assert params(block("inverted_residual", width=24, expand=6), 16, 2) == (16 * 96 + 192) + (9 * 96 + 192) + (
        96 * 24 + 48
    )
    se = (96 * 4 + 4) + (4 * 96 + 96)
    assert params(block("mbconv", width=24, expand=6, kernel=5), 16, 2) == (16 * 96 + 192) + (25 * 96 + 192) + se + (
        96 * 24 + 48
    )
    assert params(block("fused_mbconv", width=24, expand=4), 16, 2) == (9 * 16 * 64 + 128) + (64 * 24 + 48)
    assert params(block("bottleneck", width=256), 64) == (64 * 64 + 128) + (9 * 64 * 64 + 128) + (64 * 256 + 512) + (
        64 * 256 + 512
    )
    assert params(block("basic", width=64), 64) == 2 * (9 * 64 * 64 + 128)
