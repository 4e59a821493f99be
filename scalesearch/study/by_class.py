"""How finished networks do class by class, out of the files that trainings leave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypeVar, cast

from typing_extensions import TypedDict

from scalesearch.errors import InputError, numbered
from scalesearch.statistics import compare_resamples
from scalesearch.typed_json import Natural, Number, from_json

T = TypeVar("T")

FOLDER = "by_class"
OF_DETECTORS = ("ap50", "interval", "confusion_threshold", "shown")


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
    shown: tuple[Shown, ...]
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
    pairs = [
        (own, other)
        for other in others
        for own in networks
        if own.found
        and other.found
        and own.found.resampled
        and own.classes == other.classes
        and len(own.found.resampled) == len(other.found.resampled)
    ]
    sure = [
        compare_resamples(own.found.resampled, other.found.resampled)
        for own, other in pairs
        if own.found and other.found
    ]
    return [
        Beats(own.name, other.name, s.more, s.more_low, s.more_high, s.wins)
        for (own, other), s in zip(pairs, sure, strict=True)
    ]


class Shown(TypedDict):
    """An image with its boxes, by their class and (of those found) score."""

    image: Natural
    f1: Number
    truth: list[list[Number]]
    found: list[list[Number]]
    pictures: list[str]


class Kept(TypedDict):
    """What a training leaves of the test split, class by class: of a classifier recall, of a detector the rest."""

    classes: list[str]  # empty where they are numbers
    confusion: NotRequired[list[list[Natural]]]
    recall: NotRequired[list[Number | None]]
    ap: NotRequired[list[Number | None]]
    ap50: NotRequired[list[Number | None]]
    threshold: NotRequired[list[Number | None]]
    f1: NotRequired[list[Number | None]]
    curves: NotRequired[list[list[Number] | None]]
    f1_curves: NotRequired[list[list[Number] | None]]
    interval: NotRequired[tuple[Number, Number]]
    resampled: NotRequired[list[Number]]
    confusion_threshold: NotRequired[Number]
    shown: NotRequired[list[Shown]]


def by_class(folder: Path, step: str, names: list[str]) -> list[ByClass]:
    """Of those networks of a step, in their order, as far as files of theirs are there. Raises `InputError`, placed at
    the file, for one that is not as it was left."""
    told: dict[str, list[Kept]] = defaultdict(list)
    for path in sorted((folder / FOLDER / step).glob("*.json")):
        seeds = told[path.stem.rpartition("-s")[0]]
        try:
            seeds.append(_checked(from_json(Kept, path.read_bytes())))
            if _names(seeds[-1]) != _names(seeds[0]):
                raise InputError("has other classes than another seed's file", "classes")
        except InputError as error:
            raise error.in_file(str(path)) from None
    return [_of(name, told[name]) for name in names if told.get(name)]


def _measure(told: Kept) -> str:
    return "recall" if "recall" in told else "ap50"


def _names(told: Kept) -> list[str]:
    return told["classes"] or list(map(str, range(len(told[_measure(told)]))))  # type: ignore[literal-required]


def _checked(told: Kept) -> Kept:
    """Raises `InputError` where it has not all that is told of its task, or more than there are classes."""
    needed = ("recall",) if "recall" in told else OF_DETECTORS
    if missing := next((key for key in needed if key not in told), None):
        raise InputError("is missing", missing)
    for key in {"recall", "ap50", "threshold", "f1", "curves", "f1_curves"} & told.keys():
        if len(told[key]) > len(_names(told)):  # type: ignore[literal-required]
            raise InputError(f"has more than {numbered(len(_names(told)), 'class')}", key)
    matrix = told.get("confusion", [])
    if any(len(row) != len(matrix) for row in matrix):
        raise InputError("should have as many columns as rows", "confusion")
    return told


def _of(name: str, seeds: Sequence[Kept]) -> ByClass:
    first, measure, found = seeds[0], _measure(seeds[0]), None
    classes = _names(first)

    def padded(values: Sequence[T]) -> list[T | None]:
        return [*values, *[None] * (len(classes) - len(values))]

    each = list(zip(*(padded(seed[measure]) for seed in seeds), strict=True))  # type: ignore[literal-required]
    mean = tuple(None if None in values else sum(values) / len(values) for values in each)
    matrices = [seed["confusion"] for seed in seeds if "confusion" in seed]
    alike = [matrix for matrix in matrices if len(matrix) == len(matrices[0])]
    summed = tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*alike, strict=True))
    if measure == "ap50":
        drawn = [seed.get("resampled", []) for seed in seeds]
        drawn = [values for values in drawn if len(values) == len(drawn[0])]
        threshold, f1, curves, f1_curves = (
            tuple(padded(cast(list[Any], first.get(key, [])))) for key in ("threshold", "f1", "curves", "f1_curves")
        )
        found = Detected(
            first["interval"],
            threshold,
            f1,
            curves,
            f1_curves,
            first["confusion_threshold"],
            tuple(map(_safe, first["shown"])),
            tuple(sum(each) / len(each) for each in zip(*drawn)),
        )
    return ByClass(name, tuple(classes), measure, mean, summed, found)


def _safe(shown: Shown) -> Shown:
    """Pictures that are pictures: a run's folder may come from a stranger."""
    return {**shown, "pictures": [p for p in shown["pictures"] if p.startswith("data:image/webp;base64,")]}
