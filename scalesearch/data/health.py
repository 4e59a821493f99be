"""The health of a data set as data: counts, and the names of images and classes with faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from annotated_types import Predicate
from typing_extensions import TypedDict

from scalesearch.data.boxes import TINY, count_tiny
from scalesearch.data.duplicates import Pair
from scalesearch.data.index import Index
from scalesearch.data.scan import Scan
from scalesearch.data.splits import count_by_class
from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict
from scalesearch.typed_json import Natural

NamePair = tuple[str, str]
RESOLUTIONS = range(96, 1281, 32)  # resolutions that small boxes are counted at
REPORTED_RESOLUTIONS = "160", "320", "640"  # those that the warnings mention
MAX_16BIT = 65_535
FEW_IMAGES = 10  # training images below which a class is reported as small
# How images of each kind are converted.
TREATMENTS = {
    "grey": "three equal channels, or one where all are grey",
    "alpha": "laid on white",
    "palette": "its colours looked up",
    "CMYK": "brought to RGB",
    "16-bit": "divided by 257",
}
# By Pillow's mode; other modes are kinds of their own.
KIND_OF_MODE = dict.fromkeys(("RGBA", "LA", "PA", "RGBa", "La"), "alpha") | {"P": "palette", "L": "grey", "1": "grey"}


class BoxHealth(TypedDict):
    """The health of a data set's boxes.

    Attributes:
        count: Number of boxes.
        crowds: Number of boxes that are crowds.
        images: Number of images with boxes.
        outside: Images with boxes that reach beyond them.
        empty: Images with boxes without area.
        twice: Images with the same box twice.
        unlabelled: Images without annotations.
        absent: Annotations of images that do not exist.
        sides: Images of another size than annotated.
        tiny: Number of boxes with a side under `TINY` pixels, by the resolution of the longer side.
    """

    count: Natural
    crowds: Natural
    images: Natural
    outside: list[str]
    empty: list[str]
    twice: list[str]
    unlabelled: list[str]
    absent: list[str]
    sides: list[str]
    tiny: dict[Annotated[str, Predicate(str.isdecimal)], Natural]


@dataclass(frozen=True)
class Health:
    """The health of a data set: counts by class and split, and the names of faulty images.

    Names of images are paths relative to the data's folder; duplicates are those of `duplicates`.
    """

    name: str
    files: int
    images: int
    classes: dict[str, dict[str, int]]  # class → images by split
    splits: dict[str, str]  # split → where it comes from
    sizes: PlainDict  # width and height: smallest, median, largest
    modes: dict[str, int]
    unreadable: list[str]
    reasons: dict[str, str]
    turned: list[str]
    animated: list[str]
    duplicates: list[NamePair]
    leaks: list[NamePair]  # duplicates in two of the data's own splits
    conflicts: list[NamePair]  # duplicates in two classes
    left_out: list[str]  # readable images in no split: exact copies of validation or test images
    small: dict[str, int]  # classes with few images for training
    missing: dict[str, list[str]]  # split → classes without an image in it
    alike: list[NamePair]  # classes that differ in case alone
    loose: list[str]
    ignored: dict[str, int]  # files of other kinds, by suffix
    digest: str
    absent: list[str] = field(default_factory=list)  # classes that the data declares but has no image of
    boxes: BoxHealth | None = None  # None unless images have boxes; `classes` then counts boxes
    dark: str = ""  # a warning, if 16-bit images use a small part of their range

    def to_dict(self) -> PlainDict:
        """Returns the fields as a dictionary."""
        return dict(vars(self))

    @staticmethod
    def from_dict(data: PlainDict) -> Health:
        """Builds a `Health` from what `to_dict` returned."""
        return Health(**data)

    @property
    def units(self) -> str:
        """Returns what `classes` counts: images or boxes."""
        return "images" if self.boxes is None else "boxes"

    @property
    def unit(self) -> str:
        """Returns the singular of `units`."""
        return "image" if self.boxes is None else "box"

    def _box_warnings(self) -> list[tuple[Sized, str]]:
        if (boxes := self.boxes) is None:
            return []
        tiny = [f"{boxes['tiny'][side]:,} at {side} px" for side in REPORTED_RESOLUTIONS if boxes["tiny"].get(side)]
        faulty_images = [
            (boxes["outside"], "has", "have", "boxes that reach beyond the image, and are cut"),
            (boxes["empty"], "has", "have", "boxes without area, left out"),
            (boxes["twice"], "has", "have", "the same box twice, taken once"),
            (boxes["sides"], "is", "are", "of another size than annotated, so their boxes may be wrong"),
            (boxes["unlabelled"], "has", "have", "no labels, and count as images without boxes"),
        ]
        return [
            *(
                (names, f"{_images(names, singular, plural)} {fault}: {_some(names)}")
                for names, singular, plural, fault in faulty_images
            ),
            (
                boxes["absent"],
                f"{len(boxes['absent']):,} labels are of images that are not there: {_some(boxes['absent'])}",
            ),
            (
                tiny,
                f"boxes under {TINY} pixels on a side, which detectors hardly see (of {boxes['count']:,}): "
                f"{', '.join(tiny)}",
            ),
        ]

    @property
    def warnings(self) -> list[str]:
        """Returns what a person should look at, one line each, the most serious first."""
        findings = [
            (
                self.leaks,
                f"{_images(self.leaks, 'is', 'are')} in two of the data's own splits, which stay as they are: "
                f"{_pairs(self.leaks)}",
            ),
            (self.dark, self.dark),
            (
                self.left_out,
                f"{_images(self.left_out, 'for training is a copy', 'for training are copies')} of what is "
                "tested, and left out",
            ),
            (
                self.unreadable,
                f"{len(self.unreadable)} of {format_count(self.files, 'file')} cannot be read and are "
                f"left out: {_some([f'{n} ({self.reasons.get(n)})' for n in self.unreadable])}",
            ),
            (
                self.conflicts,
                f"{_images(self.conflicts, 'is', 'are')} duplicated, in two classes: {_pairs(self.conflicts)}",
            ),
            (
                self.duplicates,
                f"{_images(self.duplicates, 'is', 'are')} duplicated or nearly so; splits that are made here keep each "
                "pair together",
            ),
            *(
                (names, f"{_many(names, 'class has', 'classes have')} no {self.unit} for {split}: {_some(names)}")
                for split, names in self.missing.items()
            ),
            (
                self.absent,
                f"{_many(self.absent, 'declared class', 'declared classes')} without an image, left out: "
                f"{_some(self.absent)}",
            ),
            *self._box_warnings(),
            (
                self.small,
                f"{_many(self.small, 'class has', 'classes have')} fewer than {FEW_IMAGES} {self.units} for training"
                f": {_some([f'{k} ({v})' for k, v in self.small.items()])}",
            ),
            (self.alike, f"classes that differ in case alone: {_pairs(self.alike)}"),
            (self.turned, f"{_images(self.turned, 'is turned by EXIF and', 'are turned by EXIF and')} put upright"),
            (self.animated, f"{_images(self.animated, 'is', 'are')} animated; the first frame is taken"),
            (
                self.loose,
                f"{_images(self.loose, 'lies in no class and is', 'lie in no class and are')} left out: "
                f"{_some(self.loose)}",
            ),
            (
                self.ignored,
                f"{sum(self.ignored.values()):,} files of other kinds or beside the splits are not read: "
                f"{_some([f'{suffix} ({count})' for suffix, count in self.ignored.items()])}",
            ),
        ]
        odd = [f"{count:,} {kind} ({TREATMENTS[kind]})" for kind, count in self.modes.items() if kind in TREATMENTS]
        return [line for items, line in findings if items] + ([f"by kind of pixels: {', '.join(odd)}"] if odd else [])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _pairs(items: Iterable[NamePair]) -> str:
    return _some([f"{a} = {b}" for a, b in items])


def _many(items: Sized, singular: str, plural: str) -> str:
    return f"{len(items):,} {singular if len(items) == 1 else plural}"


def _images(items: Sized, singular: str, plural: str) -> str:
    return _many(items, f"image {singular}", f"images {plural}")


def health(index: Index, scan: Scan, pairs: Sequence[Pair], row_splits: Sequence[str]) -> Health:
    """Gathers the health of a data set.

    Args:
        index: The data set.
        scan: What reading its images found.
        pairs: Its duplicates.
        row_splits: The split of every image, empty for those in none.
    """
    names, rows = index.names, np.flatnonzero(scan.readable).tolist()

    def names_of(indices: Iterable[int]) -> list[str]:
        return [names[row] for row in indices]

    def name_pairs(selection: Iterable[Pair]) -> list[NamePair]:
        return [(names[p.first], names[p.second]) for p in selection]

    def pairs_across(values: Sequence[object]) -> list[NamePair]:
        return name_pairs([p for p in pairs if values[p.first] != values[p.second]])

    by_class = count_by_class(index, row_splits)
    splits = [split for split in ("train", "val", "test") if split in row_splits]
    train = {name: by_class[name].get("train", 0) for name in index.classes}
    sides = {side: np.array(values)[rows] for side, values in (("width", scan.widths), ("height", scan.heights))}
    sizes = {
        side: {"smallest": int(v.min()), "median": int(np.median(v)), "largest": int(v.max())}
        for side, v in sides.items()
        if len(v)
    }
    unreadable = [row for row, fault in enumerate(scan.faults) if fault]
    return Health(
        name=index.origin,
        files=len(index),
        images=len(rows),
        classes=by_class,
        splits={
            split: _split_origin(split, {index.splits[row] for row, s in enumerate(row_splits) if s == split})
            for split in splits
        },
        sizes=sizes,
        modes=dict(Counter(_mode_kind(scan.modes[row]) for row in rows).most_common()),
        unreadable=names_of(unreadable),
        reasons={names[row]: scan.faults[row] for row in unreadable},
        turned=names_of(np.flatnonzero(scan.turned)),
        animated=names_of(np.flatnonzero(scan.animated)),
        duplicates=name_pairs(pairs),
        leaks=pairs_across(index.splits),
        dark=_dark_images(scan),
        conflicts=[] if index.truth else pairs_across(index.labels),
        boxes=_box_health(index, scan),
        left_out=names_of(row for row in rows if not row_splits[row]),
        small={name: count for name, count in train.items() if count < FEW_IMAGES},
        missing={
            split: empty_classes
            for split in splits
            if (empty_classes := [n for n in by_class if not by_class[n][split]])
        },
        alike=_same_but_for_case(index.classes),
        loose=list(index.loose),
        ignored=dict(index.ignored),
        absent=list(index.absent),
        digest=scan.digest,
    )


def _dark_images(scan: Scan) -> str:
    """Returns a warning where 16-bit images use a part of their range alone, as those of 12-bit sensors do."""
    highs = scan.highs[scan.highs > 0]
    if not len(highs) or highs.max() >= MAX_16BIT // 2:
        return ""
    high = int(highs.max())
    return (
        f"{format_count(len(highs), '16-bit image')} with values up to {high:,} of {MAX_16BIT:,}: divided by 257 they "
        f"are dark, with {high // 257 + 1} of 256 levels; multiply them by {MAX_16BIT // high} before"
    )


def _box_health(index: Index, scan: Scan) -> BoxHealth | None:
    """Returns the health of the boxes, or None for a data set without any."""
    if (truth := index.truth) is None:
        return None
    image_sizes, annotated_sizes = np.stack([scan.widths, scan.heights], 1), truth.sides
    differs = (annotated_sizes > 0).all(1) & (annotated_sizes != image_sizes).any(1) & scan.readable
    return BoxHealth(
        count=len(truth.image),
        crowds=int(truth.crowd.sum()),
        images=len(np.unique(truth.image)),
        outside=list(truth.outside),
        empty=list(truth.empty),
        twice=list(truth.twice),
        unlabelled=list(truth.unlabelled),
        absent=list(truth.absent),
        sides=[index.names[row] for row in np.flatnonzero(differs).tolist()],
        tiny={str(side): count_tiny(truth, scan.widths, scan.heights, side) for side in RESOLUTIONS},
    )


def _split_origin(split: str, origins: set[str | None]) -> str:
    if origins == {split}:
        return "the data's own"
    if origins == {"val"}:
        return "the data's own validation split"
    return "cut from training" if origins == {"train"} else "cut from all images"


def _mode_kind(mode: str) -> str:
    return "16-bit" if mode.startswith("I;16") else KIND_OF_MODE.get(mode, mode)


def _same_but_for_case(classes: Sequence[str]) -> list[NamePair]:
    first_spelling: dict[str, str] = {}
    return [
        (earlier, name) for name in classes if (earlier := first_spelling.setdefault(name.casefold(), name)) != name
    ]


def check_health(health: Health, unreadable: float) -> None:
    """Raises `InputError` for a data set that no study should train on.

    These are data with a larger share of broken files than `unreadable`, with a class that has no training
    image (unless for detection), or with a split that has no image.
    """
    broken = health.unreadable
    if len(broken) > unreadable * health.files:
        listing = ", ".join(f"{name} ({health.reasons[name]})" for name in broken[:10])
        raise InputError(
            f"{len(broken)} of {format_count(health.files, 'file')} cannot be read, over {unreadable:.1%} of "
            f"them: {listing}; mend or remove them, or allow more by `data: {{unreadable: …}}`",
            health.name,
        )
    untrained = health.missing.get("train", [])
    if untrained and health.boxes is None:  # a detector of many classes may lack some
        elsewhere = "but some for the test" if sum(health.classes[untrained[0]].values()) else "nor for anything else"
        raise InputError(
            f'class "{untrained[0]}" has no image for training'
            f"{f' (nor have {len(untrained) - 1} more)' if untrained[1:] else ''}, {elsewhere}; "
            "give it some, or take it out",
            health.name,
        )
    for split in ("train", "val", "test"):
        if split not in health.splits:
            raise InputError(
                f"leaves no image for {split}: too few images in each class ({health.images} in all)", health.name
            )
