"""Accuracy after so many minutes of training on this machine's cores, ours beside the others':
`SCALESEARCH_DATA=… python benchmarks/minutes.py --minutes 1 3 10`.

The same network and the same training images of CIFAR-10, all cores, each way with the schedule that fits into the
minutes: its pace is measured first, for some seconds that do not count. Ours under the recipe `cifar`; a plain loop
with the usual recipe (SGD with Nesterov's momentum, rate 0.1 for batches of 128, a cosine, crops by four pixels and
flips, torchvision's transforms, two workers); fastai's one-cycle with its defaults; Ultralytics' trainer for
classifiers with its defaults, from a folder of PNG files. fastai and Ultralytics are left out where they are not
installed. Accuracy is of the validation split, which none of them trains on; its time does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import scalesearch as ss
from scalesearch.arch import adapt
from scalesearch.data.sources import load, source
from scalesearch.training.trainer import Trainer
from scalesearch.trials.recipe import RECIPES

_library = torch.library.Library("torchvision", "FRAGMENT")  # its operators don't load beside CPU torch; none is needed
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _library.define(f"{_name}(Tensor a, Tensor b, float c) -> Tensor")

from torchvision import transforms  # noqa: E402

BATCH, MEAN, STD = 128, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PACE_SECONDS = 10.0
FAMILY = Path(__file__).parent.parent / "reports" / "cifar10_phi_cpu.phi0.yaml"
NETWORKS = "resnet20_cifar", "mobilenet_v2_x0_5_cifar", str(FAMILY)


class Plain(Dataset):
    """Images in memory, each made a PIL image and transformed when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels
        crop, flip = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
        self.transform = transforms.Compose([crop, flip, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])


def arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = load(source("cifar10", 32))[split]
    return np.asarray(pixels.store[pixels.rows]), np.asarray(labels)


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return ss.build(adapt(ss.load(name), resolution=32, classes=10, channels=3))


@torch.no_grad()
def accuracy(model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> float:
    """Accuracy on the validation split, as shares of its images."""
    images, labels = arrays("val")
    model.eval()
    right = 0
    for start in range(0, len(labels), 500):
        x = torch.from_numpy(images[start : start + 500]).permute(0, 3, 1, 2).float() / 255
        x = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        right += int((model(x).argmax(1).numpy() == labels[start : start + 500]).sum())
    return right / len(labels)


def ours(name: str, minutes: float) -> tuple[float, float]:
    arch, data = adapt(ss.load(name), resolution=32, classes=10, channels=3), source("cifar10", 32)
    recipe = replace(RECIPES["cifar"], epochs=1)
    pacer, steps = Trainer(arch, data, recipe, 0), 0
    began = math.inf

    class Enough(Exception):
        pass

    def after() -> None:
        nonlocal steps, began
        steps += 1
        if steps == 3:
            began = time.perf_counter()
        if time.perf_counter() - began > PACE_SECONDS:
            raise Enough

    with contextlib.suppress(Enough):
        pacer.run_epoch(after)
    images = (steps - 3) * recipe.batch_size / (time.perf_counter() - began) * 60 * minutes
    epochs = max(1, math.ceil(images / data.sizes["train"]))
    share = min(1.0, images / epochs / data.sizes["train"])
    trainer = Trainer(arch, data, replace(recipe, epochs=epochs, data_share=share), 0)
    began, scored = time.perf_counter(), {}
    while not trainer.done:
        scored = trainer.run_epoch()
    return scored["val_accuracy"], time.perf_counter() - began


def plain(name: str, minutes: float) -> tuple[float, float]:
    model, data = network(name), Plain(*arrays("train"))
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)

    def steps(model: nn.Module, count: int | None, seconds: float) -> tuple[int, float]:
        """Trains `count` steps, or for so many seconds after the third; returns the steps after it and their time."""
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count or 1_000)
        done, began = 0, time.perf_counter()
        model.train()
        while True:
            for images, labels in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()
                schedule.step()
                done += 1
                if count is None and done == 3:
                    began = time.perf_counter()
                passed = time.perf_counter() - began
                if done == count or (count is None and passed > seconds and done > 3):
                    return done - (0 if count else 3), passed

    done, passed = steps(network(name), None, PACE_SECONDS)
    _, took = steps(model, max(1, round(done / passed * 60 * minutes)), 0.0)
    return accuracy(model, MEAN, STD), took


