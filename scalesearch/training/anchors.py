"""Fits a detector's anchors to boxes: k-means by the overlap of shapes (Redmon & Farhadi 2017, §2)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from scalesearch.arch import BlockSpec
from scalesearch.training.box_targets import Boxes

ROUNDS = 300


def kmeans(shapes: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Returns `count` widths and heights `(count, 2)`, by area, that `shapes` `(k, 2)` overlap most on average.

    Overlap is that of boxes with a common corner. Each shape belongs to the mean that it overlaps most; the
    best of ten random starts is returned.
    """
    rng = np.random.default_rng(seed)
    best_fit, best_means = -1.0, np.zeros((count, 2))
    for _ in range(10):
        means = shapes[rng.choice(len(shapes), count, replace=len(shapes) < count)].astype(float)
        for _ in range(ROUNDS):
            group = shape_overlaps(shapes, means).argmax(1)
            updated = np.array([shapes[group == i].mean(0) if (group == i).any() else means[i] for i in range(count)])
            if np.allclose(updated, means):
                break
            means = updated
        fit = shape_overlaps(shapes, means).max(1).mean()
        if fit > best_fit:
            best_fit, best_means = fit, means
    return best_means[np.argsort(best_means.prod(1), kind="stable")]


def shape_overlaps(shapes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Returns the intersection over union `(k, m)` of `shapes` `(k, 2)` with `anchors` `(m, 2)`."""
    intersection = np.minimum(shapes[:, None], anchors[None]).prod(-1)
    return cast(np.ndarray, intersection / (shapes.prod(1)[:, None] + anchors.prod(1)[None] - intersection))


def with_fitted_anchors(head: BlockSpec, labels: Boxes, sides: tuple[int, int]) -> BlockSpec:
    """Returns a head with anchors fitted to boxes; it is returned as it is where there are none.

    Args:
        head: A head with `anchors` and `masks`. Of the anchors that its masks use, those with lower numbers
            get smaller shapes.
        labels: The boxes.
        sides: Height and width of the input in pixels.
    """
    corners = labels.boxes[labels.real].double().cpu().numpy()
    shapes = (corners[:, 2:] - corners[:, :2]) * np.array(sides[::-1])
    shapes = shapes[(shapes > 0).all(1)]
    used = sorted({anchor for mask in head.get("masks") for anchor in mask})
    if not len(shapes):
        return head
    anchors = [list(pair) for pair in head.get("anchors")]
    for index, (width, height) in zip(used, kmeans(shapes, len(used))):
        anchors[index] = [round(float(width), 1), round(float(height), 1)]
    fitted = tuple(tuple(pair) for pair in anchors)
    return replace(head, args=tuple((key, fitted if key == "anchors" else value) for key, value in head.args))
