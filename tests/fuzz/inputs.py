"""Inputs that a stranger may bring: files of the repository and made ones, mutated with their grammar in mind."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from scalesearch.yamlfile import dump

ROOT = Path(__file__).parents[2]
ODD = [
    None,
    True,
    -1,
    0,
    1,
    3,
    2**40,
    1e99,
    float("nan"),
    float("inf"),
    "",
    "x",
    "é\u202e\x00",
    "x" * 2000,
    "!!python/x",
    "../../etc/passwd",
    "<script>",
    [],
    {},
    [[]],
    {"choice": []},
    {"choice": [1, 1]},
    {"range": [3, 1]},
    {"range": [1, 10**9]},
    {"choice": [8, 16], "name": "e"},
    "600M",
    "≤ 5M",
    "2x resnet18",
    "1..0",
    {"conv": {}},
]
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
ARCHS = sorted((ROOT / "reports").glob("*.phi*.yaml"))
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
    strange = (
        b"\t",
        b"\x00",
        b"\xff\xfe",
        b"&a [*a, *a]\n",
        b"!!python/object/apply:os.system [x]\n",
        b"{" * 300,
        b"---\n",
    )
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


def yaml_of(files: list[Path]) -> Callable[[random.Random], bytes]:
    def make(dice: random.Random) -> bytes:
        raw = dice.choice(files).read_bytes()
        if dice.random() < 0.3:
            return mutated_bytes(raw, dice)
        return yaml.safe_dump(mutated_data(yaml.safe_load(raw), dice), allow_unicode=True).encode("utf-8", "replace")

    return make


def study(dice: random.Random) -> bytes:
    """With its space in it (what is named lies elsewhere), of images that are always there."""
    file = dice.choice(STUDIES)
    study = yaml.safe_load(file.read_bytes()) | {"data": "digits"}
    study["space"] = yaml.safe_load((file.parent / study["space"]).read_bytes())
    if dice.random() < 0.2:
        return mutated_bytes(yaml.safe_dump(study, allow_unicode=True).encode(), dice)
    return yaml.safe_dump(mutated_data(study, dice), allow_unicode=True).encode("utf-8", "replace")


def cfg(dice: random.Random) -> bytes:
    lines = CFG.splitlines()
    for _ in range(dice.choice((1, 2, 5))):
        at = dice.randrange(len(lines))
        key = lines[at].partition("=")[0]
        lines[at] = dice.choice(
            [f"{key}={value}" for value in (-1, 0, 10**9, "x", "", "1,2,3", 1.5)]
            + ["", "[what]", lines[at] * 2, dice.choice(lines)]
        )
    raw = "\n".join(lines).encode()
    return mutated_bytes(raw, dice) if dice.random() < 0.3 else raw


@cache
def _state() -> dict[str, Any]:
    """A whole network's weights."""
    from scalesearch.network import build
    from scalesearch.zoo import model

    return {key: value.numpy() for key, value in build(model("resnet20_cifar")).state_dict().items()}


def weights(dice: random.Random, folder: Path) -> tuple[str, ...]:
    """Our own format with its header, and checkpoints of torch's."""
    from safetensors.numpy import save

    kind = dice.choice(("w.safetensors", "w.safetensors", "w.pth"))
    if kind == "w.pth":
        raw = mutated_bytes(_checkpoint(dice.choice(("bare", "wrapped"))), dice)
    else:
        raw = save(
            _state(),
            {
                "preparation": json.dumps(
                    {"crop": 32, "resize": 32, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.2] * 3}
                ),
                "classes": "[1]",
            },
        )
        raw = mutated_bytes(raw, dice) if dice.random() < 0.5 else _with_header(raw, dice)
    (folder / kind).write_bytes(raw)
    return "export", "resnet20_cifar", "--to", "py", "--weights", str(folder / kind), "-o", str(folder / "model.py")


@cache
def _checkpoint(how: str) -> bytes:
    import torch

    state = {key: torch.from_numpy(value.copy()) for key, value in _state().items()}
    held = io.BytesIO()
    torch.save(state if how == "bare" else {"state_dict": state, "epoch": 3, "args": {"lr": 0.1}}, held)
    return held.getvalue()


def _with_header(raw: bytes, dice: random.Random) -> bytes:
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    message = header["__metadata__"]
    if dice.random() < 0.5:  # what the texts in it say
        key = dice.choice(list(message))
        message[key] = json.dumps(mutated_data(json.loads(message[key]), dice))
    else:
        header = mutated_data(header, dice)
    payload = json.dumps(header).encode()
    return struct.pack("<Q", dice.choice((len(payload), len(payload), 2**60, 0))) + payload + raw[8 + length :]


