"""`Source`: the facts of a data set, known before an image is loaded, and how to load its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from typing_extensions import TypedDict

from scalesearch.typed_json import Natural

Split = tuple[Any, Any]  # images (n, channels, height, width) uint8 as an array or `Pixels`, labels (n,) int64


class Sizes(TypedDict):
    """Images by split."""

    train: Natural
    val: Natural
    test: Natural


class Facts(TypedDict):
    """A `Source` but for how to load it, as plain data."""

    name: str
    resolution: Natural
    channels: Natural
    classes: Natural
    mirror: bool
    sizes: Sizes
    origin: str
    task: str
    class_names: tuple[str, ...]
    digest: str
    size: Natural | tuple[Natural, Natural] | None
    assigned: str


@dataclass(frozen=True)
class Source:
    """A data set: its facts, and the function that loads its `train`, `val` and `test` splits.

    `mirror` says whether a mirrored image still shows its class. `digest` names its contents and `size` the side (or
    height and width) that images are kept at, where these come from files.
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
    class_names: tuple[str, ...] = ()
    digest: str = ""
    size: int | tuple[int, int] | None = None
    assigned: str = ""  # digest of which image is of which class and split

    def facts(self) -> dict[str, Any]:
        """`Facts`, all but how to load it."""
        told = {key: value for key, value in vars(self).items() if key != "load"}
        return told | {"sizes": dict(self.sizes)}

    @staticmethod
    def of_facts(facts: Facts) -> Source:
        """What `facts` told; its images are out of reach."""

        def gone() -> dict[str, Split]:
            raise FileNotFoundError(f"the images of {facts['name']} are out of reach")

        return Source(**cast(dict[str, Any], facts), load=gone)

    def examples(self, split: str) -> int:
        return self.sizes[split]
