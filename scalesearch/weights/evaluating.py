"""Scores a classifier on images with known classes."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.data import Examples
from scalesearch.errors import WorkFailed
from scalesearch.network import Network
from scalesearch.weights.class_names import ClassMatch, match_classes
from scalesearch.weights.predicting import as_input, batches
from scalesearch.zoo import Preprocessing

BATCH = 64


class Evaluation(NamedTuple):
    """Shares of images in [0, 1] whose class is the first, or one of the first five; mean loss in nats; images.

    `matched_by` says whether the classes of network and data were matched by name or by number.
    """

    top1: float
    top5: float
    loss: float
    images: int
    matched_by: str


def evaluate(
    model: Network,
    examples: Examples,
    preprocessing: Preprocessing,
    class_names: Sequence[str] | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Scores `model` on images with known classes.

    Args:
        model: A classifier with trained weights.
        examples: The images with their classes.
        preprocessing: How images are prepared for these weights.
        class_names: What the network's classes are called. They are matched with the data's as by
            `match_classes`.
        device: A torch device.

    Raises:
        InputError: If the classes match neither by name nor by number.
    """
    match = match_examples(examples, model.arch.classes, class_names)
    class_numbers = match.numbers
    model = model.eval().to(device)
    top1_hits, top5_hits, loss, count = 0, 0, 0.0, 0
    labelled_images = examples.labelled_images(lambda file: as_input(file, preprocessing, model.arch.channels))
    for batch in batches(labelled_images, BATCH):
        targets = torch.tensor([class_numbers[label] for _, label in batch], device=device)
        with torch.inference_mode():
            logits = model(torch.stack([image for image, _ in batch]).to(device)).float()
        top1_hits += (logits.argmax(1) == targets).sum().item()
        top5_hits += (logits.topk(min(5, logits.shape[1])).indices == targets[:, None]).any(1).sum().item()
        loss += F.cross_entropy(logits, targets, reduction="sum").item()
        count += len(batch)
    if not isfinite(loss):
        raise WorkFailed(f"{examples.origin}: the network's outputs are no finite numbers")
    return Evaluation(top1_hits / count, top5_hits / count, loss / count, count, match.by)


def match_examples(examples: Examples, classes: int, class_names: Sequence[str] | None) -> ClassMatch:
    """Returns the network's class number for every class of the examples; see `match_classes`."""
    return match_classes(examples.class_names, examples.classes, class_names, classes, examples.origin)
