"""From found boxes to what a person decides by: thresholds, what is taken for what, and how sure the figures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scalesearch.statistics.detection import THRESHOLDS, Boxes, arrays, matches, overlap

SAMPLES = 1_000
CONFIDENCES = np.linspace(0, 1, 101)


class Threshold(NamedTuple):
    """Above which score boxes are best kept, and what precision, recall and F1 are then."""

    threshold: float
    precision: float
    recall: float
    f1: float


class Thresholds(NamedTuple):
    """One for all classes, and one for each that occurs."""

    all: Threshold
    by_class: Mapping[int, Threshold]


def best_thresholds(truth: Boxes, found: Boxes, iou: float = 0.5) -> Thresholds:
    """The scores at which F1 is largest, boxes that overlap a true one by `iou` (one of `THRESHOLDS`) being right."""
    truth, found = arrays(truth), arrays(found)
    at = int(np.flatnonzero(np.isclose(THRESHOLDS, iou))[0])
    matched = matches(truth, found)

    def best(rows: np.ndarray, wanted: int) -> Threshold:
        counts = ~matched.ignored[0, at, rows]
        right = (matched.right[0, at, rows] & counts).cumsum()
        tried = counts.cumsum()
        f1 = 2 * right / np.maximum(1, tried + wanted)
        score = matched.score[rows]
        last = np.append(score[1:] < score[:-1], True)[: len(score)]  # equal scores stay or go together
        if not len(rows) or not wanted:
            return Threshold(1.0, 0.0, 0.0, 0.0)
        i = int(np.where(last, f1, -1).argmax())
        return Threshold(float(score[i]), float(right[i] / max(1, tried[i])), float(right[i] / wanted), float(f1[i]))

    by_class = {
        class_: best(np.flatnonzero(matched.class_ == class_), int(wanted[0]))
        for class_, wanted in matched.wanted_by_class.items()
    }
    every = best(np.arange(len(matched.score)), int(sum(w[0] for w in matched.wanted_by_class.values())))
    return Thresholds(every, by_class)


def f1_curves(truth: Boxes, found: Boxes, iou: float = 0.5) -> dict[int, np.ndarray]:
    """F1 of every class that occurs, were boxes below each of `CONFIDENCES` left out."""
    truth, found = arrays(truth), arrays(found)
    at = int(np.flatnonzero(np.isclose(THRESHOLDS, iou))[0])
    matched, curves = matches(truth, found), {}
    for class_, wanted in matched.wanted_by_class.items():
        rows = np.flatnonzero((matched.class_ == class_) & ~matched.ignored[0, at])
        right = np.append(0, matched.right[0, at, rows].cumsum())
        kept = np.searchsorted(-matched.score[rows], -CONFIDENCES, side="right")  # the likeliest come first
        curves[class_] = 2 * right[kept] / np.maximum(1, kept + int(wanted[0]))
    return curves


def confusion(truth: Boxes, found: Boxes, classes: int, threshold: float, iou: float = 0.5) -> np.ndarray:
    """What is taken for what, `(classes + 1, classes + 1)`: a row for each true class and one for what is nothing, a
    column for what boxes above `threshold` are found as and one for what is missed.

    Boxes that overlap by `iou` are paired whatever their class, most overlap first. Crowds are left out.
    """
    truth, found = arrays(truth), arrays(found)
    assert found.score is not None
    table = np.zeros((classes + 1, classes + 1), np.int64)
    real = np.ones(len(truth.image), bool) if truth.crowd is None else ~np.asarray(truth.crowd, bool)
    sure = np.asarray(found.score) >= threshold
    for image in np.unique(np.concatenate([truth.image, found.image])):
        own, said = (np.flatnonzero((b.image == image) & kept) for b, kept in ((truth, real), (found, sure)))
        covers = overlap(found.box[said][None], truth.box[own][None], np.zeros((1, len(own)), bool))[0]
        left = dict.fromkeys(own.tolist()), dict.fromkeys(said.tolist())
        for place in np.argsort(-covers, axis=None, kind="stable"):
            s, o = divmod(int(place), max(1, len(own)))
            if covers[s, o] < iou:
                break
            if own[o] in left[0] and said[s] in left[1]:
                table[truth.class_[own[o]], found.class_[said[s]]] += 1
                del left[0][own[o]], left[1][said[s]]
        for o in left[0]:
            table[truth.class_[o], classes] += 1
        for s in left[1]:
            table[classes, found.class_[s]] += 1
    return table


def image_counts(
    truth: Boxes, found: Boxes, images: int, threshold: float, iou: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every image how many boxes above `threshold` are right, how many there are, and how many are to be found."""
    truth, found = arrays(truth), arrays(found)
    at, matched = int(np.flatnonzero(np.isclose(THRESHOLDS, iou))[0]), matches(truth, found)
    real = np.ones(len(truth.image), bool) if truth.crowd is None else ~np.asarray(truth.crowd, bool)
    counts = ~matched.ignored[0, at] & (matched.score >= threshold)

    def number(rows):
        return np.bincount(rows, minlength=images)

    return (
        number(matched.image[counts & matched.right[0, at]]),
        number(matched.image[counts]),
        number(truth.image[real]),
    )


