"""One contract for every block, inherited by being listed in the table; and a few blocks against the papers' arithmetic."""

from __future__ import annotations

import types
import typing
from typing import Literal

import pytest
import torch
from helpers import liven
from hypothesis import given, settings
from hypothesis import strategies as st
from test_counting import assert_counts_agree

from scalesearch.arch import Arch, Stage
from scalesearch.blocks import BLOCKS, block, block_fields
from scalesearch.counting import cost
from scalesearch.errors import InputError
from scalesearch.export import to_python
from scalesearch.measuring import peak_memory as measured_peak
from scalesearch.memory import peak_memory
from scalesearch.network import build
from scalesearch.schema import arch_from_dict

NUMBERS = {"width": [8, 16, 24], "kernel": [1, 3, 5], "stride": [1, 2], "dilation": [1, 2], "groups": [1, 2, 8], "padding": [0, 1],
           "expand": [1.0, 2.0, 2.5], "ratio": [0.25, 0.5], "se_ratio": [0.0, 0.25], "dropout": [0.0, 0.2], "pool": [1, 2],
           "hidden": [16]}  # fmt: skip


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
            else:
                options += NUMBERS[field.name]
        return st.sampled_from(options)

    return st.fixed_dictionaries({name: values(field) for name, field in block_fields(kind, part).items()})


def around(kind: str, args: dict, stride: int, padding: str) -> Arch:
    """A small network with the block where its role lets it stand."""
    role = BLOCKS[kind].role
    stem = [block("conv", "stem", width=16), *([block(kind, "stem", **args)] if role == "stem" else [])]
    stages = (Stage(block(kind, **args), 2, stride),) if role == "layer" else (Stage(block("basic", width=16), 1, 2),)
    head = block(kind, "head", **args) if role == "head" else block("classifier", "head")
    return Arch(kind, 15, 4, tuple(stem), stages, head, padding=padding, drop_path=0.25)


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_keeps_the_contract(kind):
    part = {"layer": "stages", "stem": "stem", "head": "head"}[BLOCKS[kind].role]

    @given(arguments(kind, part), st.sampled_from([1, 2]), st.sampled_from(["symmetric", "same"]))
    @settings(max_examples=8, derandomize=True)
    def check(args, stride, padding):
        if kind in ("max_pool", "avg_pool"):  # torch pads a pool by half its kernel at most
            args = args | {"padding": min(args["padding"] or 0, args["kernel"] // 2)}
        arch = around(kind, args, stride, padding)
        assert_counts_agree(arch)
        assert arch_from_dict(arch.to_dict()) == arch
        for training in (False, True):
            assert peak_memory(arch, 3, training) == pytest.approx(measured_peak(build(arch), (3, 15, 15), 3, training), rel=0.1)
        exported = types.ModuleType("exported")
        exec(to_python(arch), exported.__dict__)
        network, standalone = liven(build(arch)).eval(), exported.build().eval()
        standalone.load_state_dict(network.state_dict())
        x = torch.randn(2, 3, 15, 15)
        assert torch.equal(network(x), standalone(x))

    check()


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_says_what_it_is(kind):
    assert BLOCKS[kind].function.__doc__
    part = {"layer": "stages", "stem": "stem", "head": "head"}[BLOCKS[kind].role]
    with pytest.raises(InputError, match=f'unknown key for block "{kind}"'):
        block(kind, part, no_such_key=1)


def params(spec, cin, stride=1):
    arch = Arch("x", 8, 2, (), (Stage(spec, 1, stride),), block("classifier", "head"), channels=cin)
    return cost(arch).params - (2 * dict(spec.args)["width"] + 2)


def test_blocks_have_the_papers_parameters():
    """Written out from the papers' figures; norms have two parameters a channel."""
    assert params(block("separable", width=64), 32) == (9 * 32 + 64) + (32 * 64 + 128)
    assert params(block("inverted_residual", width=24, expand=6), 16, 2) == (16 * 96 + 192) + (9 * 96 + 192) + (96 * 24 + 48)
    se = (96 * 4 + 4) + (4 * 96 + 96)
    assert params(block("mbconv", width=24, expand=6, kernel=5), 16, 2) == (16 * 96 + 192) + (25 * 96 + 192) + se + (96 * 24 + 48)
    assert params(block("fused_mbconv", width=24, expand=4), 16, 2) == (9 * 16 * 64 + 128) + (64 * 24 + 48)
    assert params(block("bottleneck", width=256), 64) == (64 * 64 + 128) + (9 * 64 * 64 + 128) + (64 * 256 + 512) + (64 * 256 + 512)
    assert params(block("basic", width=64), 64) == 2 * (9 * 64 * 64 + 128)
