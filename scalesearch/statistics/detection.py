"""Average precision of found boxes, as COCO measures it: equal to pycocotools to the last digits, crowds included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of intersection over union
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MOST = 100  # boxes of a class that count in an image
MOST_PAIRS = 4_000_000  # of boxes, looked at together


class Boxes(NamedTuple):
    """Boxes of many images, a row each: `image` and `class_` as whole numbers, `box` as x, y, width and height.

    Found ones have a `score`. Of true ones `crowd` says whether they stand for many, which are never missed, and
    `area` what decides whether they are small or large, where that is not width times height.
    """

    image: np.ndarray
    class_: np.ndarray
    box: np.ndarray
    score: np.ndarray | None = None
    crowd: np.ndarray | None = None
    area: np.ndarray | None = None


@dataclass(frozen=True)
class Precision:
    """Means over classes that occur, and thresholds; nan where no box is of a size.

    `precision` is (thresholds, recalls, classes, areas), -1 where a class has no box of that area.
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


def average_precision(truth: Boxes, found: Boxes) -> Precision:
    """COCO's metrics (Lin et al. 2014; pycocotools' `COCOeval` with its defaults) of boxes found in images."""
    truth, found = arrays(truth), arrays(found)
    classes = np.unique(truth.class_)
    precision = np.full((len(THRESHOLDS), len(RECALLS), len(classes), len(AREAS)), -1.0)
    recall = {most: np.full((len(THRESHOLDS), len(classes), len(AREAS)), -1.0) for most in (1, 10, MOST)}
    matched = matches(truth, found)
    for k, class_ in enumerate(classes):
        one = matched.of(int(class_))
        for a in range(len(AREAS)):
            if not one.wanted[a]:
                continue
            for most, values in recall.items():
                curve = one.curves(a, most)
                values[:, k, a] = curve.recall
                if most == MOST:
                    precision[:, :, k, a] = curve.precision

    def mean(values):
        return float(values[values > -1].mean()) if (values > -1).any() else float("nan")

    def at(threshold):
        return mean(precision[int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0]), :, :, 0])

    small, medium, large = (mean(precision[..., a]) for a in (1, 2, 3))
    return Precision(
        mean(precision[..., 0]),
        at(0.5),
        at(0.75),
        small,
        medium,
        large,
        {most: mean(values[..., 0]) for most, values in recall.items()},
        {int(c): mean(precision[:, :, k, 0]) for k, c in enumerate(classes)},
        {int(c): mean(precision[0, :, k, 0]) for k, c in enumerate(classes)},
        {int(c): precision[0, :, k, 0] for k, c in enumerate(classes)},
        precision,
    )


def arrays(boxes: Boxes) -> Boxes:
    """Columns as they are counted with."""
    image, class_ = (np.asarray(column, np.int64) for column in (boxes.image, boxes.class_))
    return boxes._replace(image=image, class_=class_, box=np.asarray(boxes.box, float).reshape(len(image), 4))


class _Curves(NamedTuple):
    precision: np.ndarray  # (thresholds, recalls)
    recall: np.ndarray  # (thresholds,)


