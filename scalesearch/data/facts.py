"""`Source`: the facts of a data set, known before an image is loaded, and a loader of its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from typing_extensions import TypedDict

from scalesearch.plain_data import PlainDict
from scalesearch.typed_json import Natural

Split = tuple[Any, Any]  # images (n, channels, height, width) uint8 as an array or `Pixels`, labels (n,) int64


class Sizes(TypedDict):
    """Number of images by split."""

    train: Natural
    val: Natural
    test: Natural


class Facts(TypedDict):
    """The fields of a `Source` without its loader, as plain data."""

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

    Attributes:
        name: Short name of the data.
        resolution: Side in pixels that studies train at unless they say otherwise.
        channels: Number of channels of an image.
        classes: Number of classes.
        mirror: Whether a mirrored image still shows its class.
        sizes: Number of images by split.
        load: Returns images and labels by split.
        origin: Where the data comes from, as messages and reports name it.
        task: What the labels are for: classification or detection.
        class_names: By class number, where they are known.
        digest: Of the images' contents, where they come from files.
        size: Side in pixels that images from files are stored at, or their height and width.
        assigned: Digest of the class and split of every image.
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

    def facts(self) -> PlainDict:
        """Returns all fields but the loader, as `Facts`."""
        fields = {key: value for key, value in vars(self).items() if key != "load"}
        return fields | {"sizes": dict(self.sizes)}

    @staticmethod
    def from_facts(facts: Facts) -> Source:
        """Builds a source from `Facts`, without access to its images.

        Its `load` raises `FileNotFoundError`.
        """

        def unavailable() -> dict[str, Split]:
            raise FileNotFoundError(f"the images of {facts['name']} are out of reach")

        return Source(**cast(PlainDict, facts), load=unavailable)

    def image_count(self, split: str) -> int:
        """Returns the number of images in a split."""
        return self.sizes[split]
