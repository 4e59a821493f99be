"""How detectors learn and are scored: the losses of their heads, average precision, thresholds by
class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

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
EXPECTED_OBJECTS = 5.0  # in an image of usual size, about: how many a new network should find
HEAD_STD = 0.01  # standard deviation of the initial weights of a head with anchors
REFERENCE_SIDE = 640  # pixels of a side of such an image
MATCH_IOU = 0.5  # overlap from which a found box counts as true, in the confusion matrix and for thresholds
CHANCE = 0.001  # average precision that boxes at random places reach
BOOTSTRAP_SAMPLES = 200  # bootstrap samples of the images, for the interval of the average precision
EXAMPLES = 3  # images with the worst and with the best results
MAX_CONFUSION_CLASSES = 100  # classes up to which the confusion matrix is saved


class SplitDetections(NamedTuple):
    """What is kept of a detector's outputs for a part of a split.

    Attributes:
        per_image: For each image the boxes `(K, 4)`, corners as shares of the letterbox in [0, 1], scores
            `(K,)` and classes `(K,)` that were found.
        loss: The sum of the images' losses.
    """

    per_image: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    loss: float


class DetectionLearner:
    """Trains and scores detectors by the loss of their head."""

    def check(self, arch: Arch) -> None:
        """Raises `InputError` for a head that cannot be trained."""
        head = arch.head
        if head.kind not in LOSSES or head.get("boxes", "yolo") != "yolo" or head.get("new_coords", False):
            raise InputError(
                f"{arch.name} has a head that is read but not trained here ({head.kind}); trained are "
                "yolov8, and yolo as YOLOv3 has it",
                "head",
            )

    def fit_head(self, arch: Arch, labels: Boxes) -> Arch:
        """Returns the network with anchors fitted to the boxes (k-means; Redmon & Farhadi 2018, YOLOv3, §2.3)."""
        if arch.head.kind != "yolo":
            return arch
        return arch.with_(head=with_fitted_anchors(arch.head, labels, arch.sides))

    def initialise(self, model: Network) -> None:
        """Sets the head's biases so that it finds hardly any box at first, since most places have none.

        A head with anchors gets small weights too: its box sizes are exponentials, which would overflow.
        Source: Lin et al. (2017), Focal Loss, §4.1.
        """
        head, decode = model.arch.head, _decoder(model.arch, "cpu")
        classes, pixels = model.arch.classes, math.prod(model.arch.sides)
        modules = dict(model.head.named_modules())
        for i, (h, w) in enumerate(decode.maps):
            odds = min(0.5, EXPECTED_OBJECTS * pixels / (h * w) / REFERENCE_SIDE**2)
            with torch.no_grad():
                if head.kind == "yolov8":
                    modules[f"score.{i}.predict"].bias.fill_(math.log(odds / classes))
                    modules[f"box.{i}.predict"].bias.fill_(1.0)
                elif predict := modules.get(f"predict.{i}"):
                    predict.weight.normal_(std=HEAD_STD)
                    values = predict.bias.view(len(head.get("masks")[i]), -1)
                    values.zero_()
                    values[:, 4], values[:, 5:] = math.log(odds), math.log(0.6 / max(0.61, classes - 0.99))

    def labels(self, raw: object) -> Boxes:
        """Returns the boxes of every image as padded tensors."""
        return Boxes.of(raw)

    def importance(self, labels: Boxes) -> torch.Tensor:
        """Returns weights `(N,)` of images, each the mean over its boxes of weights that give all classes the
        same total; 1 on average.
        """
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
        decode = _decoder(arch, str(labels.boxes.device))
        truth = labels.boxes * decode.input_size(labels.boxes).repeat(2)
        out = [out] if isinstance(out, torch.Tensor) else out
        return LOSSES[arch.head.kind](decode, out, truth, labels.classes, labels.real, weights)

    def distillation_loss(self, out: Outputs, teacher_out: Outputs) -> torch.Tensor:
        """Raises `InputError`: detectors learn from boxes alone."""
        raise InputError("a detector learns from boxes alone; leave `distill` out", "distill")

    def move_labels(self, labels: Boxes, moves: Moves) -> Boxes:
        """Returns the boxes moved as their images were."""
        return labels.moved(moves)

    def mix_labels(self, labels: Boxes, order: torch.Tensor, share: torch.Tensor) -> Boxes:
        """Returns the boxes of both images of every blend."""
        return labels.merge_with(order)

    def predictions(self, arch: Arch, out: Outputs, labels: Boxes, recipe: Recipe) -> SplitDetections:
        """Returns the boxes found in a part of a split, clipped to the photo inside the letterbox, and the
        part's summed loss.
        """
        out = [out] if isinstance(out, torch.Tensor) else out
        decode, per_image = _decoder(arch, str(labels.boxes.device)), []
        boxes, scores = decode([part.float() for part in out])
        results = non_max_suppression(boxes / decode.input_size(boxes).repeat(2), scores, **AP_SETTINGS)
        for result, photo in zip(results, labels.photo):
            corners = torch.minimum(torch.maximum(result.boxes, photo[:2].repeat(2)), photo[2:].repeat(2))
            per_image.append((corners.cpu().numpy(), result.scores.cpu().numpy(), result.classes.cpu().numpy()))
        return SplitDetections(per_image, self.loss(arch, out, labels, recipe).item() * len(labels))

    def metrics(self, parts: Sequence[SplitDetections], labels: Boxes) -> dict[str, float]:
        """Returns COCO's average precision, that at an overlap of 0.5, and the mean loss of an image."""
        precision = average_precision(*_as_rows(parts, labels))

        scores = {"ap": precision.ap, "ap50": precision.ap50}
        finite = {name: value if math.isfinite(value) else 0.0 for name, value in scores.items()}
        return {**finite, "loss": sum(part.loss for part in parts) / max(1, len(labels))}

    def chance(self, labels: Boxes) -> float:
        """Returns the average precision below which no box was really found."""
        return CHANCE

    def details(self, parts: Sequence[SplitDetections], labels: Boxes) -> tuple[dict[str, float], PlainDict]:
        """Returns further scores, and the details that are saved of a finished detector.

        The scores are average precision at an overlap of 0.75 and by size, recall, and the best F1. The details
        are, by class: average precision, the best threshold with its F1, precision at every recall, F1 at every
        confidence; the confusion matrix at the best threshold over all classes, whose last row and column stand
        for no box; the interval of the average precision from bootstrap samples; and the boxes of the images with
        the worst and the best F1.
        """
        truth, detections = _as_rows(parts, labels)
        precision, thresholds = average_precision(truth, detections), best_thresholds(truth, detections, MATCH_IOU)
        resampled = bootstrap_samples(truth, detections, sum(len(part.per_image) for part in parts), BOOTSTRAP_SAMPLES)
        interval = compare_resamples(resampled)
        curves = f1_curves(truth, detections, MATCH_IOU)
        scores = {name: getattr(precision, name) for name in ("ap75", "ap_small", "ap_medium", "ap_large")}
        scores |= {"recall": precision.recall[100], "f1": thresholds.all.f1}
        classes = int(max(truth.class_.max(initial=0), detections.class_.max(initial=0))) + 1

        def by_class(values: Mapping[int, T]) -> list[T | None]:
            return [values.get(c) for c in range(classes)]

        report: PlainDict = {
            "ap": by_class(precision.by_class),
            "ap50": by_class(precision.by_class_50),
            "threshold": by_class({c: row.threshold for c, row in thresholds.by_class.items()}),
            "f1": by_class({c: row.f1 for c, row in thresholds.by_class.items()}),
            "curves": by_class({c: [round(float(v), 4) for v in curve] for c, curve in precision.curves_50.items()}),
            "f1_curves": by_class({c: list(map(_round4, curve)) for c, curve in curves.items()}),
            "interval": [interval.low, interval.high],
            "resampled": list(map(_round4, resampled.tolist())),
            "confusion_threshold": thresholds.all.threshold,
            "shown": _example_images(truth, detections, parts, labels, thresholds.all.threshold),
        }
        if classes <= MAX_CONFUSION_CLASSES:
            report["confusion"] = confusion(truth, detections, classes, thresholds.all.threshold, MATCH_IOU).tolist()
        return {name: value for name, value in scores.items() if math.isfinite(value)}, report


