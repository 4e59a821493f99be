"""Small things that tests build with."""

from __future__ import annotations

import struct
import subprocess
import sys

import torch
from click.testing import CliRunner
from torch import nn

from scalesearch.arch import Arch
from scalesearch.cli import main
from scalesearch.counting import cost
from scalesearch.counting.measuring import fvcore_counts
from scalesearch.network import build


def liven(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics under which every layer matters: a fresh network in eval mode says little but its bias."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.uniform_(module.weight, 0.6, 1.4, generator=generator)
            nn.init.normal_(module.bias, 0, 0.2, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=generator)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features**-0.5, generator=generator)
    return model


def darknet_bytes(values: torch.Tensor) -> bytes:
    """A Darknet file: its version, how many images were seen, and the values."""
    return struct.pack("<iiiq", 0, 2, 0, 0) + values.numpy().tobytes()


TINY_SPACE = {
    "name": "tiny",
    "resolution": 16,
    "classes": 10,
    "stem": {"conv": {"width": {"choice": [8, 16]}, "stride": 2, "act": "silu"}},
    "stages": [
        {
            "depth": {"range": [1, 2]},
            "stride": 1,
            "mbconv": {"width": {"choice": [8, 16]}, "expand": {"choice": [1, 3]}},
        },
        {
            "depth": {"range": [1, 2]},
            "stride": 2,
            "mbconv": {"width": {"choice": [16, 24, 32]}, "kernel": {"choice": [3, 5]}},
        },
    ],
    "head": {"classifier": {"dropout": 0.1}},
}


def assert_counts_agree(arch: Arch) -> None:
    model = build(arch)
    counted, measured = cost(arch), fvcore_counts(model, (arch.channels, *arch.sides))
    assert counted.params == sum(p.numel() for p in model.parameters())
    assert counted._asdict() | measured == counted._asdict()


def standalone(source: str, tmp_path):
    """The module of a standalone file, made where scalesearch cannot be imported."""
    (tmp_path / "model.py").write_text(source)
    # as many as here: rounding hangs on it
    code = (
        f"import sys, torch; torch.set_num_threads({torch.get_num_threads()});"
        "sys.modules['scalesearch'] = None; from model import build; net = build();"
        "net.load_state_dict(torch.load('w.pt', weights_only=True)); x = torch.load('x.pt', weights_only=True);"
        "torch.manual_seed(5); torch.save([net.eval()(x).detach(), net.train()(x).detach(),"
        "sum(p.numel() for p in net.parameters())], 'y.pt')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return torch.load(tmp_path / "y.pt", weights_only=True)


def invoke(*arguments: str):
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) <= 2 or all(line.startswith("scalesearch: ") for line in lines), result.stderr
    assert "Traceback" not in result.output, result.stderr
    return result.stderr


def same_weights(one, other) -> bool:
    """Whether two files hold the same tensors to the bit, and say the same of themselves (in whatever order)."""
    from safetensors import safe_open

    with safe_open(one, "pt") as a, safe_open(other, "pt") as b:
        names = sorted(a.keys())
        alike = names == sorted(b.keys()) and all(torch.equal(a.get_tensor(n), b.get_tensor(n)) for n in names)
        return alike and a.metadata() == b.metadata()
