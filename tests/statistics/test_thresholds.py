"""Thresholds, confusion and intervals of found boxes, against cases worked out by hand and plain recomputation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from scalesearch.statistics.detection import Boxes, average_precision
from scalesearch.statistics.thresholds import (
    CONFIDENCES,
    best_thresholds,
    bootstrap_comparison,
    bootstrap_samples,
    compare_resamples,
    confusion,
    f1_curves,
    image_counts,
)


def boxes(*rows, scored=False):
    """Rows of image, class, x, y, width, height and, if scored, a score."""
    table = np.array(rows, float).reshape(-1, 7 if scored else 6)
    return Boxes(table[:, 0], table[:, 1], table[:, 2:6], table[:, 6] if scored else None)


TRUTH = boxes((0, 0, 0, 0, 10, 10), (0, 1, 20, 0, 10, 10), (1, 0, 0, 0, 10, 10), (1, 0, 30, 0, 10, 10))
FOUND = boxes(
    (0, 0, 0, 0, 10, 10, 0.9),
    (0, 0, 20, 0, 10, 10, 0.8),
    (1, 0, 1, 0, 10, 10, 0.7),
    (1, 0, 60, 0, 5, 5, 0.6),
    (1, 0, 30, 0, 10, 9, 0.5),
    (1, 1, 50, 50, 5, 5, 0.3),
    scored=True,
)


def test_the_best_threshold_of_a_class():
    found = best_thresholds(TRUTH, FOUND)
    # of class 0: right, wrong, right, wrong, right of three: F1 1/2, 2/5, 4/6, 4/7, 6/8
    assert found.by_class[0] == pytest.approx((0.5, 3 / 5, 1.0, 0.75))
    assert found.by_class[1][:1] == (0.3,)
    assert found.by_class[1].f1 == 0.0
    assert found.all == pytest.approx((0.5, 3 / 5, 3 / 4, 6 / 9))


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_f1_at_every_confidence_is_that_of_the_boxes_kept(seed):
    truth, found, _ = some(seed)
    curves, best = f1_curves(truth, found), best_thresholds(truth, found)
    assert curves.keys() == best.by_class.keys()
    for class_, curve in curves.items():
        assert curve.max() <= best.by_class[class_].f1 + 1e-9
        assert curve[-1] == 0
        own, message = np.flatnonzero(truth.class_ == class_), np.flatnonzero(found.class_ == class_)
        alone = Boxes(truth.image[own], truth.class_[own], truth.box[own])
        of_class = Boxes(found.image[message], found.class_[message], found.box[message], found.score[message])
        for i in (0, 20, 50, 90):
            right, tried, wanted = (n.sum() for n in image_counts(alone, of_class, 12, CONFIDENCES[i]))
            assert curve[i] == pytest.approx(2 * right / (tried + wanted))
    assert f1_curves(TRUTH, FOUND)[0][[0, 50, 60, 61, 75, 85, 95]] == pytest.approx(
        [6 / 8, 6 / 8, 4 / 7, 4 / 6, 2 / 5, 2 / 4, 0]
    )


def test_networks_are_compared_on_the_same_images():
    truth, good, bad = some(3, 60)
    ours, theirs = (bootstrap_samples(truth, found, 60, 100) for found in (good, bad))
    assert compare_resamples(ours, theirs) == bootstrap_comparison(truth, good, bad, samples=100)
    assert len(ours) == 101
    assert compare_resamples(ours).wins != compare_resamples(ours).wins


def test_what_is_taken_for_what():
    table = confusion(TRUTH, FOUND, 2, 0.4)
    assert table.tolist() == [[3, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert confusion(TRUTH, FOUND, 2, 0.75).tolist() == [[1, 0, 2], [1, 0, 0], [0, 0, 0]]
    right, tried, wanted = image_counts(TRUTH, FOUND, 3, 0.4)
    assert right.tolist() == [1, 2, 0]
    assert tried.tolist() == [2, 3, 0]
    assert wanted.tolist() == [2, 2, 0]


def some(seed, images=12):
    rng = np.random.default_rng(seed)
    own = [
        (i, rng.integers(3), *rng.uniform(0, 80, 2), *rng.uniform(5, 20, 2))
        for i in range(images)
        for _ in range(rng.integers(1, 5))
    ]

    def noise(scale):
        return [
            (i, c, *(np.array(box) + rng.normal(0, scale, 4)).clip(1), rng.uniform())
            for i, c, *box in own
            if rng.random() < 0.8
        ]

    return boxes(*own), boxes(*noise(1.0), scored=True), boxes(*noise(3.0), scored=True)


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_samples_are_average_precision_of_images_drawn_again(seed):
    truth, good, bad = some(seed)
    comparison = bootstrap_comparison(truth, good, bad, samples=50)
    assert comparison.ap == pytest.approx(average_precision(truth, good).ap)
    assert comparison.more == pytest.approx(comparison.ap - average_precision(truth, bad).ap)
    assert comparison.low <= comparison.high
    assert 0 <= comparison.wins <= 1
    same = bootstrap_comparison(truth, good, good, samples=20)
    assert same.wins == 0.5
    assert same.more == same.more_low == same.more_high == 0


def test_a_sample_equals_the_images_written_out():
    truth, good, _ = some(5)
    times = np.random.default_rng(1).multinomial(12, [1 / 12] * 12)
    from scalesearch.statistics.thresholds import _average_precisions

    def repeated(b):
        rows = [(np.flatnonzero(b.image == i), n) for i, copies in enumerate(times) for n in range(copies)]
        which = np.concatenate([r for r, _ in rows])
        image = np.concatenate([np.full(len(r), k) for k, (r, _) in enumerate(rows)])
        return Boxes(image, b.class_[which], b.box[which], None if b.score is None else b.score[which])

    assert _average_precisions(truth, good, times[None])[0] == pytest.approx(
        average_precision(repeated(truth), repeated(good)).ap, abs=1e-9
    )


def test_a_much_better_network_wins_surely():
    truth, good, bad = some(3, 60)
    comparison = bootstrap_comparison(truth, good, bad, samples=200)
    assert comparison.wins > 0.97
    assert comparison.more_low > 0
