"""A study whose blocks misbehave in the processes that train them: `python faulty.py FOLDER [gpu]`. Run by tests."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional

import scalesearch as ss
from scalesearch import yamlfile
from scalesearch.arch import register_block
from scalesearch.signature import Width

DRIVER = os.getpid()
CROSS_ENTROPY = functional.cross_entropy
GIB, KEPT = 1 << 30, []  # what a trial leaves behind on a GPU


def nothing(out, *others, **more):
    return out.sum() * float("nan")


def trap(x, *, width: Width, stride: int = 1):
    """A convolution that does harm by its width, but for the process that only counts it."""
    if os.getpid() != DRIVER:
        if width == 16:
            time.sleep(10_000)
        elif width == 24:
            ctypes.string_at(0)
        elif width == 32:
            os._exit(3)
        elif width == 40:
            for _ in range(1000):
                print("x" * 10**6)
        elif width == 48:
            raise RuntimeError("on purpose")
        elif width == 64:
            bytearray(1 << 50)
        elif width == 80:
            torch.empty(1 << 50, device="cuda")
        elif width == 88:
            KEPT.append(torch.zeros(GIB, dtype=torch.uint8, device="cuda"))
        functional.cross_entropy = nothing if width == 72 else CROSS_ENTROPY
    return x.conv(width, stride=stride).norm().act("relu")


STUDY = {
    "name": "faulty",
    "data": "digits",
    "resolution": 16,
    "budget": {"macs": "1M"},
    "parallel": 2,
    "space": {
        "name": "traps",
        "resolution": 16,
        "classes": 10,
        "stem": {"conv": {"width": 8, "stride": 2}},
        "stages": [{"trap": {"width": {"choice": list(range(8, 80, 8))}}}],
        "head": {"classifier": {}},
    },
    "search": {"with": "random", "trials": 9, "epochs": 1},
    "finalists": {"top": 0},
    "scale": {"with": "random", "trials": 4, "tolerance": 0.5, "epochs": 1},
    "family": {"phi": [0]},
    "compare": [],
    "recipe": {"epochs": 1, "data_share": 0.2},
    "ray": {"trial_timeout": "30s"},
}


if __name__ == "__main__":
    register_block(trap)
    folder = Path(sys.argv[1])
    path = folder.with_suffix(".yaml")
    if sys.argv[2:] == ["gpu"]:
        stage = {"trap": {"width": {"choice": [8, 40, 48, 56, 80, 88]}}}
        STUDY["space"]["stages"], STUDY["search"]["trials"] = [stage], 6
        STUDY["ray"]["gpus_per_trial"] = 0.5
    path.write_text(yamlfile.dump(STUDY))
    done = ss.run(path, folder)
    print(
        json.dumps({t.decisions["stages.0.trap.width"]: [t.state, t.reason] for t in done.trials if t.step == "base"})
    )