def image(dice: random.Random, folder: Path) -> tuple[str, ...]:
    for label in ("cat", "dog"):
        (folder / label).mkdir(exist_ok=True)
        for i in range(3):
            Image.effect_noise((24, 20), 60).save(folder / label / f"{i}.png")
    held = io.BytesIO()
    forms = [("RGB", "PNG"), ("RGB", "JPEG"), ("P", "GIF"), ("L", "TIFF"), ("RGB", "WEBP"), ("L", "BMP")]
    mode, form = dice.choice(forms)
    Image.effect_noise((24, 20), 60).convert(mode).save(held, form)
    (folder / "cat" / "photo.png").write_bytes(mutated_bytes(held.getvalue(), dice))
    return "data", str(folder), "--val", "0.2", "--test", "0.2"


VOC = """<annotation><filename>{i}.png</filename><size><width>24</width><height>20</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>13</ymax>
</bndbox></object></annotation>"""


def boxes(dice: random.Random, folder: Path) -> tuple[str, ...]:
    """Six photos, and the file of one of the three usual ways to write boxes."""
    kind = dice.choice(("coco", "voc", "yolo"))
    photos = folder / {"coco": ".", "voc": "JPEGImages", "yolo": "images"}[kind]
    photos.mkdir(exist_ok=True)
    for i in range(6):
        Image.effect_noise((24, 20), 60).save(photos / f"{i}.png")
    for name in ("annotations", "Annotations", "labels"):
        (folder / name).mkdir(exist_ok=True)
    if kind == "coco":
        payload = {
            "images": [{"id": i, "file_name": f"{i}.png", "width": 24, "height": 20} for i in range(6)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "bbox": [2, 3, 10, 10], "iscrowd": 0} for i in range(6)
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
        raw = json.dumps(payload).encode()
        raw = mutated_bytes(raw, dice) if dice.random() < 0.3 else json.dumps(mutated_data(payload, dice)).encode()
        (folder / "annotations" / "all.json").write_bytes(raw)
    elif kind == "voc":
        for i in range(6):
            (folder / "Annotations" / f"{i}.xml").write_text(VOC.format(i=i))
        (folder / "Annotations" / "0.xml").write_bytes(mutated_bytes(VOC.format(i=0).encode(), dice))
    else:
        for i in range(6):
            (folder / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
        named = {"train": "images", "names": ["cat"]}
        if dice.random() < 0.5:
            (folder / "labels" / "0.txt").write_bytes(mutated_bytes(b"0 0.5 0.5 0.4 0.4\n0 0.2 0.2 0.1 0.1\n", dice))
        else:
            named = mutated_data(named, dice)
        (folder / "data.yaml").write_text(yaml.safe_dump(named, allow_unicode=True), errors="replace")
    return "data", str(folder), "--val", "0.2", "--test", "0.2"


@cache
def _run_folder() -> dict[str, bytes]:
    """What a run of a small study leaves, by the names of its files."""
    from driving import drive, write_study
    from making import folder as class_folders

    from scalesearch.runs.images import prepare_data
    from scalesearch.study import load_study

    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        data = class_folders(home / "data", {"cat": 12, "dog": 12})
        study = load_study(write_study(home, data=str(data)))
        (home / "run").mkdir()
        drive(study, home / "run" / "trials.jsonl", random.Random(0))
        prepare_data(study.training.data, str(data), home / "run")
        (home / "run" / "study.yaml").write_text(dump(dict(study.document)))
        left = {name: (home / "run" / name).read_bytes() for name in ("trials.jsonl", "study.yaml", "data.json")}
    recalled = {"classes": ["cat", "dog"], "recall": [0.5, 1.0], "confusion": [[1, 1], [0, 2]]}
    return left | {
        "by_class/family/tiny-phi0-s0.json": json.dumps(recalled).encode(),
        "spent.json": b'{"seconds": 3.5, "gpu_seconds": 0.0}',
    }


def run(dice: random.Random, folder: Path) -> tuple[str, ...]:
    """A run's folder, in which one file is changed: mostly the log."""
    files = dict(_run_folder())
    name = dice.choice([*files, "trials.jsonl", "trials.jsonl", "trials.jsonl"])
    if dice.random() < 0.2:
        files[name] = mutated_bytes(files[name], dice)
    elif name == "trials.jsonl":
        lines = files[name].splitlines()
        at = dice.randrange(len(lines))
        lines[at] = json.dumps(mutated_data(json.loads(lines[at]), dice)).encode()
        files[name] = b"\n".join(lines) + b"\n"
    elif name == "study.yaml":
        payload = mutated_data(yaml.safe_load(files[name]), dice)
        files[name] = yaml.safe_dump(payload, allow_unicode=True).encode("utf-8", "replace")
    else:
        files[name] = json.dumps(mutated_data(json.loads(files[name]), dice)).encode()
    for there, raw in files.items():
        path = folder / there
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return "report", str(folder)
