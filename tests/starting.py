"""A small study that really runs, started as people start it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers import TINY_SPACE

from scalesearch.trials.log import TrialLog

COMMAND = [sys.executable, "-m", "scalesearch", "run"]
STUDY = {
    "name": "small",
    "space": TINY_SPACE,
    "data": "digits",
    "resolution": 16,
    "budget": {"macs": 500_000},
    "search": {"with": "evolution", "trials": 5, "epochs": 1},
    "scale": {"with": "tpe", "trials": 5, "epochs": 1, "tolerance": 0.05},
    "family": {"phi": [0, 1]},
    "compare": ["shufflenet_v2_x0_5", "resnet20_cifar"],
    "recipe": {"epochs": 2, "data_share": 0.2},
}
STEPS = {
    "screen": 0,
    "pace": 0,
    "base": 5,
    "control": 0,
    "finalists": 4,
    "random": 0,
    "random finalists": 0,
    "repeated": 0,
    "repeated finalists": 0,
    "scale": 5,
    "transfer": 0,
    "family": 2,
    "distill": 0,
    "rivals": 0,
    "fidelity": 0,
    "ablation": 0,
    "scaled choice": 0,
    "scaled": 0,
    "compare": 2,
}


def start(study: Path, out: Path | str, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, str(study), "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    return out + err


def essence(folder: Path) -> list:
    """What must not depend on kills: everything but the times."""
    return [
        (t.step, t.number, t.name, t.network, t.decisions, t.scores, t.history, t.rejected, t.state)
        for t in sorted(TrialLog(folder / "trials.jsonl"), key=lambda t: t.key)
    ]
