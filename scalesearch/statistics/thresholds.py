"""Score thresholds, confusion matrices and bootstrap intervals of detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scalesearch.statistics.detection import Boxes, as_arrays, crowds, match_boxes, overlap, threshold_index

SAMPLES = 1_000
CONFIDENCES = np.linspace(0, 1, 101)


class OperatingPoint(NamedTuple):
    """Holds the score from which boxes are best kept, and the precision, recall and F1 at it."""

    threshold: float
    precision: float
    recall: float
    f1: float


class OperatingPoints(NamedTuple):
    """Holds the operating point over all classes, and one for each class that occurs."""

    all: OperatingPoint
    by_class: Mapping[int, OperatingPoint]


def best_thresholds(truth: Boxes, found: Boxes, iou: float = 0.5) -> OperatingPoints:
    """Returns the scores at which F1 is largest, over all classes and by class.

    Args:
        truth: The true boxes.
        found: The detected boxes, with scores.
        iou: One of `THRESHOLDS`: the overlap with a true box from which a detected one is correct.
    """
    truth, found = as_arrays(truth), as_arrays(found)
    iou_index = threshold_index(iou)
    matched = match_boxes(truth, found)

    def best(rows: np.ndarray, positives: int) -> OperatingPoint:
        counts = ~matched.ignored[0, iou_index, rows]
        correct = (matched.correct[0, iou_index, rows] & counts).cumsum()
        predicted = counts.cumsum()
        f1 = 2 * correct / np.maximum(1, predicted + positives)
        score = matched.score[rows]
        last = np.append(score[1:] < score[:-1], True)[: len(score)]  # equal scores stay or go together
        if not len(rows) or not positives:
            return OperatingPoint(1.0, 0.0, 0.0, 0.0)
        i = int(np.where(last, f1, -1).argmax())
        return OperatingPoint(
            float(score[i]), float(correct[i] / max(1, predicted[i])), float(correct[i] / positives), float(f1[i])
        )

    by_class = {
        class_: best(np.flatnonzero(matched.class_ == class_), int(positives[0]))
        for class_, positives in matched.positives_by_class.items()
    }
    overall = best(np.arange(len(matched.score)), int(sum(w[0] for w in matched.positives_by_class.values())))
    return OperatingPoints(overall, by_class)


def f1_curves(truth: Boxes, found: Boxes, iou: float = 0.5) -> dict[int, np.ndarray]:
    """Returns by class F1 at each of `CONFIDENCES`, where boxes that score below it are left out, `(101,)`.

    `iou` is one of `THRESHOLDS`.
    """
    truth, found = as_arrays(truth), as_arrays(found)
    iou_index = threshold_index(iou)
    matched, curves = match_boxes(truth, found), {}
    for class_, positives in matched.positives_by_class.items():
        rows = np.flatnonzero((matched.class_ == class_) & ~matched.ignored[0, iou_index])
        correct = np.append(0, matched.correct[0, iou_index, rows].cumsum())
        n_kept = np.searchsorted(-matched.score[rows], -CONFIDENCES, side="right")  # the likeliest come first
        curves[class_] = 2 * correct[n_kept] / np.maximum(1, n_kept + int(positives[0]))
    return curves


def confusion(truth: Boxes, found: Boxes, classes: int, threshold: float, iou: float = 0.5) -> np.ndarray:
    """Returns the confusion matrix of a detector.

    Boxes that overlap by at least `iou` are paired whatever their class, largest overlap first. Crowds are left
    out.

    Args:
        truth: The true boxes.
        found: The detected boxes, with scores.
        classes: The number of classes.
        threshold: The score from which detected boxes count.
        iou: The overlap from which two boxes are paired.

    Returns:
        `(classes + 1, classes + 1)` counts: a row for each true class and one for background, a column for each
        detected class and one for missed boxes.
    """
    truth, found = as_arrays(truth), as_arrays(found)
    assert found.score is not None
    table = np.zeros((classes + 1, classes + 1), np.int64)
    not_crowd = ~crowds(truth)
    confident = np.asarray(found.score) >= threshold
    for image in np.unique(np.concatenate([truth.image, found.image])):
        truth_rows, found_rows = (
            np.flatnonzero((b.image == image) & mask) for b, mask in ((truth, not_crowd), (found, confident))
        )
        overlaps = overlap(
            found.box[found_rows][None], truth.box[truth_rows][None], np.zeros((1, len(truth_rows)), bool)
        )[0]
        unmatched = dict.fromkeys(truth_rows.tolist()), dict.fromkeys(found_rows.tolist())
        for flat_index in np.argsort(-overlaps, axis=None, kind="stable"):
            s, o = divmod(int(flat_index), max(1, len(truth_rows)))
            if overlaps[s, o] < iou:
                break
            if truth_rows[o] in unmatched[0] and found_rows[s] in unmatched[1]:
                table[truth.class_[truth_rows[o]], found.class_[found_rows[s]]] += 1
                del unmatched[0][truth_rows[o]], unmatched[1][found_rows[s]]
        for o in unmatched[0]:
            table[truth.class_[o], classes] += 1
        for s in unmatched[1]:
            table[classes, found.class_[s]] += 1
    return table


def image_counts(
    truth: Boxes, found: Boxes, images: int, threshold: float, iou: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns three arrays `(images,)`: correct boxes, detected boxes and true boxes of every image.

    Boxes that score below `threshold` and crowds are left out; `iou` is one of `THRESHOLDS`.
    """
    truth, found = as_arrays(truth), as_arrays(found)
    iou_index, matched = threshold_index(iou), match_boxes(truth, found)
    not_crowd = ~crowds(truth)
    counts = ~matched.ignored[0, iou_index] & (matched.score >= threshold)
    correct = counts & matched.correct[0, iou_index]
    return (
        np.bincount(matched.image[correct], minlength=images),
        np.bincount(matched.image[counts], minlength=images),
        np.bincount(truth.image[not_crowd], minlength=images),
    )


