"""Average precision of detected boxes as COCO measures it.

It agrees with pycocotools to the last digits, crowds included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of intersection over union
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MAX_DETECTIONS = 100  # boxes of a class that count in an image
MOST_PAIRS = 4_000_000  # of boxes, looked at together


class Boxes(NamedTuple):
    """Holds the boxes of many images, one row each.

    `image` and `class_` are `(N,)` integers; `box` is `(N, 4)`: x, y, width and height in pixels. Detected boxes
    have a `score`. For true boxes, `crowd` says whether a box stands for many objects, which are never missed,
    and `area` (square pixels) decides whether it is small or large, where that is not width times height.
    """

    image: np.ndarray
    class_: np.ndarray
    box: np.ndarray
    score: np.ndarray | None = None
    crowd: np.ndarray | None = None
    area: np.ndarray | None = None


@dataclass(frozen=True)
class AveragePrecision:
    """Holds COCO's metrics as shares in [0, 1]: means over the classes that occur and over thresholds.

    A metric is nan where no true box has the size. `precision` is `(thresholds, recalls, classes, areas)`, -1
    where a class has no true box of that area.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    recall: Mapping[int, float]  # the largest, with so many boxes an image
    by_class: Mapping[int, float]
    by_class_50: Mapping[int, float]
    curves_50: Mapping[int, np.ndarray]  # precision at every of `RECALLS`, at half overlap
    precision: np.ndarray = field(repr=False)


def average_precision(truth: Boxes, found: Boxes) -> AveragePrecision:
    """Returns COCO's metrics of detected boxes (Lin et al. 2014; pycocotools' `COCOeval` with its defaults).

    Args:
        truth: The true boxes.
        found: The detected boxes, with scores.
    """
    truth, found = as_arrays(truth), as_arrays(found)
    classes = np.unique(truth.class_)
    precision = np.full((len(THRESHOLDS), len(RECALLS), len(classes), len(AREAS)), -1.0)
    recall = {
        max_boxes: np.full((len(THRESHOLDS), len(classes), len(AREAS)), -1.0) for max_boxes in (1, 10, MAX_DETECTIONS)
    }
    matched = match_boxes(truth, found)
    for k, class_ in enumerate(classes):
        class_matches = matched.of_class(int(class_))
        for a in range(len(AREAS)):
            if not class_matches.positives[a]:
                continue
            for max_boxes, values in recall.items():
                curve = class_matches.curves(a, max_boxes)
                values[:, k, a] = curve.recall
                if max_boxes == MAX_DETECTIONS:
                    precision[:, :, k, a] = curve.precision

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else float("nan")

    small, medium, large = (mean(precision[..., a]) for a in (1, 2, 3))
    return AveragePrecision(
        mean(precision[..., 0]),
        mean(precision[threshold_index(0.5), :, :, 0]),
        mean(precision[threshold_index(0.75), :, :, 0]),
        small,
        medium,
        large,
        {max_boxes: mean(values[..., 0]) for max_boxes, values in recall.items()},
        {int(c): mean(precision[:, :, k, 0]) for k, c in enumerate(classes)},
        {int(c): mean(precision[0, :, k, 0]) for k, c in enumerate(classes)},
        {int(c): precision[0, :, k, 0] for k, c in enumerate(classes)},
        precision,
    )


def threshold_index(iou: float) -> int:
    """Returns the place of an overlap in `THRESHOLDS`, one of which it must be."""
    return int(np.flatnonzero(np.isclose(THRESHOLDS, iou))[0])


def crowds(truth: Boxes) -> np.ndarray:
    """Returns which true boxes stand for many objects, `(N,)` booleans."""
    return np.zeros(len(truth.image), bool) if truth.crowd is None else np.asarray(truth.crowd, bool)


def as_arrays(boxes: Boxes) -> Boxes:
    """Returns `boxes` with images and classes as `(N,)` int64 and boxes as `(N, 4)` float arrays."""
    image, class_ = (np.asarray(column, np.int64) for column in (boxes.image, boxes.class_))
    return boxes._replace(image=image, class_=class_, box=np.asarray(boxes.box, float).reshape(len(image), 4))


class _Curves(NamedTuple):
    precision: np.ndarray  # (thresholds, recalls)
    recall: np.ndarray  # (thresholds,)


