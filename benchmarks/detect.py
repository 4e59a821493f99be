"""Boxes: suppressing them and measuring their average precision, against the peers: `python benchmarks/detect.py`.

Suppression against the same done one box after the other in plain torch, as torchvision's documentation has the formula
(its own operator is compiled, and runs where that is). Average precision against faster-coco-eval and pycocotools
(`pip install faster-coco-eval pycocotools`), which must give the same numbers. Training and detection of YOLOv8n
against Ultralytics' trainer and `predict` (`pip install ultralytics-opencv-headless`) on the same made-up photos, at
the same resolution and batch, both with mosaics, in one process without workers; epochs after the first one, and
rounds in turn after the first one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

import scalesearch as ss
from scalesearch.network.suppressing import nms_indices, non_max_suppression, overlap
from scalesearch.statistics.detection import Boxes, average_precision


def seconds(run: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return median(times)


def one_by_one(boxes: torch.Tensor, classes: torch.Tensor, iou: float) -> torch.Tensor:
    """Boxes with the likeliest first: take the first, drop what it covers, and so on. Classes stand apart by an
    offset."""
    apart = boxes.double() + classes[:, None].double() * (boxes.max() + 1)
    left, kept = torch.arange(len(boxes)), []
    while len(left):
        kept.append(left[0])
        left = left[1:][overlap(apart[left[:1]], apart[left[1:]])[0] <= iou]
    return torch.stack(kept)


def candidates(count: int, seed: int, side: float = 640.0) -> tuple[torch.Tensor, torch.Tensor]:
    """As detectors give them: many around each of some things."""
    rng = torch.Generator().manual_seed(seed)
    things = torch.rand(max(1, count // 40), 2, generator=rng) * side
    centre = things[torch.randint(len(things), (count,), generator=rng)] + torch.randn(count, 2, generator=rng) * 6
    size = torch.rand(count, 2, generator=rng) * 60 + 20
    return torch.cat([centre - size / 2, centre + size / 2], 1), torch.randint(80, (count,), generator=rng) // 16


def suppression(rounds: int) -> None:
    print("| suppression | ours | one by one | one by one / ours | equal |\n|---|---|---|---|---|")
    for count in (1_000, 10_000):
        boxes, classes = candidates(count, 0)
        same = torch.equal(nms_indices(boxes, classes, 0.7), one_by_one(boxes, classes, 0.7))
        ours = seconds(lambda: nms_indices(boxes, classes, 0.7), rounds)  # noqa: B023  # called at once
        theirs = seconds(lambda: one_by_one(boxes, classes, 0.7), rounds)  # noqa: B023
        print(row(f"{count:,} boxes", ours, theirs, same), flush=True)
    every = [candidates(8_400, seed) for seed in range(64)]
    boxes = torch.stack([b for b, _ in every])
    likely = torch.rand(64, 8_400, generator=torch.Generator().manual_seed(0)) ** 6
    scores = torch.zeros(64, 8_400, 80).scatter_(2, torch.stack([c for _, c in every])[..., None], likely[..., None])

    def theirs_() -> list[torch.Tensor]:
        found = []
        for own, of in zip(boxes, scores):
            best, classes = of.max(1)
            rows = (best > 0.25).nonzero().flatten()
            rows = rows[best[rows].argsort(descending=True, stable=True)]
            found.append(own[rows[one_by_one(own[rows], classes[rows], 0.7)[:300]]])
        return found

    same = all(torch.equal(a.boxes, b) for a, b in zip(non_max_suppression(boxes, scores), theirs_()))
    ours, theirs = seconds(lambda: non_max_suppression(boxes, scores), rounds), seconds(theirs_, max(1, rounds // 3))
    print(row("64 images of 8,400 boxes", ours, theirs, same), flush=True)


def row(what: str, ours: float, theirs: float, same: bool) -> str:
    return f"| {what} | {ours * 1e3:.1f} ms | {theirs * 1e3:.1f} ms | {theirs / ours:.1f} | {'yes' if same else 'NO'} |"


def found_boxes(images: int, classes: int) -> tuple[Boxes, Boxes]:
    rng = np.random.default_rng(0)
    count = 7 * images
    box = np.concatenate([rng.uniform(0, 500, (count, 2)), np.exp(rng.uniform(2, 6, (count, 2)))], 1)
    image, class_ = rng.integers(0, images, count), rng.integers(0, classes, count)
    truth = Boxes(image, class_, box, crowd=rng.random(count) < 0.01, area=box[:, 2] * box[:, 3] * 0.7)
    near = rng.integers(0, count, 100 * images)
    moved = box[near] * (1 + rng.normal(0, 0.1, (len(near), 4)))
    return truth, Boxes(
        image[near],
        np.where(rng.random(len(near)) < 0.3, rng.integers(0, classes, len(near)), class_[near]),
        moved,
        score=rng.random(len(near)),
    )


def precision(images: int, classes: int) -> None:
    truth, found = found_boxes(images, classes)
    start = time.perf_counter()
    ours = average_precision(truth, found)
    took = time.perf_counter() - start
    print(f"\n| average precision: {images:,} images, {len(found.image):,} boxes found | seconds | of ours | AP |")
    print(f"|---|---|---|---|\n| ours | {took:.2f} | 1.0 | {ours.ap:.6f} |")
    for name, module in (("faster-coco-eval", "faster_coco_eval"), ("pycocotools", "pycocotools")):
        if importlib.util.find_spec(module):
            ap, theirs = peer(module, truth, found)
            print(f"| {name} | {theirs:.2f} | {theirs / took:.1f} | {ap:.6f} |", flush=True)


def peer(module: str, truth: Boxes, found: Boxes) -> tuple[float, float]:
    """AP, and seconds to evaluate and accumulate; boxes are handed over beforehand."""
    if module == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval import COCO, COCOeval_faster as COCOeval
    assert truth.crowd is not None
    assert truth.area is not None
    assert found.score is not None
    data = {
        "images": [{"id": int(i)} for i in np.unique(truth.image)],
        "categories": [{"id": int(c)} for c in np.unique(truth.class_)],
        "annotations": [
            {
                "id": n + 1,
                "image_id": int(i),
                "category_id": int(c),
                "bbox": b.tolist(),
                "area": float(a),
                "iscrowd": int(w),
            }
            for n, (i, c, b, a, w) in enumerate(zip(truth.image, truth.class_, truth.box, truth.area, truth.crowd))
        ],
    }
    results = [
        {"image_id": int(i), "category_id": int(c), "bbox": b.tolist(), "score": float(s)}
        for i, c, b, s in zip(found.image, found.class_, found.box, found.score)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        own = COCO()
        own.dataset = data
        own.createIndex()
        done = COCOeval(own, own.loadRes(results), "bbox")
        start = time.perf_counter()
        done.evaluate()
        done.accumulate()
        took = time.perf_counter() - start
        done.summarize()
    return float(done.stats[0]), took


def photos(folder: Path, count: int, sides: tuple[int, int] = (640, 480)) -> Path:
    """Photos of rectangles on noise as JPEGs, with YOLO's labels."""
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 120, (24, 32, 3), np.uint8)).resize(sides)
        pixels, lines = np.array(coarse), []
        for _ in range(8):
            class_, (wide, high) = int(rng.integers(3)), rng.integers(24, 160, 2)
            x, y = rng.integers(0, sides[0] - wide), rng.integers(0, sides[1] - high)
            pixels[y : y + high, x : x + wide, class_] = 230
            lines.append(
                f"{class_} {(x + wide / 2) / sides[0]} {(y + high / 2) / sides[1]} {wide / sides[0]} {high / sides[1]}"
            )
        Image.fromarray(pixels).save(folder / "images" / f"{i:04}.jpg", quality=90)
        (folder / "labels" / f"{i:04}.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images\nval: images\nnames: [a, b, c]\n")
    return folder


