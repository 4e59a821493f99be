"""How finished networks do class by class, out of the files that trainings leave."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = "by_class"


@dataclass(frozen=True)
class ByClass:
    """A network's recall by class, its seeds averaged, and what it takes for what, added up; each class by its name."""

    name: str
    classes: tuple[str, ...]
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...] = ()


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
    recalls = list(zip(*(seed["recall"] for seed in seeds), strict=True))
    mean = tuple(None if None in values else sum(values) / len(values) for values in recalls)
    matrices = [seed["confusion"] for seed in seeds if "confusion" in seed]
    summed = tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*matrices, strict=True))
    classes = seeds[0]["classes"] or list(map(str, range(len(mean))))
    return ByClass(name, tuple(classes), mean, summed)