@dataclass(frozen=True)
class Matches:
    """Holds detected boxes, best first: which are correct and which are ignored.

    `correct` and `ignored` are `(areas, thresholds, boxes)`; `rank` is a box's rank by score among those of its
    image and class. `positives_by_class` has the numbers of true boxes to be found, `(areas,)`; `positives` has
    those of one class, and zeros before `of_class`.
    """

    class_: np.ndarray
    image: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    positives_by_class: Mapping[int, np.ndarray]
    positives: np.ndarray

    def of_class(self, class_: int) -> Matches:
        """Returns the boxes of one class, with `positives` set to that class's."""
        rows = np.flatnonzero(self.class_ == class_)
        return Matches(
            self.class_[rows],
            self.image[rows],
            self.score[rows],
            self.rank[rows],
            self.correct[..., rows],
            self.ignored[..., rows],
            self.positives_by_class,
            self.positives_by_class[class_],
        )

    def curves(self, area: int, max_boxes: int) -> _Curves:
        """Returns precision at each of `RECALLS`, and the recall reached, by threshold, for boxes of one area.

        Args:
            area: Index into `AREAS`.
            max_boxes: At most so many boxes count per image.
        """
        rows = np.flatnonzero(self.rank < max_boxes)
        counts = ~self.ignored[area][:, rows]
        correct = (self.correct[area][:, rows] & counts).cumsum(1, dtype=float)
        incorrect = (~self.correct[area][:, rows] & counts).cumsum(1, dtype=float)
        recall = correct / self.positives[area]
        precision = correct / (correct + incorrect + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        interpolated = np.zeros((len(THRESHOLDS), len(RECALLS)))
        for t in range(len(THRESHOLDS)):
            places = np.searchsorted(recall[t], RECALLS, side="left")
            inside = places < len(rows)
            interpolated[t, inside] = precision[t, places[inside]]
        return _Curves(interpolated, recall[:, -1] if len(rows) else np.zeros(len(THRESHOLDS)))

    def weighted_average_precision(self, rows: np.ndarray, repeats: np.ndarray, positives: int) -> float:
        """Returns the average precision of some boxes of one class, with images repeated as in a bootstrap sample.

        Args:
            rows: Indices of the boxes of the class.
            repeats: How often each image counts, `(images,)`.
            positives: The number of true boxes to be found, repeats included.
        """
        box_weights = repeats[self.image[rows]]
        counts = ~self.ignored[0][:, rows]
        correct = np.where(self.correct[0][:, rows] & counts, box_weights, 0).cumsum(1)
        predicted = np.where(counts, box_weights, 0).cumsum(1)
        precision = correct / np.maximum(predicted, 1)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        total = 0.0
        for t in range(len(THRESHOLDS)):
            places = np.searchsorted(correct[t] / positives, RECALLS, side="left")
            total += precision[t, places[places < len(rows)]].sum()
        return total / (len(THRESHOLDS) * len(RECALLS))


class _Group(NamedTuple):
    """Holds the detected and the true boxes of one class in one image, as row indices; detected ones best first."""

    found: np.ndarray
    truth: np.ndarray


def match_boxes(truth: Boxes, found: Boxes) -> Matches:
    """Matches detected to true boxes at every threshold and area; both must come from `as_arrays`."""
    score = np.asarray(found.score, float)
    crowd = crowds(truth)
    area = truth.box[:, 2] * truth.box[:, 3] if truth.area is None else np.asarray(truth.area, float)
    limits = np.array(list(AREAS.values()))
    ignored_truth = crowd[None] | (area[None] < limits[:, :1]) | (area[None] > limits[:, 1:])  # (areas, true boxes)
    rank = np.full(len(score), MAX_DETECTIONS, np.int64)
    groups = list(_groups(truth, found, score))
    for group in groups:
        rank[group.found] = np.arange(len(group.found))
    shape = len(AREAS), len(THRESHOLDS), len(score)
    correct, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    found_area = found.box[:, 2] * found.box[:, 3]
    ignored |= ((found_area[None] < limits[:, :1]) | (found_area[None] > limits[:, 1:]))[:, None]
    for batch in _batches([group for group in groups if len(group.found) and len(group.truth)]):
        _match(batch, truth.box, found.box, crowd, ignored_truth, correct, ignored)
    order = np.lexsort((rank, found.image, -score))
    order = order[rank[order] < MAX_DETECTIONS]
    positives = {int(c): (~ignored_truth[:, truth.class_ == c]).sum(1) for c in np.unique(truth.class_)}
    return Matches(
        found.class_[order],
        found.image[order],
        score[order],
        rank[order],
        correct[..., order],
        ignored[..., order],
        positives,
        np.zeros(len(AREAS)),
    )


def _groups(truth: Boxes, found: Boxes, score: np.ndarray) -> Iterator[_Group]:
    """Yields the boxes by image and class, in the order of the images."""

    def key(boxes: Boxes) -> np.ndarray:
        return np.stack([boxes.image, boxes.class_], 1).astype(np.int64)

    keys, group_of_box = np.unique(np.concatenate([key(truth), key(found)]), axis=0, return_inverse=True)
    of_truth, of_found = group_of_box[: len(truth.image)].ravel(), group_of_box[len(truth.image) :].ravel()
    best_first = np.lexsort((np.arange(len(score)), -score, of_found))
    edges = [np.searchsorted(ordered, np.arange(len(keys) + 1)) for ordered in (np.sort(of_truth), np.sort(of_found))]
    by_group = np.argsort(of_truth, kind="stable")
    for g in range(len(keys)):
        yield _Group(
            best_first[edges[1][g] : edges[1][g + 1]][:MAX_DETECTIONS], by_group[edges[0][g] : edges[0][g + 1]]
        )


def _batches(groups: Sequence[_Group]) -> Iterator[list[_Group]]:
    """Yields groups of similar size in batches that are matched together."""

    def size_class(group: _Group) -> tuple[int, int]:
        return (len(group.truth) - 1).bit_length(), (len(group.found) - 1).bit_length()

    batch: list[_Group] = []
    for group in sorted(groups, key=size_class):
        largest = max([group, *batch[-1:]], key=lambda g: len(g.truth) * len(g.found))
        if batch and (
            size_class(group) != size_class(batch[0])
            or (len(batch) + 1) * len(largest.truth) * len(largest.found) > MOST_PAIRS
        ):
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _match(
    groups: list[_Group],
    truth: np.ndarray,
    found: np.ndarray,
    crowd: np.ndarray,
    ignored_truth: np.ndarray,
    correct: np.ndarray,
    ignored: np.ndarray,
) -> None:
    """Assigns to each detected box, best first, the free true box that it overlaps most, at every threshold.

    A true box that counts is preferred to an ignored one; of equal overlaps the last is taken, as pycocotools
    does; crowds can be taken repeatedly. Writes the result into `correct` and `ignored`.
    """
    n, d = max(len(g.truth) for g in groups), max(len(g.found) for g in groups)
    truth_rows = np.zeros((len(groups), n), np.int64)
    found_rows = np.full((len(groups), d), -1, np.int64)
    is_real = np.zeros((len(groups), n), bool)
    for i, group in enumerate(groups):
        truth_rows[i, : len(group.truth)], is_real[i, : len(group.truth)] = group.truth, True
        found_rows[i, : len(group.found)] = group.found
    is_crowd = crowd[truth_rows] & is_real
    # (groups, found, true)
    overlaps = np.where(is_real[:, None], overlap(found[found_rows], truth[truth_rows], is_crowd), -1.0)
    is_ignored = ignored_truth[:, truth_rows].transpose(1, 0, 2)[:, :, None]  # (groups, areas, 1, true)
    available = np.broadcast_to(is_real[:, None, None], (len(groups), len(AREAS), len(THRESHOLDS), n)).copy()
    thresholds = np.minimum(THRESHOLDS, 1 - 1e-10)[None, None, :, None]
    for rank in range(d):
        row_overlaps = overlaps[:, rank, None, None]
        candidates = available & (row_overlaps >= thresholds)
        chosen, chose_ignored = np.full(available.shape[:3], -1), np.zeros(available.shape[:3], bool)
        for want_ignored in (True, False):  # one that counts takes the place of one set aside
            allowed = candidates & (is_ignored == want_ignored)
            masked_overlaps = np.where(allowed, row_overlaps, -1.0)[..., ::-1]
            best = n - 1 - masked_overlaps.argmax(-1)
            has_match = allowed.any(-1)
            chosen, chose_ignored = np.where(has_match, best, chosen), np.where(has_match, want_ignored, chose_ignored)
        g, a, t = np.nonzero(chosen >= 0)
        columns = chosen[g, a, t]
        available[g, a, t, columns] &= is_crowd[g, columns]
        rows = found_rows[:, rank]
        valid = rows >= 0
        correct[:, :, rows[valid]] = (chosen >= 0)[valid].transpose(1, 2, 0)
        paired_with_ignored = chose_ignored[valid].transpose(1, 2, 0)
        unmatched = (chosen < 0)[valid].transpose(1, 2, 0)
        ignored[:, :, rows[valid]] = paired_with_ignored | (unmatched & ignored[:, :, rows[valid]])


def overlap(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of boxes; for crowds, the intersection over the detected box.

    Args:
        found: `(groups, D, 4)`: x, y, width, height.
        truth: `(groups, N, 4)`.
        crowd: `(groups, N)` booleans.

    Returns:
        `(groups, D, N)`, in [0, 1].
    """
    a, b = found[:, :, None], truth[:, None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = np.clip(high - low, 0, None).prod(-1)
    found_area, truth_area = a[..., 2] * a[..., 3], b[..., 2] * b[..., 3]
    union = np.where(crowd[:, None], found_area, found_area + truth_area - intersection)
    return cast(np.ndarray, np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0))
