"""Files of every kind that a stranger may bring, mutated with their grammar in mind, and what comes of each."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from click.testing import CliRunner
from PIL import Image

from scalesearch.cli import main

ROOT = Path(__file__).parents[2]
LONGEST = 2.0  # seconds that an input may take before it has to say so
ODD = [None, True, -1, 0, 1, 3, 2**40, 1e99, float("nan"), float("inf"), "", "x", "é\u202e\x00", "x" * 2000,
       "!!python/x", "../../etc/passwd", "<script>", [], {}, [[]], {"choice": []}, {"choice": [1, 1]},
       {"range": [3, 1]}, {"range": [1, 10**9]}, {"choice": [8, 16], "name": "e"}, "600M", "≤ 5M", "2x resnet18",
       "1..0", {"conv": {}}]
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
CFG = """[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[shortcut]
from=-1
activation=linear
[route]
layers=-1,-2
[maxpool]
size=2
stride=2
[upsample]
stride=2
[convolutional]
filters=18
size=1
stride=1
pad=1
activation=linear
[yolo]
mask=0,1,2
anchors=10,14, 23,27, 37,58
classes=1
num=3
"""


class Outcome(NamedTuple):
    """Of one input: how the command ended, what it said, and how long it took."""

    exit: int
    said: str
    seconds: float

    @property
    def fault(self) -> str:
        """What is wrong with it, in words; nothing where it is as promised."""
        return f"exit code {self.exit}: {self.said}" if self.exit not in (0, 2) or "Traceback" in self.said else ""

    @property
    def silent(self) -> bool:
        """Whether it took longer than it may without a word."""
        return self.seconds > LONGEST and " so far" not in self.said


def command(*arguments: str) -> Outcome:
    """What a command does with an input, in this process."""
    began = time.monotonic()
    done = CliRunner().invoke(main, arguments)
    broken = done.exception is not None and not isinstance(done.exception, SystemExit)
    said = f"Traceback: {done.exception!r}" if broken else done.stderr.strip()
    return Outcome(done.exit_code, said, time.monotonic() - began)


# Mutations.


def mutated_data(data: Any, dice: random.Random) -> Any:
    """Plain data with a few of its leaves, keys or branches replaced, dropped, misspelt or exchanged."""
    for _ in range(dice.choice((1, 1, 2, 4))):
        places = list(_places(data))
        holder, key = dice.choice(places)
        kind = dice.randrange(5)
        if kind == 0 and isinstance(holder, dict):
            holder[str(key)[::-1] if dice.random() < 0.5 else f"{key}x"] = holder.pop(key)
        elif kind == 1:
            del holder[key]
        elif kind == 2:
            there, other = dice.choice(places)
            if key in holder if isinstance(holder, dict) else key < len(holder):
                holder[key] = json.loads(json.dumps(there.get(other) if isinstance(there, dict) else None, default=str))
        elif kind == 3 and isinstance(holder, list):
            holder *= 2
        else:
            holder[key] = copy.deepcopy(dice.choice(ODD))  # else the next mutation would be one of these
        if not list(_places(data)):
            break
    return data


def _places(data: Any) -> Any:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(items):
        yield data, key
        yield from _places(value)


def mutated_bytes(raw: bytes, dice: random.Random) -> bytes:
    """Cut, flipped, doubled or with something strange in between."""
    raw, at = bytearray(raw), dice.randrange(max(1, len(raw)))
    strange = (b"\t", b"\x00", b"\xff\xfe", b"&a [*a, *a]\n", b"!!python/object/apply:os.system [x]\n", b"{" * 300,
               b"---\n")
    match dice.randrange(5):
        case 0:
            return bytes(raw[:at])
        case 1:
            for _ in range(dice.choice((1, 3, 20))):
                raw[dice.randrange(len(raw))] = dice.randrange(256)
        case 2:
            raw[at:at] = raw[at : at + dice.randrange(1, 200)]
        case 3:
            raw[at:at] = dice.choice(strange)
        case _:
            del raw[at : at + dice.randrange(1, 40)]
    return bytes(raw)


def _yaml(files: list[Path]) -> Callable[[random.Random], bytes]:
    def make(dice: random.Random) -> bytes:
        raw = dice.choice(files).read_bytes()
        if dice.random() < 0.3:
            return mutated_bytes(raw, dice)
        return yaml.safe_dump(mutated_data(yaml.safe_load(raw), dice), allow_unicode=True).encode("utf-8", "replace")

    return make


def _study(dice: random.Random) -> bytes:
    """With its space in it (what is named lies elsewhere), of images that are always there."""
    file = dice.choice(STUDIES)
    study = yaml.safe_load(file.read_bytes()) | {"data": "digits"}
    study["space"] = yaml.safe_load((file.parent / study["space"]).read_bytes())
    if dice.random() < 0.2:
        return mutated_bytes(yaml.safe_dump(study, allow_unicode=True).encode(), dice)
    return yaml.safe_dump(mutated_data(study, dice), allow_unicode=True).encode("utf-8", "replace")


def _cfg(dice: random.Random) -> bytes:
    lines = CFG.splitlines()
    for _ in range(dice.choice((1, 2, 5))):
        at = dice.randrange(len(lines))
        key = lines[at].partition("=")[0]
        lines[at] = dice.choice([f"{key}={value}" for value in (-1, 0, 10**9, "x", "", "1,2,3", 1.5)]
                                + ["", "[what]", lines[at] * 2, dice.choice(lines)])  # fmt: skip
    raw = "\n".join(lines).encode()
    return mutated_bytes(raw, dice) if dice.random() < 0.3 else raw


def _weights(dice: random.Random) -> bytes:
    from safetensors.numpy import save

    raw = save({"head.linear.weight": np.zeros((10, 4), np.float32)}, {"preparation": '{"crop": 32}', "classes": "[1]"})
    if dice.random() < 0.5:
        return mutated_bytes(raw, dice)
    length = struct.unpack("<Q", raw[:8])[0]
    header = mutated_data(json.loads(raw[8 : 8 + length]), dice)
    told = json.dumps(header).encode()
    return struct.pack("<Q", dice.choice((len(told), len(told), 2**60, 0))) + told + raw[8 + length :]


def _image(dice: random.Random) -> bytes:
    held = io.BytesIO()
    forms = [("RGB", "PNG"), ("RGB", "JPEG"), ("P", "GIF"), ("L", "TIFF"), ("RGB", "WEBP"), ("L", "BMP")]
    mode, form = dice.choice(forms)
    Image.effect_noise((24, 20), 60).convert(mode).save(held, form)
    return mutated_bytes(held.getvalue(), dice)


KINDS: dict[str, tuple[str, Callable[[random.Random], bytes], Callable[[Path], tuple[str, ...]]]] = {
    "arch": ("arch.yaml", _yaml(sorted((ROOT / "reports").glob("*.phi*.yaml"))), lambda path: ("cost", str(path))),
    "space": ("space.yaml", _yaml(SPACES), lambda path: ("check", str(path))),
    "study": ("study.yaml", _study, lambda path: ("run", str(path), "--dry-run", "--out", str(path.parent / "run"))),
    "cfg": ("net.cfg", _cfg, lambda path: ("cost", str(path))),
    "weights": ("w.safetensors", _weights,
                lambda path: ("export", "resnet20_cifar", "--to", "py", "--weights", str(path))),
    "image": ("photo.png", _image, lambda path: ("data", str(path.parent))),
}  # fmt: skip


def tried(kind: str, number: int, folder: Path) -> Outcome:
    """The `number`th input of a kind, and what comes of it."""
    name, make, asked = KINDS[kind]
    raw = make(random.Random(f"{kind}-{number}"))
    path = folder / name
    if kind == "image":
        for label in ("cat", "dog"):
            (folder / label).mkdir(exist_ok=True)
            for i in range(3):
                Image.effect_noise((24, 20), 60).save(folder / label / f"{i}.png")
        (folder / "cat" / name).write_bytes(raw)
        return command("data", str(folder), "--val", "0.2", "--test", "0.2")
    path.write_bytes(raw)
    return command(*asked(path))