class Comparison(NamedTuple):
    """Holds the average precision of a network with its 95 % interval, and how it compares with another network.

    `more` is by how much it is larger, `more_low` and `more_high` its 95 % interval, `wins` the share of
    bootstrap samples in which it is larger (ties count half; nan without another network).
    """

    ap: float
    low: float
    high: float
    more: float = 0.0
    more_low: float = 0.0
    more_high: float = 0.0
    wins: float = float("nan")


def bootstrap_comparison(
    truth: Boxes, found: Boxes, other: Boxes | None = None, samples: int = SAMPLES, seed: int = 0
) -> Comparison:
    """Returns the average precision of a network with its interval, compared with `other` on the same images if
    given.

    Args:
        truth: The true boxes.
        found: The boxes that the network detects.
        other: The boxes that another network detects.
        samples: The number of bootstrap samples.
        seed: Seed of the samples.
    """
    image_columns = [boxes.image for boxes in (truth, found, other) if boxes is not None]
    images = int(np.concatenate(image_columns).max(initial=0)) + 1
    resamples, *other_resamples = (
        bootstrap_samples(truth, boxes, images, samples, seed) for boxes in (found, other) if boxes is not None
    )
    return compare_resamples(resamples, *other_resamples)


def compare_resamples(
    resamples: Sequence[float] | np.ndarray, other_resamples: Sequence[float] | np.ndarray | None = None
) -> Comparison:
    """Compares bootstrap samples of one network, and of another on the same images (Efron & Tibshirani 1993, ch.
    16).

    Both arguments are results of `bootstrap_samples` with the same number of images, samples and seed.
    """
    estimate, bootstrap = resamples[0], np.asarray(resamples[1:])
    low, high = np.quantile(bootstrap, [0.025, 0.975])
    if other_resamples is None:
        return Comparison(float(estimate), float(low), float(high))
    differences = bootstrap - np.asarray(other_resamples[1:])
    low_difference, high_difference = np.quantile(differences, [0.025, 0.975])
    return Comparison(
        float(estimate),
        float(low),
        float(high),
        float(estimate - other_resamples[0]),
        float(low_difference),
        float(high_difference),
        float((differences > 0).mean() + (differences == 0).mean() / 2),
    )


def bootstrap_samples(truth: Boxes, found: Boxes, images: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Returns the average precision over the images, then over bootstrap samples of them, `(1 + samples,)`.

    A sample draws as many images with replacement. With the same seed and number of images the samples are the
    same for every network, so results can be compared in pairs.

    Args:
        truth: The true boxes.
        found: The detected boxes, with scores.
        images: The number of images; `Boxes.image` counts from 0.
        samples: The number of bootstrap samples.
        seed: Seed of the samples.
    """
    image_repeats = np.random.default_rng(seed).multinomial(images, [1 / images] * images, samples)
    return _average_precisions(truth, found, np.concatenate([np.ones((1, images), np.int64), image_repeats]))


def _average_precisions(truth: Boxes, found: Boxes, image_repeats: np.ndarray) -> np.ndarray:
    """Returns the average precision where each image counts as often as `image_repeats` says, `(samples,)`."""
    truth, found = as_arrays(truth), as_arrays(found)
    matched = match_boxes(truth, found)
    not_crowd = ~crowds(truth)
    values, counts = np.zeros(len(image_repeats)), np.zeros(len(image_repeats))
    for class_ in matched.positives_by_class:
        positives = image_repeats[:, truth.image[not_crowd & (truth.class_ == class_)]].sum(1)
        rows = np.flatnonzero(matched.class_ == class_)
        for s in range(len(image_repeats)):
            if positives[s]:
                values[s] += matched.weighted_average_precision(rows, image_repeats[s], int(positives[s]))
                counts[s] += 1
    return np.divide(values, counts, out=np.zeros(len(image_repeats)), where=counts > 0)
