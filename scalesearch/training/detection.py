"""How detectors learn: the losses of their heads, average precision, thresholds by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from scalesearch.arch import Arch
from scalesearch.errors import InputError
from scalesearch.network import AP_SETTINGS, Decode, Network, Outputs, decoder, non_max_suppression
from scalesearch.plain_data import PlainDict
from scalesearch.statistics import (
    Boxes as Rows,
    average_precision,
    best_thresholds,
    bootstrap_samples,
    compare_resamples,
    confusion,
    f1_curves,
    image_counts,
)
from scalesearch.training.anchors import with_fitted_anchors
from scalesearch.training.augmenting import Moves
from scalesearch.training.box_targets import Boxes
from scalesearch.training.detector_losses import yolo_loss, yolov8_loss
from scalesearch.trials import Recipe

T = TypeVar("T")

LOSSES = {"yolov8": yolov8_loss, "yolo": yolo_loss}
OBJECTS = 5.0  # that an image has, about: what a network that knows nothing should say
FLAT = 0.01  # standard deviation of a head's weights at first
USUAL = 640  # pixels of the side of such an image
MATCHED = 0.5  # overlap from which a found box is a true one, in the confusion matrix and for thresholds
SAMPLES = 200  # of the images, for the interval of the average precision
PICTURES = 3  # of the worst and of the best images
MOST_SHOWN = 100  # classes up to which it is kept which are taken for which


class Kept(NamedTuple):
    """The boxes, scores and classes found in each image of a part of a split, and the part's summed loss.

    Corners are shares of the image's letterbox."""

    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    loss: float