def training(folder: Path, side: int, batch: int) -> None:
    from scalesearch.data.sources import source
    from scalesearch.training.trainer import Trainer
    from scalesearch.trials import RECIPES, TASKS

    recipe = replace(RECIPES["detect"], epochs=4, batch_size=batch, plain_end=0.0, precision="fp32")
    trainer = Trainer(
        ss.load("yolov8n", resolution=side, classes=3),
        source({"source": str(folder), "test": 0.01, "val": 0.01}, side),
        recipe,
        0,
        task=TASKS["detection"],
    )
    type(trainer).validation_interval = 100  # type: ignore[assignment,method-assign]  # the peer doesn't validate either
    trainer.run_epoch()
    took = []
    for _ in range(2):
        start = time.perf_counter()
        trainer.run_epoch()
        took.append((time.perf_counter() - start) / (trainer.steps_per_epoch * batch))
    ours = 1 / median(took)
    print(f"\n| training YOLOv8n, {side} pixels, batches of {batch} | images a second | of theirs |\n|---|---|---|")
    theirs = trained_by_ultralytics(folder, side, batch)
    print(f"| ours | {ours:.1f} | {ours / theirs:.2f} |\n| Ultralytics' | {theirs:.1f} | 1.00 |", flush=True)


def let_torchvision_in() -> None:
    """Beside a torch for CPUs its compiled operators don't load; declared, they are no obstacle, and Ultralytics
    suppresses boxes in plain torch."""
    with contextlib.suppress(RuntimeError):
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from ultralytics.utils import nms

    nms.sys = SimpleNamespace(modules={})