class Compared(NamedTuple):
    """Average precision of a network with its 95 % interval; beside another one, by how much it is larger, with the
    interval of that, and the share of samples in which it is."""

    ap: float
    low: float
    high: float
    more: float = 0.0
    more_low: float = 0.0
    more_high: float = 0.0
    wins: float = float("nan")


def bootstrapped(
    truth: Boxes, found: Boxes, other: Boxes | None = None, samples: int = SAMPLES, seed: int = 0
) -> Compared:
    """Average precision of a network, beside another one on the same images where there is one."""
    several = [boxes.image for boxes in (truth, found, other) if boxes is not None]
    images = int(np.concatenate(several).max(initial=0)) + 1
    own, *others = (resampled(truth, boxes, images, samples, seed) for boxes in (found, other) if boxes is not None)
    return compared(own, *others)


def compared(own: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray | None = None) -> Compared:
    """What `resampled` says of one network, and of another one on the same images (paired bootstrap; Efron & Tibshirani
    1993, ch. 16)."""
    ours, drawn = own[0], np.asarray(own[1:])
    low, high = np.quantile(drawn, [0.025, 0.975])
    if other is None:
        return Compared(float(ours), float(low), float(high))
    apart = drawn - np.asarray(other[1:])
    least, most = np.quantile(apart, [0.025, 0.975])
    return Compared(
        float(ours),
        float(low),
        float(high),
        float(ours - other[0]),
        float(least),
        float(most),
        float((apart > 0).mean() + (apart == 0).mean() / 2),
    )


def resampled(truth: Boxes, found: Boxes, images: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Average precision over the `images` as they are, then over as many drawn with replacement, again and again: the
    same ones for every network, `(1 + samples,)`."""
    drawn = np.random.default_rng(seed).multinomial(images, [1 / images] * images, samples)
    return _precisions(truth, found, np.concatenate([np.ones((1, images), np.int64), drawn]))


def _precisions(truth: Boxes, found: Boxes, drawn: np.ndarray) -> np.ndarray:
    """Average precision where every image counts so many times, `(samples,)`."""
    truth, found = arrays(truth), arrays(found)
    matched = matches(truth, found)
    real = np.ones(len(truth.image), bool) if truth.crowd is None else ~np.asarray(truth.crowd, bool)
    values, counts = np.zeros(len(drawn)), np.zeros(len(drawn))
    for class_ in matched.wanted_by_class:
        wanted = drawn[:, truth.image[real & (truth.class_ == class_)]].sum(1)
        rows = np.flatnonzero(matched.class_ == class_)
        for s in range(len(drawn)):
            if wanted[s]:
                values[s] += matched.weighted(rows, drawn[s], int(wanted[s]))
                counts[s] += 1
    return np.divide(values, counts, out=np.zeros(len(drawn)), where=counts > 0)