def fastai(name: str, minutes: float) -> tuple[float, float]:
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    images, labels = arrays("train")

    def loaders(count: int) -> DataLoaders:
        chosen = np.random.default_rng(0).permutation(len(labels))[:count]
        data = Plain(images[chosen], labels[chosen])
        train = DataLoader(data, BATCH, shuffle=True, num_workers=2, drop_last=True)
        return DataLoaders(train, DataLoader(Plain(images[:BATCH], labels[:BATCH]), BATCH))

    def fit(count: int, epochs: int) -> tuple[nn.Module, float]:
        learner = Learner(loaders(count), network(name), loss_func=nn.CrossEntropyLoss())
        began = time.perf_counter()
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(epochs)  # its default rate, 0.001
        return learner.model, time.perf_counter() - began

    count = 40 * BATCH
    fit(count, 1)
    wanted = count / fit(count, 1)[1] * 60 * minutes
    epochs = max(1, math.ceil(wanted / len(labels)))
    model, took = fit(min(len(labels), round(wanted / epochs)), epochs)
    return accuracy(model, MEAN, STD), took


def ultralytics(name: str, minutes: float) -> tuple[float, float]:
    from PIL import Image
    from ultralytics.models.yolo.classify import ClassificationTrainer
    from ultralytics.nn.tasks import ClassificationModel

    class Shared(ClassificationTrainer):
        """Trains the network that the other ways train."""

        def get_model(self, cfg: object = None, weights: object = None, verbose: bool = True) -> nn.Module:
            model, inner = ClassificationModel("yolov8n-cls.yaml", nc=10, ch=3, verbose=False), network(name)
            inner.i, inner.f, inner.type, inner.np = 0, -1, "network", 0
            model.model, model.save = nn.Sequential(inner), []
            return model

    with tempfile.TemporaryDirectory() as folder:
        for split in ("train", "val"):
            images, labels = arrays(split)
            for i, (image, label) in enumerate(zip(images, labels)):
                path = Path(folder) / "data" / split / str(label) / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
        options = {
            "model": "yolov8n-cls.yaml",
            "data": str(Path(folder) / "data"),
            "imgsz": 32,
            "batch": BATCH,
            "workers": 2,
            "device": "cpu",
            "time": minutes / 60,
            "epochs": 100,
            "pretrained": False,
            "val": False,
            "plots": False,
            "save": False,
            "verbose": False,
            "seed": 0,
            "project": folder,
        }
        trainer = Shared(overrides=options)
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train()
        took = time.perf_counter() - began
        return accuracy(trainer.ema.ema.model[0].float(), (0.0,) * 3, (1.0,) * 3), took


WAYS: dict[str, Callable[[str, float], tuple[float, float]]] = {
    "ours": ours,
    "plain loop": plain,
    "fastai": fastai,
    "ultralytics": ultralytics,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 3, 10])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--log", type=Path, default=Path("reports") / "minutes.jsonl", help="it goes on from there")
    payload = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    lines = map(json.loads, payload.log.read_text().splitlines()) if payload.log.exists() else ()
    found = {tuple(line["key"]): (line["accuracy"], line["seconds"]) for line in lines}
    ways = [way for way in payload.ways if way in ("ours", "plain loop") or importlib.util.find_spec(way)]
    for minutes in payload.minutes:
        for name in payload.networks:
            for way in ways:
                key = (way, Path(name).stem, minutes)
                if key not in found:
                    found[key] = WAYS[way](name, minutes)
                    with open(payload.log, "a") as file:
                        accuracy_, seconds = found[key]
                        row = {"key": key, "accuracy": round(accuracy_, 4), "seconds": round(seconds, 1)}
                        file.write(json.dumps(row) + "\n")
                        print(row, flush=True)
    print(f"\n| network | minutes | {' | '.join(ways)} |")
    print("|---" * (2 + len(ways)) + "|")
    for name in payload.networks:
        for minutes in payload.minutes:
            cells = [f"{found[way, Path(name).stem, minutes][0]:.1%}" for way in ways]
            print(f"| {Path(name).stem} | {minutes:g} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
