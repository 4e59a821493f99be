"""The results of finished networks class by class, read from the files that their trainings write."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypeVar, cast

from typing_extensions import TypedDict

from scalesearch.errors import InputError, format_count
from scalesearch.statistics import compare_resamples
from scalesearch.typed_json import Natural, Number, from_json

T = TypeVar("T")

FOLDER = "by_class"
DETECTOR_KEYS = ("ap50", "interval", "confusion_threshold", "shown")


@dataclass(frozen=True)
class ClassResults:
    """Holds the test results of one network class by class.

    Attributes:
        name: The network.
        classes: The names of the classes.
        measure: Which measure `values` holds: `recall` of a classifier, `ap50` of a detector.
        values: The measure of each class, averaged over the seeds, in [0, 1]; None where a seed has none.
        confusion: Counts by true class (row) and predicted class (column), summed over the seeds. A detector's matrix
            has a last row and column for no object.
        detector: Further results of a detector, from its first seed.
    """

    name: str
    classes: tuple[str, ...]
    measure: str  # "recall", or "ap50"
    values: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...] = ()
    detector: DetectorResults | None = None


@dataclass(frozen=True)
class DetectorResults:
    """Holds the results that only a detector has; all but `resampled` are of its first seed.

    Attributes:
        interval: The 95 % interval of its average precision.
        threshold: For each class the confidence at which F1 is largest, in [0, 1].
        f1: For each class the F1 at that confidence.
        curves: For each class precision over recall.
        f1_curves: For each class F1 over confidence.
        confidence: The confidence above which boxes are counted in the confusion matrix.
        examples: The images on which it does worst and best.
        resampled: Its average precision on every bootstrap sample of the test images, averaged over the seeds.
    """

    interval: tuple[float, float]
    threshold: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    curves: tuple[tuple[float, ...] | None, ...]
    f1_curves: tuple[tuple[float, ...] | None, ...]
    confidence: float
    examples: tuple[ExampleImage, ...]
    resampled: tuple[float, ...] = ()


@dataclass(frozen=True)
class PairedComparison:
    """Compares the average precision of two networks on the same images by a paired bootstrap.

    Attributes:
        name: The first network.
        other: The second network.
        more: Average precision of the first minus that of the second.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end of that interval.
        wins: The share of bootstrap samples in which the first is better, in [0, 1].
    """

    name: str
    other: str
    more: float
    low: float
    high: float
    wins: float


def compare_detectors(networks: Sequence[ClassResults], others: Sequence[ClassResults]) -> list[PairedComparison]:
    """Returns a comparison of each of `networks` with each of `others`.

    Pairs are left out unless both are detectors that were scored on the same images.
    """
    comparisons = []
    for other, network in itertools.product(others, networks):
        if not network.detector or not other.detector or network.classes != other.classes:
            continue
        ours, theirs = network.detector.resampled, other.detector.resampled
        if ours and len(ours) == len(theirs):
            result = compare_resamples(ours, theirs)
            difference = (result.more, result.more_low, result.more_high, result.wins)
            comparisons.append(PairedComparison(network.name, other.name, *difference))
    return comparisons


class ExampleImage(TypedDict):
    """Holds an image with its true and its predicted boxes; boxes have their class, predicted ones also their score."""

    image: Natural
    f1: Number
    truth: list[list[Number]]
    found: list[list[Number]]
    pictures: list[str]


class SeedResults(TypedDict):
    """Holds what a training with one seed writes about the test split: a classifier `recall`, a detector the rest."""

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
    shown: NotRequired[list[ExampleImage]]


def read_class_results(folder: Path, step: str, names: list[str]) -> list[ClassResults]:
    """Returns the results of networks of a step, in the order of `names`; networks without files are left out.

    Raises:
        InputError: With the file's path, if a file is malformed or its classes differ from those of another seed.
    """
    seeds_by_name: dict[str, list[SeedResults]] = defaultdict(list)
    for path in sorted((folder / FOLDER / step).glob("*.json")):
        seeds = seeds_by_name[path.stem.rpartition("-s")[0]]
        try:
            seeds.append(_checked(from_json(SeedResults, path.read_bytes())))
            if _names(seeds[-1]) != _names(seeds[0]):
                raise InputError("has other classes than another seed's file", "classes")
        except InputError as error:
            raise error.in_file(str(path)) from None
    return [_average_seeds(name, seeds_by_name[name]) for name in names if seeds_by_name.get(name)]


def _measure(results: SeedResults) -> str:
    return "recall" if "recall" in results else "ap50"


def _names(results: SeedResults) -> list[str]:
    return results["classes"] or list(map(str, range(len(results[_measure(results)]))))  # type: ignore[literal-required]


def _checked(results: SeedResults) -> SeedResults:
    """Returns the results after a check.

    Raises `InputError` if a key of their task is missing, a list is longer than there are classes, or the confusion
    matrix is not square.
    """
    required = ("recall",) if "recall" in results else DETECTOR_KEYS
    if missing := next((key for key in required if key not in results), None):
        raise InputError("is missing", missing)
    for key in {"recall", "ap50", "threshold", "f1", "curves", "f1_curves"} & results.keys():
        if len(results[key]) > len(_names(results)):  # type: ignore[literal-required]
            raise InputError(f"has more than {format_count(len(_names(results)), 'class')}", key)
    matrix = results.get("confusion", [])
    if any(len(row) != len(matrix) for row in matrix):
        raise InputError("should have as many columns as rows", "confusion")
    return results


def _average_seeds(name: str, seeds: Sequence[SeedResults]) -> ClassResults:
    first, measure, detector = seeds[0], _measure(seeds[0]), None
    classes = _names(first)

    def padded(values: Sequence[T]) -> list[T | None]:
        return [*values, *[None] * (len(classes) - len(values))]

    each = list(zip(*(padded(seed[measure]) for seed in seeds), strict=True))  # type: ignore[literal-required]
    mean = tuple(None if None in values else sum(values) / len(values) for values in each)
    matrices = [seed["confusion"] for seed in seeds if "confusion" in seed]
    same_shape = [matrix for matrix in matrices if len(matrix) == len(matrices[0])]
    confusion = tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*same_shape, strict=True))
    if measure == "ap50":
        resamples = [seed.get("resampled", []) for seed in seeds]
        resamples = [values for values in resamples if len(values) == len(resamples[0])]
        lists_by_class = {
            key: tuple(padded(cast(list[Any], first.get(key, []))))
            for key in ("threshold", "f1", "curves", "f1_curves")
        }
        detector = DetectorResults(
            **lists_by_class,
            interval=first["interval"],
            confidence=first["confusion_threshold"],
            examples=tuple(map(_without_foreign_pictures, first["shown"])),
            resampled=tuple(sum(each) / len(each) for each in zip(*resamples)),
        )
    return ClassResults(name, tuple(classes), measure, mean, confusion, detector)


def _without_foreign_pictures(example: ExampleImage) -> ExampleImage:
    """Returns the example with only those pictures that are WebP data URIs: a run's folder may come from a stranger."""
    return {**example, "pictures": [p for p in example["pictures"] if p.startswith("data:image/webp;base64,")]}