class DetectionLearner:
    """Learns boxes and their classes by the loss of the head."""

    def check(self, arch: Arch) -> None:
        """Raises `InputError` for a head that no loss is known for."""
        head = arch.head
        if head.kind not in LOSSES or head.get("boxes", "yolo") != "yolo" or head.get("new_coords", False):
            raise InputError(
                f"{arch.name} has a head that is read but not trained here ({head.kind}); trained are "
                "yolov8, and yolo as YOLOv3 has it",
                "head",
            )

    def fitted(self, arch: Arch, labels: Boxes) -> Arch:
        """Returns the network with anchors fitted to the boxes (k-means; Redmon & Farhadi 2018, YOLOv3, §2.3)."""
        if arch.head.kind != "yolo":
            return arch
        return arch.with_(head=with_fitted_anchors(arch.head, labels, arch.sides))

    def initialise(self, model: Network) -> None:
        """Sets the head's biases so that it finds hardly any box at first, as most places have none.

        A head with anchors starts with small weights too: its sizes are exponentials, which would run away.
        Source: Lin et al. (2017), Focal Loss, §4.1.
        """
        head, decoder = model.arch.head, _decoder(model.arch, "cpu")
        classes, pixels = model.arch.classes, math.prod(model.arch.sides)
        named = dict(model.head.named_modules())
        for i, (h, w) in enumerate(decoder.maps):
            odds = min(0.5, OBJECTS * pixels / (h * w) / USUAL**2)
            with torch.no_grad():
                if head.kind == "yolov8":
                    named[f"score.{i}.predict"].bias.fill_(math.log(odds / classes))
                    named[f"box.{i}.predict"].bias.fill_(1.0)
                elif predict := named.get(f"predict.{i}"):
                    predict.weight.normal_(std=FLAT)
                    values = predict.bias.view(len(head.get("masks")[i]), -1)
                    values.zero_()
                    values[:, 4], values[:, 5:] = math.log(odds), math.log(0.6 / max(0.61, classes - 0.99))

    def labels(self, raw: Any) -> Boxes:
        """Returns the boxes of every image as padded tensors."""
        return Boxes.of(raw)

    def importance(self, labels: Boxes) -> torch.Tensor:
        """Returns the weights `(N,)` of images with which all classes count alike: means over boxes; 1 on average."""
        real = labels.real
        counted = torch.bincount(labels.classes[real], minlength=1).float()
        each = torch.where(real, (1 / counted.clamp(min=1))[labels.classes.clamp(min=0)], 0.0)
        mean = each.sum(1) / real.sum(1).clamp(min=1)
        mean = torch.where(real.any(1), mean, mean[real.any(1)].mean() if real.any() else 1.0)
        return mean / mean.mean()

    def loss(
        self, arch: Arch, out: Outputs, labels: Boxes, recipe: Recipe, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns the loss of the head for a batch, a scalar; `weights` `(N,)` weigh its images."""
        device = labels.boxes.device
        high, wide = arch.sides
        truth = labels.boxes * torch.tensor([wide, high, wide, high], device=device, dtype=labels.boxes.dtype)
        out = [out] if isinstance(out, torch.Tensor) else out
        return LOSSES[arch.head.kind](_decoder(arch, str(device)), out, truth, labels.classes, labels.real, weights)

    def distillation_loss(self, out: Outputs, teacher_out: Outputs) -> torch.Tensor:
        """Raises `InputError`: detectors learn from boxes alone."""
        raise InputError("a detector learns from boxes alone; leave `distill` out", "distill")

    def moved(self, labels: Boxes, moves: Moves) -> Boxes:
        """Returns the boxes moved as their images were."""
        return labels.moved(moves)

    def mixed(self, labels: Boxes, order: torch.Tensor, share: torch.Tensor) -> Boxes:
        """Returns the boxes of both images of every blend."""
        return labels.merge_with(order)

    def kept(self, arch: Arch, out: Outputs, labels: Boxes, recipe: Recipe) -> Kept:
        """Returns the boxes found in a part of a split, cut off at the photo's edges, and its summed loss."""
        out = [out] if isinstance(out, torch.Tensor) else out
        boxes, scores = _decoder(arch, str(labels.boxes.device))([part.float() for part in out])
        high, wide = arch.sides
        boxes = boxes / torch.tensor([wide, high, wide, high], device=boxes.device)
        found = non_max_suppression(boxes, scores, **AP_SETTINGS)
        cut = [
            torch.minimum(torch.maximum(f.boxes, photo[:2].repeat(2)), photo[2:].repeat(2))
            for f, photo in zip(found, labels.photo)
        ]
        return Kept(
            [(own.cpu().numpy(), f.scores.cpu().numpy(), f.classes.cpu().numpy()) for own, f in zip(cut, found)],
            self.loss(arch, out, labels, recipe).item() * len(labels),
        )

    def metrics(self, parts: Sequence[Kept], labels: Boxes) -> dict[str, float]:
        """Returns COCO's average precision, that at an overlap of 0.5, and the mean loss of an image."""
        found = average_precision(*_as_rows(parts, labels))

        def whole(value: float) -> float:
            return value if math.isfinite(value) else 0.0

        return {
            "ap": whole(found.ap),
            "ap50": whole(found.ap50),
            "loss": sum(p.loss for p in parts) / max(1, len(labels)),
        }

    def details(self, parts: Sequence[Kept], labels: Boxes) -> tuple[dict[str, float], PlainDict]:
        """Returns further scores (average precision at an overlap of 0.75 and by size, recall, best F1), and what is
        written down of a finished detector.

        That is, by class: average precision, the best threshold with its F1, precision at every recall, F1 at every
        confidence; the confusion matrix at the best threshold over all classes, its last row and column standing for
        no box; and the boxes of some images, worst and best.
        """
        truth, found = _as_rows(parts, labels)
        measured, best = average_precision(truth, found), best_thresholds(truth, found, MATCHED)
        drawn = bootstrap_samples(truth, found, sum(len(part.found) for part in parts), SAMPLES)
        spread = compare_resamples(drawn)
        scores = {
            "ap75": measured.ap75,
            "ap_small": measured.ap_small,
            "ap_medium": measured.ap_medium,
            "ap_large": measured.ap_large,
            "recall": measured.recall[100],
            "f1": best.all.f1,
        }
        classes = int(max(truth.class_.max(initial=0), found.class_.max(initial=0))) + 1

        def by_class(values: Mapping[int, T]) -> list[T | None]:
            return [values.get(c) for c in range(classes)]

        report: PlainDict = {
            "ap": by_class(measured.by_class),
            "ap50": by_class(measured.by_class_50),
            "threshold": by_class({c: row.threshold for c, row in best.by_class.items()}),
            "f1": by_class({c: row.f1 for c, row in best.by_class.items()}),
            "curves": by_class({c: [round(float(v), 4) for v in curve] for c, curve in measured.curves_50.items()}),
            "f1_curves": by_class(
                {c: list(map(_short, curve)) for c, curve in f1_curves(truth, found, MATCHED).items()}
            ),
            "interval": [spread.low, spread.high],
            "resampled": list(map(_short, drawn.tolist())),
            "confusion_threshold": best.all.threshold,
            "shown": _shown(truth, found, parts, labels, best.all.threshold),
        }
        if classes <= MOST_SHOWN:
            report["confusion"] = confusion(truth, found, classes, best.all.threshold, MATCHED).tolist()
        return {name: value for name, value in scores.items() if math.isfinite(value)}, report


@lru_cache(maxsize=64)
def _decoder(arch: Arch, device: str) -> Decode:
    return decoder(arch).to(device)


def _as_rows(parts: Sequence[Kept], labels: Boxes) -> tuple[Rows, Rows]:
    """True and found boxes in pixels of their photos."""
    extent = labels.extent.cpu().numpy().astype(float)
    image, column = (labels.classes >= 0).nonzero(as_tuple=True)

    def rows(t: torch.Tensor) -> np.ndarray:
        return t[image, column].cpu().numpy()

    number = image.cpu().numpy()
    truth = Rows(
        number,
        rows(labels.classes),
        _pixels(rows(labels.boxes), extent[number]),
        crowd=rows(labels.crowd),
        area=rows(labels.area),
    )
    each = [of for part in parts for of in part.found]
    of_image = np.repeat(np.arange(len(each)), [len(scores) for _, scores, _ in each])
    boxes, scores, classes = (np.concatenate([of[i] for of in each]) if each else np.zeros(0) for i in range(3))
    return truth, Rows(of_image, classes, _pixels(boxes, extent[of_image]), scores)


def _pixels(corners: np.ndarray, extent: np.ndarray) -> np.ndarray:
    low, high = corners[:, :2] * extent, corners[:, 2:] * extent
    return np.concatenate([low, high - low], 1)


def _shown(truth: Rows, found: Rows, parts: Sequence[Kept], labels: Boxes, threshold: float) -> list[PlainDict]:
    """The images on which a network does worst and best, by F1, of those with boxes: their true and found boxes as
    shares of the letterbox."""
    each = [of for part in parts for of in part.found]
    right, tried, wanted = image_counts(truth, found, len(each), threshold, MATCHED)
    worth = 2 * right / np.maximum(1, tried + wanted)
    order = np.flatnonzero(wanted)[np.argsort(worth[wanted > 0], kind="stable")].tolist()
    chosen = list(dict.fromkeys([*order[:PICTURES], *order[::-1][:PICTURES]]))
    shown = []
    for i in chosen:
        there = labels.classes[i] >= 0
        boxes, scores, classes = (values[each[i][1] >= threshold] for values in each[i])
        shown.append(
            {
                "image": i,
                "f1": round(float(worth[i]), 4),
                "truth": [
                    [c, *map(_short, box)]
                    for c, box in zip(labels.classes[i][there].tolist(), labels.boxes[i][there].tolist())
                ],
                "found": [
                    [c, round(s, 3), *map(_short, box)]
                    for c, s, box in zip(classes.tolist(), scores.tolist(), boxes.tolist())
                ],
            }
        )
    return shown


def _short(value: float) -> float:
    return round(value, 4)