def trained_by_ultralytics(folder: Path, side: int, batch: int) -> float:
    from ultralytics import YOLO

    times: list[float] = []
    model = YOLO("yolov8n.yaml", verbose=False)
    model.add_callback("on_train_epoch_start", lambda trainer: times.append(time.perf_counter()))
    model.add_callback("on_train_epoch_end", lambda trainer: times.append(time.perf_counter()))
    with quiet():
        model.train(
            data=str(folder / "data.yaml"),
            imgsz=side,
            batch=batch,
            epochs=3,
            device="cpu",
            workers=0,
            val=False,
            plots=False,
            amp=False,
            cache="ram",
            close_mosaic=0,
            save=False,
            verbose=False,
            project=str(folder / "runs"),
        )
    return len(list((folder / "images").iterdir())) / median(b - a for a, b in zip(times[2::2], times[3::2]))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
    logging.disable(logging.NOTSET)


def detection(folder: Path, side: int, batch: int) -> None:
    """Both with the same untrained weights, whose scores are spread so that there is something to suppress."""
    from ultralytics import YOLO

    from scalesearch.network.modules import build
    from scalesearch.weights.detecting import detect
    from scalesearch.weights.loading import load_weights
    from scalesearch.weights.predicting import find
    from scalesearch.zoo.published_figures import Preprocessing

    torch.manual_seed(0)
    peer = YOLO("yolov8n.yaml", verbose=False)
    for branch in peer.model.model[-1].cv3:
        branch[-1].bias.data.fill_(-3.0)
    weights = folder / "weights.pt"
    torch.save(peer.model.state_dict(), weights)
    model = build(ss.load("yolov8n", resolution=side))
    load_weights(model, str(weights))
    prepare = Preprocessing(side, side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    found = find((folder / "images",))
    count = len(found.in_folders)
    options = {"imgsz": side, "batch": batch, "device": "cpu", "verbose": False, "save": False, "rect": False}
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    with quiet():
        for _ in range(6):  # in turn, as a machine's speed drifts; the first of each is for warming up
            times["ours"].append(seconds(lambda: list(detect(model, found, prepare, batch=batch)), 1) / count)
            times["theirs"].append(
                seconds(lambda: list(peer.predict(str(folder / "images"), stream=True, **options)), 1) / count
            )
    ours, theirs = (median(each[1:]) for each in times.values())
    print(f"\n| detecting in {count} photos, {side} pixels, batches of {batch} | images a second | of theirs |")
    print(
        f"|---|---|---|\n| ours | {1 / ours:.1f} | {theirs / ours:.2f} |\n| Ultralytics' | {1 / theirs:.1f} | 1.00 |",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--images", type=int, default=2_000)
    options.add_argument("--classes", type=int, default=80)
    options.add_argument("--photos", type=int, default=100)
    options.add_argument("--side", type=int, default=160)
    options.add_argument("--batch", type=int, default=8)
    given = options.parse_args()
    torch.set_num_threads(1)
    suppression(given.rounds)
    precision(given.images, given.classes)
    if not importlib.util.find_spec("ultralytics"):
        print("\nskipped: training and detection; pip install ultralytics-opencv-headless")
        return
    let_torchvision_in()
    with tempfile.TemporaryDirectory() as there:
        os.environ["SCALESEARCH_CACHE"] = there
        folder = photos(Path(there) / "photos", given.photos)
        training(folder, given.side, given.batch)
        detection(folder, 2 * given.side, given.batch)


if __name__ == "__main__":
    main()
