"""Average precision against pycocotools, to the last digits, on generated boxes."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from scalesearch.statistics.detection import Boxes, average_precision


def generated(seed: int, images=6, classes=3, side=200) -> tuple[Boxes, Boxes]:
    """True boxes of all sizes, some of them crowds, and found ones around some of them, some with equal scores."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12 * images))
    size = np.exp(rng.uniform(np.log(3), np.log(side), (count, 2)))
    box = np.concatenate([rng.uniform(0, side, (count, 2)), size], 1).round(1)
    image, class_ = rng.integers(0, images, count), rng.integers(0, classes, count)
    truth = Boxes(
        image, class_, box, crowd=rng.random(count) < 0.15, area=(box[:, 2] * box[:, 3] * rng.uniform(0.5, 1, count))
    )
    near = rng.integers(0, count, int(rng.integers(1, 40 * images)))
    moved = box[near] + rng.normal(0, 0.12, (len(near), 4)) * np.tile(box[near][:, 2:], 2)
    moved[:, 2:] = np.maximum(moved[:, 2:], 1.0)
    wrong = rng.random(len(near)) < 0.3
    found = Boxes(
        np.where(wrong, rng.integers(0, images, len(near)), image[near]),
        np.where(wrong, rng.integers(0, classes + 1, len(near)), class_[near]),
        moved,
        score=rng.random(len(near)).round(2),
    )
    return truth, found


def pycocotools(truth: Boxes, found: Boxes):
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    images = [int(i) for i in np.unique(np.concatenate([truth.image, found.image]))]
    classes = [int(c) for c in np.unique(np.concatenate([truth.class_, found.class_]))]
    crowd = np.zeros(len(truth.image)) if truth.crowd is None else truth.crowd
    with contextlib.redirect_stdout(io.StringIO()):
        own = coco.COCO()
        own.dataset = {
            "images": [{"id": i} for i in images],
            "categories": [{"id": c} for c in classes],
            "annotations": [
                {
                    "id": n + 1,
                    "image_id": int(i),
                    "category_id": int(c),
                    "bbox": b.tolist(),
                    "area": float(a),
                    "iscrowd": int(w),
                }
                for n, (i, c, b, a, w) in enumerate(zip(truth.image, truth.class_, truth.box, truth.area, crowd))
            ],
        }
        own.createIndex()
        other = own.loadRes(
            [
                {"image_id": int(i), "category_id": int(c), "bbox": b.tolist(), "score": float(s)}
                for i, c, b, s in zip(found.image, found.class_, found.box, found.score)
            ]
        )
        done = cocoeval.COCOeval(own, other, "bbox")
        done.evaluate()
        done.accumulate()
        done.summarize()
    return done


@pytest.mark.slow
@given(st.integers(0, 2**32))
@settings(max_examples=200, derandomize=True)
def test_it_is_pycocotools_to_the_last_digits(seed):
    truth, found = generated(seed)
    ours, theirs = average_precision(truth, found), pycocotools(truth, found)
    measured = [
        ours.ap,
        ours.ap50,
        ours.ap75,
        ours.ap_small,
        ours.ap_medium,
        ours.ap_large,
        *(ours.recall[most] for most in (1, 10, 100)),
    ]
    for mine, other in zip(measured, theirs.stats[:9]):
        assert (math.isnan(mine) and other == -1) or mine == pytest.approx(other, abs=1e-6)
    classes = [theirs.params.catIds.index(int(c)) for c in np.unique(truth.class_)]
    assert np.allclose(ours.precision, theirs.eval["precision"][..., -1][:, :, classes], atol=1e-9)


def test_what_is_known_by_hand():
    boxes = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 50, 50.0]])
    truth = Boxes(np.array([0, 0, 1]), np.array([0, 0, 1]), boxes)
    perfect = Boxes(truth.image, truth.class_, truth.box, score=np.array([0.9, 0.8, 0.7]))
    found = average_precision(truth, perfect)
    assert (found.ap, found.ap50) == pytest.approx((1.0, 1.0))
    assert math.isnan(found.ap_large)
    assert found.by_class == {0: pytest.approx(1.0), 1: pytest.approx(1.0)}
    half = average_precision(truth, Boxes(*(column[:1] for column in perfect[:4])))
    assert half.ap == pytest.approx((51 / 101 + 0) / 2)
    assert half.by_class == {0: pytest.approx(51 / 101), 1: 0.0}
    nothing = Boxes(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)), score=np.zeros(0))
    assert average_precision(truth, nothing).ap == 0
    assert math.isnan(average_precision(nothing, perfect).ap)
    # shifted by a tenth of its width: intersection over union 9/11 = 0.82, right up to 0.80, seven thresholds of ten
    moved = Boxes(np.array([0]), np.array([0]), np.array([[1.0, 0, 10, 10]]), score=np.array([0.5]))
    assert average_precision(Boxes(*(column[:1] for column in truth[:3])), moved).ap == pytest.approx(0.7)
