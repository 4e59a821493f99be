"""Anchors of the boxes that a detector is to find: k-means by overlap of shapes (Redmon & Farhadi 2017, §2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scalesearch.arch import BlockSpec
from scalesearch.training.box_targets import Boxes

ROUNDS = 300


def kmeans(shapes: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """`count` widths and heights, small ones first, that the `shapes` `(k, 2)` overlap most on average, laid corner on
    corner.

    The means of groups, each shape being of the mean that it overlaps most; the best of some beginnings.
    """
    rng = np.random.default_rng(seed)
    best, found = -1.0, np.zeros((count, 2))
    for _ in range(10):
        means = shapes[rng.choice(len(shapes), count, replace=len(shapes) < count)].astype(float)
        for _ in range(ROUNDS):
            nearest = overlaps(shapes, means).argmax(1)
            there = np.array([shapes[nearest == i].mean(0) if (nearest == i).any() else means[i] for i in range(count)])
            if np.allclose(there, means):
                break
            means = there
        fit = overlaps(shapes, means).max(1).mean()
        if fit > best:
            best, found = fit, means
    return found[np.argsort(found.prod(1), kind="stable")]


def overlaps(shapes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every shape with every other, `(k, m)`."""
    shared = np.minimum(shapes[:, None], others[None]).prod(-1)
    return shared / (shapes.prod(1)[:, None] + others.prod(1)[None] - shared)


def fitted_anchors(head: BlockSpec, labels: Boxes, sides: tuple[int, int]) -> BlockSpec:
    """A head with anchors for these boxes on an input of these sides, the smallest for its finest map."""
    real = labels.real
    corners = labels.boxes[real].double().cpu().numpy()
    shapes = (corners[:, 2:] - corners[:, :2]) * np.array(sides[::-1])
    shapes = shapes[(shapes > 0).all(1)]
    masks = head.get("masks")
    used = sorted({anchor for mask in masks for anchor in mask})
    if not len(shapes):
        return head
    anchors = [list(pair) for pair in head.get("anchors")]
    for place, (width, height) in zip(used, kmeans(shapes, len(used))):
        anchors[place] = [round(float(width), 1), round(float(height), 1)]
    told = tuple(tuple(pair) for pair in anchors)
    return replace(head, args=tuple((key, told if key == "anchors" else value) for key, value in head.args))