@lru_cache(maxsize=64)
def _decoder(arch: Arch, device: str) -> Decode:
    return decoder(arch).to(device)


def _as_rows(parts: Sequence[SplitDetections], labels: Boxes) -> tuple[Rows, Rows]:
    """Returns the true and the found boxes of a split, in pixels of their photos."""
    extent = labels.extent.cpu().numpy().astype(float)
    image, column = (labels.classes >= 0).nonzero(as_tuple=True)

    def rows(values: torch.Tensor) -> np.ndarray:
        return values[image, column].cpu().numpy()

    number = image.cpu().numpy()
    true_boxes = _pixels(rows(labels.boxes), extent[number])
    truth = Rows(number, rows(labels.classes), true_boxes, crowd=rows(labels.crowd), area=rows(labels.area))
    per_image = [result for part in parts for result in part.per_image]
    of_image = np.repeat(np.arange(len(per_image)), [len(scores) for _, scores, _ in per_image])
    boxes, scores, classes = (
        np.concatenate([result[i] for result in per_image]) if per_image else np.zeros(0) for i in range(3)
    )
    return truth, Rows(of_image, classes, _pixels(boxes, extent[of_image]), scores)


def _pixels(corners: np.ndarray, extent: np.ndarray) -> np.ndarray:
    low, high = corners[:, :2] * extent, corners[:, 2:] * extent
    return np.concatenate([low, high - low], 1)


def _example_images(
    truth: Rows, detections: Rows, parts: Sequence[SplitDetections], labels: Boxes, threshold: float
) -> list[PlainDict]:
    """Returns the images with boxes on which a detector has the worst and the best F1.

    Each has its true and its found boxes, corners as shares of the letterbox.
    """
    per_image = [result for part in parts for result in part.per_image]
    true_positives, predicted, actual = image_counts(truth, detections, len(per_image), threshold, MATCH_IOU)
    f1 = 2 * true_positives / np.maximum(1, predicted + actual)
    order = np.flatnonzero(actual)[np.argsort(f1[actual > 0], kind="stable")].tolist()
    examples = []
    for i in dict.fromkeys([*order[:EXAMPLES], *order[::-1][:EXAMPLES]]):
        real = labels.classes[i] >= 0
        true_boxes = zip(labels.classes[i][real].tolist(), labels.boxes[i][real].tolist())
        boxes, scores, classes = (values[per_image[i][1] >= threshold].tolist() for values in per_image[i])
        examples.append(
            {
                "image": i,
                "f1": round(float(f1[i]), 4),
                "truth": [[c, *map(_round4, box)] for c, box in true_boxes],
                "found": [[c, round(s, 3), *map(_round4, box)] for c, s, box in zip(classes, scores, boxes)],
            }
        )
    return examples


def _round4(value: float) -> float:
    return round(value, 4)
