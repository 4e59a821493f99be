"""Training against plain PyTorch loops, side by side: `SCALESEARCH_DATA=… python benchmarks/train.py`.

The network is ResNet-20 on CIFAR-10, batches of 128, crops, mirroring and erasing. The plain loops take the same
network and optimiser, and torchvision's transforms an image at a time: in the process, and with DataLoader workers.
Then: what share of a step is spent on images, and of an epoch on validation; how many photos a second are decoded on
the way to a first epoch, against torchvision's ImageFolder and DataLoader with as many workers as cores; how long a
later trial takes to start.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import scalesearch as ss
from scalesearch.arch import adapt
from scalesearch.data.sources import data_set, load, source
from scalesearch.training.trainer import Trainer
from scalesearch.trials.recipe import RECIPES

_library = torch.library.Library("torchvision", "FRAGMENT")  # its operators don't load beside CPU torch; none is needed
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _library.define(f"{_name}(Tensor a, Tensor b, float c) -> Tensor")

from torchvision import datasets, transforms  # noqa: E402

BATCH, MEAN, STD = 128, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class Plain(Dataset):
    """CIFAR-10 as torchvision holds it: arrays, each made a PIL image and transformed when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
                transforms.RandomErasing(0.25),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])


def plain_steps(data: Plain, workers: int, device: torch.device) -> Iterator[None]:
    """A step at a time, as people write it."""
    model = ss.build(adapt(ss.load("resnet20_cifar"), resolution=32, classes=10, channels=3)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    while True:
        for images, labels in DataLoader(data, BATCH, shuffle=True, num_workers=workers, drop_last=True):
            optimizer.zero_grad()
            loss(model(images.to(device)), labels.to(device)).backward()
            optimizer.step()
            yield


def our_steps(trainer: Trainer) -> Iterator[None]:
    trainer.model.train()
    while True:
        for batch in torch.randperm(len(trainer.train_labels)).split(BATCH):
            if len(batch) == BATCH:
                trainer._step(batch)
                yield


def paced(steps: Iterator[None], count: int) -> float:
    """Images a second."""
    began = time.perf_counter()
    for _ in range(count):
        next(steps)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count * BATCH / (time.perf_counter() - began)


def seconds(work: Callable[[], Any], times: int) -> float:
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def training(rounds: int, count: int, device: torch.device) -> list[dict[str, Any]]:
    facts = source("cifar10", 32)
    pixels, labels = load(facts)["train"]
    data = Plain(pixels.store[pixels.rows], labels)
    arch = adapt(ss.load("resnet20_cifar"), resolution=32, classes=10, channels=3)
    trainers = {
        kind: Trainer(arch, facts, replace(RECIPES["cifar"], precision=kind), 0, device.type)
        for kind in ("auto", "fp32")
    }
    ways = {
        f"ours, {trainers['auto'].precision} (auto)": our_steps(trainers["auto"]),
        "ours, fp32": our_steps(trainers["fp32"]),
        "plain loop in the process": plain_steps(data, 0, device),
        "plain loop, 2 workers": plain_steps(data, 2, device),
    }
    pace: dict[str, list[float]] = {name: [] for name in ways}
    for steps in ways.values():
        paced(steps, 3)
    for _ in range(rounds):  # in turn, so that what else the machine does hits all alike
        for name, steps in ways.items():
            pace[name].append(paced(steps, count))
    ours = median(pace[next(iter(pace))])
    rows = [
        {"what": name, "images/s": round(median(found)), "time of ours (auto) / this": round(median(found) / ours, 2)}
        for name, found in pace.items()
    ]
    trainer = trainers["auto"]
    batch = torch.randperm(len(trainer.train_labels))[:BATCH]
    step = seconds(lambda: trainer._step(batch), 20)
    images = seconds(lambda: trainer.augmentation(trainer.split("train").images(batch), 32), 20)
    validation = seconds(lambda: trainer.scores("val"), 1)
    training = step * trainer.steps_per_epoch * trainer.validation_interval
    shares = {"images, of a step": images / step, "validation, of training": validation / (validation + training)}
    return rows + [{"what": what, "share": f"{share:.1%}"} for what, share in shares.items()]


def first_epoch(photos: Path) -> list[dict[str, Any]]:
    """Decoded, brought to 128 pixels and kept, against decoded, brought to 128 pixels and thrown away."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SCALESEARCH_CACHE"] = cache
        began = time.perf_counter()
        opened = data_set(str(photos))
        count = opened.health.images
        read = time.perf_counter() - began
        facts = opened.source(128)
        began = time.perf_counter()
        facts.load()
        decoded = time.perf_counter() - began
        arch = adapt(ss.load("resnet20_cifar"), resolution=128, classes=10, channels=3)
        began = time.perf_counter()
        trainer = Trainer(arch, source(str(photos), 128), RECIPES["imagenet"], 0)
        trainer.split("train").images(torch.arange(BATCH))
        later = time.perf_counter() - began
    prepare = transforms.Compose([transforms.Resize(128), transforms.CenterCrop(128), transforms.PILToTensor()])
    folder = datasets.ImageFolder(str(photos / "train"), prepare)
    began = time.perf_counter()
    seen = sum(len(labels) for _, labels in DataLoader(folder, BATCH, num_workers=cores))
    peer = seen / (time.perf_counter() - began)
    return [
        {
            "what": "ours: decoded and kept",
            "photos/s": round(count / decoded),
            "ours / peer": round(count / decoded / peer, 2),
        },
        {
            "what": "ours: health read and decoded",
            "photos/s": round(count / (read + decoded)),
            "ours / peer": round(count / (read + decoded) / peer, 2),
        },
        {"what": f"torchvision's ImageFolder, {cores} workers", "photos/s": round(peer)},
        {"what": "a later trial starts, seconds", "seconds": round(later, 2)},
    ]


def photos_of(parquet: Path, folder: Path, most: int) -> Path:
    """Imagenette's photos at a size that cameras make, as a folder of JPEGs."""
    import io

    from PIL import Image

    for split, name in (("train", "train"), ("test", "validation")):
        found = data_set(str(parquet / f"{name}.parquet"))
        rows = list(range(0, len(found.index), max(1, len(found.index) // most)))
        for row, file in zip(rows, found.index.store.read(rows)):
            path = folder / split / found.index.labels[row] / f"{row}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            photo = Image.open(io.BytesIO(file)).convert("RGB")
            photo.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def show(rows: list[dict[str, Any]]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    print("| " + " | ".join(keys) + " |\n|" + "---|" * len(keys))
    for row in rows:
        print("| " + " | ".join(str(row.get(key, "")) for key in keys) + " |")
    print()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--steps", type=int, default=20, help="in each round")
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--device", default="cpu")
    options.add_argument("--photos", type=Path, help="a folder with Imagenette's parquet files, for the first epoch")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    tables = [training(given.rounds, given.steps, torch.device(given.device))]
    if given.photos:
        with tempfile.TemporaryDirectory() as folder:
            tables.append(first_epoch(photos_of(given.photos, Path(folder), 3000)))
    if given.json:
        print(json.dumps(tables, indent=1))
        return
    for rows in tables:
        show(rows)


if __name__ == "__main__":
    main()
