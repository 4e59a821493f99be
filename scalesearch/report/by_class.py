"""How finished networks do class by class, out of the files that trainings leave."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalesearch.statistics import compared

FOLDER = "by_class"


@dataclass(frozen=True)
class ByClass:
    """A network's `measure` by class, its seeds averaged, and what it takes for what, added up; each class by its name.

    Of detectors the matrix ends in what is nothing, and there is more to tell, of the first seed.
    """

    name: str
    classes: tuple[str, ...]
    measure: str  # "recall", or "ap50"
    values: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...] = ()
    found: Detected | None = None


@dataclass(frozen=True)
class Detected:
    """What there is to tell of a detector: the 95 % interval of its average precision, of every class the confidence
    at which F1 is best, that F1, precision at every recall and F1 at every confidence; the confidence that the matrix
    is of; pictures of the images on which it does worst and best; and its average precision over images drawn again and
    again, its seeds averaged."""

    interval: tuple[float, float]
    threshold: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    curves: tuple[tuple[float, ...] | None, ...]
    f1_curves: tuple[tuple[float, ...] | None, ...]
    at: float
    shown: tuple[Mapping[str, Any], ...]
    resampled: tuple[float, ...] = ()


@dataclass(frozen=True)
class Beats:
    """By how much a network's average precision is larger than another's on the same images, with the 95 % interval of
    a paired bootstrap and the share of samples in which it is."""

    name: str
    other: str
    more: float
    low: float
    high: float
    wins: float


def beaten(networks: Sequence[ByClass], others: Sequence[ByClass]) -> list[Beats]:
    """Every one of the networks beside every other one, as far as both are detectors scored on the same images."""
    pairs = [(own, other) for other in others for own in networks
             if own.found and other.found and own.found.resampled and own.classes == other.classes
             and len(own.found.resampled) == len(other.found.resampled)]  # fmt: skip
    sure = [compared(own.found.resampled, other.found.resampled) for own, other in pairs if own.found and other.found]
    return [Beats(own.name, other.name, s.more, s.more_low, s.more_high, s.wins)
            for (own, other), s in zip(pairs, sure, strict=True)]


def by_class(folder: Path, step: str, names: list[str]) -> list[ByClass]:
    """Of those networks of a step, in their order, as far as files of theirs are there."""
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted((folder / FOLDER / step).glob("*.json")):
        try:
            told[path.stem.rpartition("-s")[0]].append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue  # cut off by a kill; it is written again with its trial
    return [_of(name, told[name]) for name in names if told.get(name)]


def _of(name: str, seeds: list[dict[str, Any]]) -> ByClass:
    measure = "recall" if "recall" in seeds[0] else "ap50"
    classes = seeds[0]["classes"] or list(map(str, range(len(seeds[0][measure]))))
    padded = lambda values: [*values, *[None] * (len(classes) - len(values))]
    each = list(zip(*(padded(seed[measure]) for seed in seeds), strict=True))
    mean = tuple(None if None in values else sum(values) / len(values) for values in each)
    matrices = [seed["confusion"] for seed in seeds if "confusion" in seed]
    alike = [matrix for matrix in matrices if len(matrix) == len(matrices[0])]
    summed = tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*alike, strict=True))
    first, found = seeds[0], None
    if measure == "ap50":
        threshold, f1, curves, f1_curves = (
            tuple(padded(first.get(key, ()))) for key in ("threshold", "f1", "curves", "f1_curves"))
        drawn = [seed.get("resampled", ()) for seed in seeds]
        drawn = [values for values in drawn if len(values) == len(drawn[0])]
        found = Detected(tuple(first["interval"]), threshold, f1, curves, f1_curves, first["confusion_threshold"],
                         tuple(map(_safe, first["shown"])), tuple(sum(each) / len(each) for each in zip(*drawn)))
    return ByClass(name, tuple(classes), measure, mean, summed, found)


def _safe(shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pictures that are pictures: a run's folder may come from a stranger."""
    return {**shown, "pictures": [p for p in shown["pictures"] if str(p).startswith("data:image/webp;base64,")]}
