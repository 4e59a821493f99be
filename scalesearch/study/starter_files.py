"""The example files that a user starts a study from."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from scalesearch.counting import cost
from scalesearch.data import Source
from scalesearch.errors import InputError
from scalesearch.files import save_text
from scalesearch.machine import cores
from scalesearch.study.json_schema import schema_text
from scalesearch.zoo import load

SIDES = (16, 24, 32, 48, 64, 96, 128, 160, 192, 224)  # resolutions that a study may be given
MAX_CPU_SIDE = 64  # pixels of a side that CPU cores train in minutes
MACS_PER_PIXEL = 3_000  # of the base network; a GPU takes ten times as many
EPOCHS, IMAGES_SEEN = (4, 40), 30_000  # fewest and most epochs, and images that a training sees in all
COMMENT_COLUMN = 58  # where comments begin
BASELINES = (
    "shufflenet_v2_x0_5",
    "mobilenet_v3_small",
    "resnet20_cifar",
    "shufflenet_v2_x1_0",
    "mobilenet_v2",
    "efficientnet_b0",
    "resnet18",
)


def starter_study(data: Source, path: str, gpus: int) -> str:
    """Returns a study for a data set of classes, with the reason beside each choice.

    Args:
        data: The facts of the data.
        path: How the study names it.
        gpus: How many GPUs there are.

    Raises:
        InputError: If the data has boxes.
    """
    if data.task != "classification":
        raise InputError("has boxes; studies/yolo_scale.yaml is an example of a detector's study", path)
    limit = data.resolution if gpus else min(data.resolution, MAX_CPU_SIDE)
    side = max((s for s in SIDES if s <= limit), default=SIDES[0])
    macs = MACS_PER_PIXEL * side * side * (10 if gpus else 1)
    train = data.sizes["train"]
    epochs = min(EPOCHS[1], max(EPOCHS[0], round(IMAGES_SEEN / train)))
    fitted = {name: load(name, resolution=side, classes=data.classes, strides="fitted") for name in BASELINES}
    counted = {name: cost(arch).macs for name, arch in fitted.items()}
    compared = [name for name, count in counted.items() if macs / 2 <= count <= 8 * macs]
    compared = compared or [min(counted, key=lambda name: counted[name])]
    machine = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else f"{cores()} CPU cores without a GPU"
    reason = "as the images" if side == data.resolution else f"the images allow {data.resolution}; for {machine}"
    short = max(2, epochs // 2)
    recipe = "quick" if not gpus else "cifar" if side <= MAX_CPU_SIDE else "imagenet"
    per_pixel = f"{MACS_PER_PIXEL:,} for each pixel{', times ten for a GPU' if gpus else ''}"
    lines = {
        "space: space.yaml": "the networks that the search for a base may try",
        f"data: {json.dumps(path)}": "",
        f"resolution: {side}": reason,
        f"budget: {{macs: {macs / 1e6:.3g}M}}": f"hard limit for the base: {per_pixel}",
        f"search: {{with: predictor, trials: 12, epochs: {short}}}": "half of the epochs rank networks",
        "finalists: {top: 2, seeds: [0, 1]}": "trained again at full length; the best mean becomes the base",
        f"scale: {{factor: 2, trials: 8, epochs: {short}, tolerance: 2%}}": "twice the MACs per unit of φ",
        "family: {phi: [0, 1, 2]}": "the members to train",
        f"compare: [{', '.join(compared)}]": "hand-built networks of half to eight times the budget",
        f"recipe: {{base: {recipe}, epochs: {epochs}}}": f"about {epochs * train:,} images seen in a training",
        "seeds: [0]": "more of them tell how sure the results are",
        f"ray: {{cpus_per_trial: 1, gpus_per_trial: {min(1, gpus)}}}": machine,
    }
    return "\n".join(
        [
            "# yaml-language-server: $schema=study.schema.json",
            f"# Made for {data.name}: {train:,} images for training, {data.classes} classes.",
            "# `scalesearch run study.yaml --dry-run` checks it and estimates the time.",
            *(f"{line:<{COMMENT_COLUMN - 1}} # {comment}" if comment else line for line, comment in lines.items()),
            "",
        ]
    )


def write_starter_files(folder: Path, study: str = "") -> list[Path]:
    """Writes a commented study and space into `folder`, with the JSON Schemas that editors check them with.

    Args:
        folder: Where to write; it is made if it is not there.
        study: The study's text; the example for handwritten digits by default.

    Returns:
        The paths of the files.

    Raises:
        InputError: If one of the files exists; nothing is written then.
    """
    source = files("scalesearch.study").joinpath("start")
    texts = {name: source.joinpath(name).read_text(encoding="utf-8") for name in ("study.yaml", "space.yaml")}
    texts |= {"study.yaml": study} if study else {}
    texts |= {f"{kind}.schema.json": schema_text(kind) for kind in ("study", "space")}
    existing = [name for name in texts if (folder / name).exists()]
    if existing:
        raise InputError("exists; nothing is written over, so nothing was written", str(folder / existing[0]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        save_text(text, folder / name)
    return [folder / name for name in texts]
