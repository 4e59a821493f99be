"""Images with known classes → how many of them a network gets right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from scalesearch.data import Examples
from scalesearch.errors import InputError, numbered
from scalesearch.network import Network
from scalesearch.weights.predicting import as_input
from scalesearch.zoo import Preprocessing

BATCH = 64


class Evaluation(NamedTuple):
    """Shares of images whose class is the likeliest and among the five likeliest; mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float
    images: int


def evaluate(
    model: Network,
    examples: Examples,
    preprocessing: Preprocessing,
    called: Sequence[str] | None = None,
    device: str = "cpu",
) -> Evaluation:
    """How `model` does on images with known classes, which are those of the same name where the network's are `called`
    so, else those of the same number.

    Raises `InputError` where the two have neither in common.
    """
    number = numbers(examples, model.arch.classes, called)
    model = model.eval().to(device)
    right, among, loss, count = 0, 0, 0.0, 0
    for images, labels in _batches(examples, preprocessing, model.arch.channels):
        wanted = torch.tensor([number[label] for label in labels], device=device)
        with torch.inference_mode():
            out = model(images.to(device)).float()
        right += (out.argmax(1) == wanted).sum().item()
        among += (out.topk(min(5, out.shape[1])).indices == wanted[:, None]).any(1).sum().item()
        loss += F.cross_entropy(out, wanted, reduction="sum").item()
        count += len(labels)
    return Evaluation(right / count, among / count, loss / count, count)


def numbers(examples: Examples, classes: int, called: Sequence[str] | None) -> list[int]:
    """The network's number of every class of the data."""
    theirs, names = {name: i for i, name in enumerate(called or ())}, examples.class_names
    if names and all(name in theirs for name in names):
        return [theirs[name] for name in names]
    known = [name for name in names if name in theirs]
    if known:
        other = next(name for name in names if name not in theirs)
        raise InputError(
            f"has a class {other!r}, which the network has none of that name for ({len(known)} others it has)",
            examples.origin,
        )
    if examples.classes != classes:
        unknown = next((name for name in names if name not in theirs), "")
        raise InputError(
            f"has {numbered(examples.classes, 'class')}{f', as {unknown!r}' if unknown else ''}, and "
            f"the network {classes} of other names",
            examples.origin,
        )
    return list(range(classes))


def _batches(
    examples: Examples, preprocessing: Preprocessing, channels: int
) -> Iterator[tuple[torch.Tensor, list[int]]]:
    images: list[torch.Tensor] = []
    labels: list[int] = []
    for image, label in examples.prepared(lambda file: as_input(file, preprocessing, channels)):
        images.append(image)
        labels.append(label)
        if len(images) == BATCH:
            yield torch.stack(images), labels
            images, labels = [], []
    if images:
        yield torch.stack(images), labels
