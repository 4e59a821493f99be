"""Scores a classifier on images with known classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.data import Examples
from scalesearch.errors import InputError, format_count
from scalesearch.network import Network
from scalesearch.weights.predicting import as_input, batches
from scalesearch.zoo import Preprocessing

BATCH = 64


class Evaluation(NamedTuple):
    """Shares of images in [0, 1] whose class is the first, or one of the first five; mean loss in nats; images."""

    top1: float
    top5: float
    loss: float
    images: int


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
    class_numbers = match_classes(examples, model.arch.classes, class_names)
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
    return Evaluation(top1_hits / count, top5_hits / count, loss / count, count)


def match_classes(examples: Examples, classes: int, class_names: Sequence[str] | None) -> list[int]:
    """Returns the network's class number for every class of the data.

    Classes are matched by name if `class_names` has all names of the data, and by number if it has none of them
    and the data has as many `classes` as the network.

    Raises:
        InputError: If the classes match neither by name nor by number.
    """
    number_of, names = {name: i for i, name in enumerate(class_names or ())}, examples.class_names
    if names and all(name in number_of for name in names):
        return [number_of[name] for name in names]
    matched = [name for name in names if name in number_of]
    if matched:
        missing = next(name for name in names if name not in number_of)
        raise InputError(
            f"has a class {missing!r}, and the network has none of that name (it has {len(matched)} of the others)",
            examples.origin,
        )
    if examples.classes != classes:
        first_unknown = next((name for name in names if name not in number_of), "")
        raise InputError(
            f"has {format_count(examples.classes, 'class')}"
            f"{f', such as {first_unknown!r}' if first_unknown else ''}, and "
            f"the network has {classes}, with other names",
            examples.origin,
        )
    return list(range(classes))
