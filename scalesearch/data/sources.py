"""Where images come from: a table of sources, each known by its facts before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from scalesearch.data.digits import load_digits
from scalesearch.errors import InputError, unknown

if TYPE_CHECKING:
    import numpy as np

    Split = tuple[np.ndarray, np.ndarray]  # images (n, channels, height, width) uint8, labels (n,) int64


@dataclass(frozen=True)
class Source:
    """A data set: its facts, and the function that loads its `train`, `val` and `test` splits.

    `mirror` says whether a mirrored image still shows its class.
    """

    name: str
    resolution: int
    channels: int
    classes: int
    mirror: bool
    sizes: Mapping[str, int]  # images by split
    load: Callable[[], dict[str, Split]]
    origin: str
    task: str = "classification"  # what its labels are for

    def examples(self, split: str) -> int:
        return self.sizes[split]


SOURCES = {
    "digits": Source("digits", 8, 1, 10, False, {"train": 1077, "val": 360, "test": 360}, load_digits,
                     "Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as in scikit-learn"),
}  # fmt: skip


GROUP = "scalesearch.data"  # entry points of installed packages, each a `Source`


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def source(name: str) -> Source:
    """The data source called `name`, of the table or of an installed package's entry point in the group
    `scalesearch.data`. Raises `InputError` with the nearest name where there is none.
    """
    if name in SOURCES:
        return SOURCES[name]
    others = _entry_points()
    if name not in others:
        raise InputError(unknown("data set", name, [*SOURCES, *others]), "data")
    found = others[name].load()
    if not isinstance(found, Source):
        raise InputError(f"the entry point {others[name].value} of {name} is no `scalesearch.data.Source`", "data")
    return found


@lru_cache(maxsize=2)
def load(name: str) -> dict[str, Split]:
    """The splits of a source, kept for the next trial in the same process."""
    return source(name).load()
