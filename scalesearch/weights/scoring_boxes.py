"""Scores a detector on images with known boxes: average precision as COCO measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from scalesearch.data import Examples, letterbox_image
from scalesearch.errors import InputError
from scalesearch.network import AP_SETTINGS, Network, decoder, non_max_suppression
from scalesearch.statistics import Boxes, average_precision, best_thresholds, bootstrap_comparison
from scalesearch.weights.detecting import Box, boxes_in_photo, to_batch
from scalesearch.weights.evaluating import match_examples
from scalesearch.weights.predicting import batches
from scalesearch.zoo import Preprocessing

BATCH = 16


class BoxEvaluation(NamedTuple):
    """Average precision of a detector, as shares in [0, 1].

    Attributes:
        ap: COCO's average precision, over overlaps from 0.5 to 0.95.
        ap50: At an overlap of 0.5.
        ap75: At an overlap of 0.75.
        ap_small: For small boxes; None if there are none. Likewise `ap_medium` and `ap_large`.
        low: Lower end of the 95 % interval of `ap`, from a bootstrap over images.
        high: Its upper end.
        images: The number of images.
        by_class: For each class `ap50`, and the confidence `threshold` with the best F1, with precision and
            recall there.
        matched_by: Whether the classes of network and data were matched by `name` or by `number`.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    low: float
    high: float
    images: int
    by_class: Mapping[str, Mapping[str, float]]
    matched_by: str


def evaluate_boxes(
    model: Network,
    examples: Examples,
    preprocessing: Preprocessing,
    class_names: Sequence[str] | None = None,
    device: str = "cpu",
) -> BoxEvaluation:
    """Scores `model` on images with known boxes.

    Args:
        model: A detector with trained weights.
        examples: The images with their boxes.
        preprocessing: How pixels are normalised for these weights.
        class_names: What the network's classes are called. They are matched with the data's as by
            `match_classes`.
        device: A torch device.

    Raises:
        InputError: If the images have no boxes, or the classes match neither by name nor by number.
    """
    if (truth := examples.boxes) is None:
        raise InputError("has classes of whole images, and the network finds boxes", examples.origin)
    match = match_examples(examples, model.arch.classes, class_names)
    class_numbers = np.array(match.numbers)
    decode, model = decoder(model.arch).to(device), model.eval().to(device)
    detections: list[list[Box]] = []
    sides: list[tuple[int, int]] = []
    letterboxes = examples.images(lambda file: letterbox_image(file, model.arch.resolution, model.arch.channels))
    for batch in batches(letterboxes, BATCH):
        with torch.inference_mode():
            boxes, scores = decode(model(to_batch([pixels for pixels, _ in batch], preprocessing, device)))
        suppressed_boxes = non_max_suppression(boxes.float(), scores.float(), **AP_SETTINGS)
        for image_boxes, (_, placed) in zip(suppressed_boxes, batch):
            detections.append(list(boxes_in_photo(image_boxes, placed)))
            sides.append((placed.width, placed.height))
    image_sides = np.array(sides, float)[truth.image]
    scale = np.concatenate([image_sides, image_sides], 1)
    area = np.where(np.isfinite(truth.area), truth.area, (truth.box[:, 2:] * image_sides).prod(1))
    truth_boxes = Boxes(truth.image, class_numbers[truth.class_], truth.box * scale, crowd=truth.crowd, area=area)
    rows = [
        (i, b.class_, b.x, b.y, b.width, b.height, b.score)
        for i, image_detections in enumerate(detections)
        for b in image_detections
    ]
    table = np.array(rows, float).reshape(-1, 7)
    found_boxes = Boxes(table[:, 0], table[:, 1], table[:, 2:6], table[:, 6])
    precision = average_precision(truth_boxes, found_boxes)
    thresholds = best_thresholds(truth_boxes, found_boxes)
    interval = bootstrap_comparison(truth_boxes, found_boxes)
    label_of = {int(class_numbers[i]): label for i, label in enumerate(examples.class_names)}
    by_class = {
        label_of.get(c, str(c)): {"ap50": precision.by_class_50[c], **thresholds.by_class[c]._asdict()}
        for c in precision.by_class_50
    }
    ap_small, ap_medium, ap_large = (
        value if np.isfinite(value) else None for value in (precision.ap_small, precision.ap_medium, precision.ap_large)
    )
    return BoxEvaluation(
        precision.ap,
        precision.ap50,
        precision.ap75,
        ap_small,
        ap_medium,
        ap_large,
        interval.low,
        interval.high,
        len(detections),
        by_class,
        match.by,
    )
