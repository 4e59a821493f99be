"""How well a detector with trained weights finds the boxes of a split: average precision, as COCO measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from scalesearch.data import Examples, Placed, letterboxed
from scalesearch.errors import InputError
from scalesearch.network import MEASURED, Network, decoder, suppressed
from scalesearch.statistics import Boxes, average_precision, best_thresholds, bootstrapped
from scalesearch.weights.detecting import Box, batch_of, brought_back
from scalesearch.weights.evaluating import numbers
from scalesearch.zoo import Preprocessing

BATCH = 16


class BoxEvaluation(NamedTuple):
    """COCO's average precision over overlaps from a half to 0.95, at two of them and by size; its 95 % interval, from a
    bootstrap over images; by class that at half overlap and the confidence at which F1 is best, with precision and
    recall there."""

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


def evaluate_boxes(
    model: Network,
    examples: Examples,
    preprocessing: Preprocessing,
    called: Sequence[str] | None = None,
    device: str = "cpu",
) -> BoxEvaluation:
    """How `model` does on images with known boxes, whose classes are those of the same name where the network's are
    `called` so, else those of the same number.

    Raises `InputError` for images without boxes, and where classes have neither in common.
    """
    if (truth := examples.boxes) is None:
        raise InputError("has classes of whole images, and the network finds boxes", examples.origin)
    number = np.array(numbers(examples, model.arch.classes, called))
    decode, model = decoder(model.arch).to(device), model.eval().to(device)
    found: list[list[Box]] = []
    sides: list[tuple[int, int]] = []
    waiting: list[tuple[np.ndarray, Placed]] = []

    def look() -> None:
        with torch.inference_mode():
            boxes, scores = decode(model(batch_of([pixels for pixels, _ in waiting], preprocessing, device)))
        kept = suppressed(boxes.float(), scores.float(), **MEASURED)
        found.extend(list(brought_back(own, placed)) for own, (_, placed) in zip(kept, waiting))
        sides.extend((placed.width, placed.height) for _, placed in waiting)
        waiting.clear()

    for taken in examples.images(lambda file: letterboxed(file, model.arch.resolution, model.arch.channels)):
        waiting.append(taken)
        if len(waiting) == BATCH:
            look()
    if waiting:
        look()
    whole = np.array(sides, float)[truth.image]
    scale = np.concatenate([whole, whole], 1)
    area = np.where(np.isfinite(truth.area), truth.area, (truth.box[:, 2:] * whole).prod(1))
    wanted = Boxes(truth.image, number[truth.class_], truth.box * scale, crowd=truth.crowd, area=area)
    rows = [(i, b.class_, b.x, b.y, b.width, b.height, b.score) for i, of in enumerate(found) for b in of]
    table = np.array(rows, float).reshape(-1, 7)
    said = Boxes(table[:, 0], table[:, 1], table[:, 2:6], table[:, 6])
    measured, best, sure = average_precision(wanted, said), best_thresholds(wanted, said), bootstrapped(wanted, said)
    name = {int(number[i]): label for i, label in enumerate(examples.class_names)}
    by_class = {
        name.get(c, str(c)): {"ap50": measured.by_class_50[c], **best.by_class[c]._asdict()}
        for c in measured.by_class_50
    }
    sized = [
        value if np.isfinite(value) else None for value in (measured.ap_small, measured.ap_medium, measured.ap_large)
    ]
    return BoxEvaluation(
        measured.ap,
        measured.ap50,
        measured.ap75,
        sized[0],
        sized[1],
        sized[2],
        sure.low,
        sure.high,
        len(found),
        by_class,
    )