@dataclass(frozen=True)
class Matched:
    """Found boxes of one class or all, best first: which are right and which don't count, (areas, thresholds, boxes);
    their rank in their image; and how many true boxes of each area are to be found, by class."""

    class_: np.ndarray
    image: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    wanted_by_class: Mapping[int, np.ndarray]
    wanted: np.ndarray

    def of(self, class_: int) -> Matched:
        rows = np.flatnonzero(self.class_ == class_)
        return Matched(
            self.class_[rows],
            self.image[rows],
            self.score[rows],
            self.rank[rows],
            self.right[..., rows],
            self.ignored[..., rows],
            self.wanted_by_class,
            self.wanted_by_class[class_],
        )

    def curves(self, area: int, most: int) -> _Curves:
        rows = np.flatnonzero(self.rank < most)
        counts = ~self.ignored[area][:, rows]
        right = (self.right[area][:, rows] & counts).cumsum(1, dtype=float)
        wrong = (~self.right[area][:, rows] & counts).cumsum(1, dtype=float)
        recall = right / self.wanted[area]
        precision = right / (right + wrong + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        found = np.zeros((len(THRESHOLDS), len(RECALLS)))
        for t in range(len(THRESHOLDS)):
            places = np.searchsorted(recall[t], RECALLS, side="left")
            inside = places < len(rows)
            found[t, inside] = precision[t, places[inside]]
        return _Curves(found, recall[:, -1] if len(rows) else np.zeros(len(THRESHOLDS)))

    def weighted(self, rows: np.ndarray, times: np.ndarray, wanted: int) -> float:
        """Average precision of some boxes of one class where each image counts so many `times`."""
        each = times[self.image[rows]]
        counts = ~self.ignored[0][:, rows]
        right = np.where(self.right[0][:, rows] & counts, each, 0).cumsum(1)
        tried = np.where(counts, each, 0).cumsum(1)
        precision = right / np.maximum(tried, 1)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        total = 0.0
        for t in range(len(THRESHOLDS)):
            places = np.searchsorted(right[t] / wanted, RECALLS, side="left")
            total += precision[t, places[places < len(rows)]].sum()
        return total / (len(THRESHOLDS) * len(RECALLS))


class _Group(NamedTuple):
    """The found and the true boxes of one class in one image, as rows: found ones best first."""

    found: np.ndarray
    truth: np.ndarray


def matches(truth: Boxes, found: Boxes) -> Matched:
    """Which found boxes are right, of arrays."""
    score = np.asarray(found.score, float)
    crowd = np.zeros(len(truth.image), bool) if truth.crowd is None else np.asarray(truth.crowd, bool)
    area = truth.box[:, 2] * truth.box[:, 3] if truth.area is None else np.asarray(truth.area, float)
    limits = np.array(list(AREAS.values()))
    aside = crowd[None] | (area[None] < limits[:, :1]) | (area[None] > limits[:, 1:])  # (areas, true boxes)
    rank = np.full(len(score), MOST, np.int64)
    groups = list(_groups(truth, found, score))
    for group in groups:
        rank[group.found] = np.arange(len(group.found))
    shape = len(AREAS), len(THRESHOLDS), len(score)
    right, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    size = found.box[:, 2] * found.box[:, 3]
    ignored |= ((size[None] < limits[:, :1]) | (size[None] > limits[:, 1:]))[:, None]
    for batch in _batches([group for group in groups if len(group.found) and len(group.truth)]):
        _match(batch, truth.box, found.box, crowd, aside, right, ignored)
    order = np.lexsort((rank, found.image, -score))
    order = order[rank[order] < MOST]
    wanted = {int(c): (~aside[:, truth.class_ == c]).sum(1) for c in np.unique(truth.class_)}
    return Matched(
        found.class_[order],
        found.image[order],
        score[order],
        rank[order],
        right[..., order],
        ignored[..., order],
        wanted,
        np.zeros(len(AREAS)),
    )


def _groups(truth: Boxes, found: Boxes, score: np.ndarray) -> Iterator[_Group]:
    """By image and class, in the order of the images."""

    def key(boxes):
        return np.stack([boxes.image, boxes.class_], 1).astype(np.int64)

    every, which = np.unique(np.concatenate([key(truth), key(found)]), axis=0, return_inverse=True)
    of_truth, of_found = which[: len(truth.image)].ravel(), which[len(truth.image) :].ravel()
    best_first = np.lexsort((np.arange(len(score)), -score, of_found))
    ends = [np.searchsorted(sorted_, np.arange(len(every) + 1)) for sorted_ in (np.sort(of_truth), np.sort(of_found))]
    by_group = np.argsort(of_truth, kind="stable")
    for g in range(len(every)):
        yield _Group(best_first[ends[1][g] : ends[1][g + 1]][:MOST], by_group[ends[0][g] : ends[0][g + 1]])


def _batches(groups: Sequence[_Group]) -> Iterator[list[_Group]]:
    """Groups of about one size, which are matched together."""
    pairs = lambda group: (len(group.truth) - 1).bit_length(), lambda group: (len(group.found) - 1).bit_length()
    ordered = sorted(groups, key=lambda group: tuple(of(group) for of in pairs))
    batch: list[_Group] = []
    for group in ordered:
        widest = max([group, *batch[-1:]], key=lambda g: len(g.truth) * len(g.found))
        alike = not batch or tuple(of(group) for of in pairs) == tuple(of(batch[0]) for of in pairs)
        if batch and (not alike or (len(batch) + 1) * len(widest.truth) * len(widest.found) > MOST_PAIRS):
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
    aside: np.ndarray,
    right: np.ndarray,
    ignored: np.ndarray,
) -> None:
    """Give every found box, best first, the true one it covers most of those that are left, at every threshold; rather
    one that counts than one that is set aside. The last of equals, as pycocotools does."""
    n, d = max(len(g.truth) for g in groups), max(len(g.found) for g in groups)
    there = np.zeros((len(groups), n), np.int64)
    tried = np.full((len(groups), d), -1, np.int64)
    real = np.zeros((len(groups), n), bool)
    for i, group in enumerate(groups):
        there[i, : len(group.truth)], real[i, : len(group.truth)] = group.truth, True
        tried[i, : len(group.found)] = group.found
    many = crowd[there] & real
    covers = np.where(real[:, None], overlap(found[tried], truth[there], many), -1.0)  # (groups, found, true)
    off = aside[:, there].transpose(1, 0, 2)[:, :, None]  # (groups, areas, 1, true)
    left = np.broadcast_to(real[:, None, None], (len(groups), len(AREAS), len(THRESHOLDS), n)).copy()
    least = np.minimum(THRESHOLDS, 1 - 1e-10)[None, None, :, None]
    for rank in range(d):
        here = covers[:, rank, None, None]
        fits = left & (here >= least)
        chosen, is_off = np.full(left.shape[:3], -1), np.zeros(left.shape[:3], bool)
        for aside_ones in (True, False):  # one that counts takes the place of one set aside
            fit = fits & (off == aside_ones)
            worth = np.where(fit, here, -1.0)[..., ::-1]
            best = n - 1 - worth.argmax(-1)
            some = fit.any(-1)
            chosen, is_off = np.where(some, best, chosen), np.where(some, aside_ones, is_off)
        g, a, t = np.nonzero(chosen >= 0)
        taken = chosen[g, a, t]
        left[g, a, t, taken] &= many[g, taken]
        rows = tried[:, rank]
        valid = rows >= 0
        right[:, :, rows[valid]] = (chosen >= 0)[valid].transpose(1, 2, 0)
        matched_aside = is_off[valid].transpose(1, 2, 0)
        unmatched = (chosen < 0)[valid].transpose(1, 2, 0)
        ignored[:, :, rows[valid]] = matched_aside | (unmatched & ignored[:, :, rows[valid]])


def overlap(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes, (groups, found, 4) and (groups, true, 4); of crowds over the found box."""
    a, b = found[:, :, None], truth[:, None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    own, other = a[..., 2] * a[..., 3], b[..., 2] * b[..., 3]
    whole = np.where(crowd[:, None], own, own + other - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
