"""What is wrong with a data set, as data: counted, named, printed elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from annotated_types import Predicate
from typing_extensions import TypedDict

from scalesearch.data.boxes import TINY, tiny
from scalesearch.data.duplicates import Pair
from scalesearch.data.index import Index
from scalesearch.data.scan import Scan
from scalesearch.data.splits import counts
from scalesearch.errors import InputError, numbered
from scalesearch.typed_json import Natural

Names = tuple[str, str]
SIDES = range(96, 1281, 32)  # resolutions that small boxes are counted at
TOLD = "160", "320", "640"  # those that are told of any data set
FEW = 10  # images for training, below which a class is told as small
# What is done with images of Pillow's modes other than 8-bit RGB and grey.
TREATED = {
    "grey": "three equal channels, or one where all are grey",
    "alpha": "laid on white",
    "palette": "its colours looked up",
    "CMYK": "brought to RGB",
    "16-bit": "divided by 257",
}
KINDS = {
    "RGBA": "alpha",
    "LA": "alpha",
    "PA": "alpha",
    "RGBa": "alpha",
    "La": "alpha",
    "P": "palette",
    "CMYK": "CMYK",
    "L": "grey",
    "1": "grey",
}


class OfBoxes(TypedDict):
    """What is to be said of boxes: how many, how many of them crowds, in how many images; names of images with boxes
    of a kind; and how many boxes are tiny at a resolution."""

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
    """A data set's health; paths are as seen from its folder, pairs those of `duplicates`."""

    name: str
    files: int
    images: int
    classes: dict[str, dict[str, int]]  # class → images by split
    splits: dict[str, str]  # split → where it comes from
    sizes: dict[str, Any]  # width and height: smallest, median, largest
    modes: dict[str, int]
    unreadable: list[str]
    reasons: dict[str, str]
    turned: list[str]
    animated: list[str]
    duplicates: list[Names]
    leaks: list[Names]  # duplicates in two of the data's own splits
    conflicts: list[Names]  # duplicates in two classes
    left_out: list[str]  # of training: exact copies of images that are tested
    small: dict[str, int]  # classes with few images for training
    missing: dict[str, list[str]]  # split → classes without an image in it
    alike: list[Names]  # classes that differ in case alone
    loose: list[str]
    ignored: dict[str, int]  # files of other kinds, by suffix
    digest: str
    absent: list[str] = field(default_factory=list)  # classes that are spoken of and have no image
    boxes: OfBoxes | None = None  # where images have boxes: `classes` counts these then

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @staticmethod
    def of_dict(told: dict[str, Any]) -> Health:
        """What `to_dict` gave."""
        return Health(**told)

    @property
    def things(self) -> str:
        """What classes are counted in."""
        return "images" if self.boxes is None else "boxes"

    @property
    def thing(self) -> str:
        return "image" if self.boxes is None else "box"

    def _of_boxes(self, images: Callable[[list[str], str, str], str]) -> list[tuple[Any, str]]:
        if (told := self.boxes) is None:
            return []

        def some(names):
            return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

        is_are = "is", "are"
        tiny = [f"{told['tiny'][side]:,} at {side} px" for side in TOLD if told["tiny"].get(side)]
        return [
            (
                told["outside"],
                f"{images(told['outside'], 'has', 'have')} boxes that reach beyond the image, and are "
                f"cut: {some(told['outside'])}",
            ),
            (
                told["empty"],
                f"{images(told['empty'], 'has', 'have')} boxes without area, left out: {some(told['empty'])}",
            ),
            (
                told["twice"],
                f"{images(told['twice'], 'has', 'have')} the same box twice, taken once: {some(told['twice'])}",
            ),
            (
                told["sides"],
                f"{images(told['sides'], *is_are)} of other sides than told beside the boxes, which may be "
                f"wrong: {some(told['sides'])}",
            ),
            (
                told["unlabelled"],
                f"{images(told['unlabelled'], 'has', 'have')} no labels, and count as images without "
                f"boxes: {some(told['unlabelled'])}",
            ),
            (
                told["absent"],
                f"{len(told['absent']):,} labels are of images that are not there: {some(told['absent'])}",
            ),
            (
                tiny,
                f"boxes under {TINY} pixels on a side, which detectors hardly see (of {told['count']:,}): "
                f"{', '.join(tiny)}",
            ),
        ]

    @property
    def warnings(self) -> list[str]:
        """What a person should look at, a line each, the worst first."""

        def more(names):
            return f" and {len(names) - 3} more" if len(names) > 3 else ""

        def some(names):
            return ", ".join(names[:3]) + more(names)

        def pairs(found):
            return some([f"{a} = {b}" for a, b in found])

        def many(found, one, more):
            return f"{len(found):,} {one if len(found) == 1 else more}"

        def images(found, one, more):
            return many(found, f"image {one}", f"images {more}")

        said = [
            (self.leaks, f"{images(self.leaks, 'is', 'are')} in two splits: {pairs(self.leaks)}"),
            (
                self.left_out,
                f"{images(self.left_out, 'for training is a copy', 'for training are copies')} of what is "
                "tested, and left out",
            ),
            (
                self.unreadable,
                f"{len(self.unreadable)} of {numbered(self.files, 'file')} cannot be read and are "
                f"left out: {some([f'{n} ({self.reasons.get(n)})' for n in self.unreadable])}",
            ),
            (
                self.conflicts,
                f"{images(self.conflicts, 'is', 'are')} there twice, in two classes: {pairs(self.conflicts)}",
            ),
            (
                self.duplicates,
                f"{images(self.duplicates, 'is', 'are')} there twice or nearly so; each pair stays on "
                "one side of the splits that are made here",
            ),
            *(
                (names, f"{many(names, 'class has', 'classes have')} no {self.thing} for {split}: {some(names)}")
                for split, names in self.missing.items()
            ),
            (
                self.absent,
                f"left out, having no image: {many(self.absent, 'class that is', 'classes that are')} spoken "
                f"of ({some(self.absent)})",
            ),
            *self._of_boxes(images),
            (
                self.small,
                f"{many(self.small, 'class has', 'classes have')} fewer than {FEW} {self.things} for training"
                f": {some([f'{k} ({v})' for k, v in self.small.items()])}",
            ),
            (self.alike, f"classes that differ in case alone: {pairs(self.alike)}"),
            (self.turned, f"{images(self.turned, 'lies turned and is', 'lie turned and are')} put upright"),
            (self.animated, f"{images(self.animated, 'is', 'are')} animated; the first frame is taken"),
            (
                self.loose,
                f"{images(self.loose, 'lies in no class and is', 'lie in no class and are')} left out: "
                f"{some(self.loose)}",
            ),
            (
                self.ignored,
                f"{sum(self.ignored.values()):,} files of other kinds or beside the splits are not read: "
                f"{some([f'{suffix} ({count})' for suffix, count in self.ignored.items()])}",
            ),
        ]
        odd = [f"{count:,} {kind} ({TREATED[kind]})" for kind, count in self.modes.items() if kind in TREATED]
        return [line for found, line in said if found] + ([f"images with {', '.join(odd)}"] if odd else [])


def health(index: Index, scan: Scan, pairs: Sequence[Pair], told: Sequence[str]) -> Health:
    """All that is to be said of a data set, its splits as `told`."""
    names, rows = index.names, np.flatnonzero(scan.readable).tolist()

    def named(found):
        return [names[row] for row in found]

    def as_names(found: Iterable[Pair]) -> list[Names]:
        return [(names[p.first], names[p.second]) for p in found]

    def apart(values):
        return as_names([p for p in pairs if values[p.first] != values[p.second]])

    by_class = counts(index, told)
    splits = [split for split in ("train", "val", "test") if split in told]
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
            split: _origin(split, {index.splits[row] for row, s in enumerate(told) if s == split}) for split in splits
        },
        sizes=sizes,
        modes=dict(Counter(_kind(scan.modes[row]) for row in rows).most_common()),
        unreadable=named(unreadable),
        reasons={names[row]: scan.faults[row] for row in unreadable},
        turned=named(np.flatnonzero(scan.turned)),
        animated=named(np.flatnonzero(scan.animated)),
        duplicates=as_names(pairs),
        leaks=apart(index.splits),
        conflicts=[] if index.truth else apart(index.labels),
        boxes=_boxes(index, scan),
        left_out=named(row for row in rows if not told[row]),
        small={name: count for name, count in train.items() if count < FEW},
        missing={split: absent for split in splits if (absent := [n for n in by_class if not by_class[n][split]])},
        alike=_alike_in_case(index.classes),
        loose=list(index.loose),
        ignored=dict(index.ignored),
        absent=list(index.absent),
        digest=scan.digest,
    )


def _boxes(index: Index, scan: Scan) -> OfBoxes | None:
    """What is to be said of boxes."""
    if (truth := index.truth) is None:
        return None
    own, told = np.stack([scan.widths, scan.heights], 1), truth.sides
    other = (told > 0).all(1) & (told != own).any(1) & scan.readable
    with_boxes = len(np.unique(truth.image))
    return OfBoxes(
        count=len(truth.image),
        crowds=int(truth.crowd.sum()),
        images=with_boxes,
        outside=list(truth.outside),
        empty=list(truth.empty),
        twice=list(truth.twice),
        unlabelled=list(truth.unlabelled),
        absent=list(truth.absent),
        sides=[index.names[row] for row in np.flatnonzero(other).tolist()],
        tiny={str(side): tiny(truth, scan.widths, scan.heights, side) for side in SIDES},
    )


def _origin(split: str, from_: set[str | None]) -> str:
    if from_ == {split}:
        return "the data's own"
    return (
        "the data's own validation split"
        if from_ == {"val"}
        else "cut from training"
        if from_ == {"train"}
        else "cut from all images"
    )


def _kind(mode: str) -> str:
    return "16-bit" if mode.startswith("I;16") else KINDS.get(mode, mode)


def _alike_in_case(classes: Sequence[str]) -> list[Names]:
    first: dict[str, str] = {}
    return [(there, name) for name in classes if (there := first.setdefault(name.casefold(), name)) != name]


def check_health(found: Health, unreadable: float) -> None:
    """Raises `InputError` for what no study should train on: too many broken files, a class that is tested and never
    trained on, no images left for training or the test."""
    broken = found.unreadable
    if len(broken) > unreadable * found.files:
        listed = ", ".join(f"{name} ({found.reasons[name]})" for name in broken[:10])
        raise InputError(
            f"{len(broken)} of {numbered(found.files, 'file')} cannot be read, over {unreadable:.1%} of "
            f"them: {listed}; mend or remove them, or allow more by `data: {{unreadable: …}}`",
            found.name,
        )
    untrained = found.missing.get("train", [])
    if untrained and found.boxes is None:  # a detector of many classes may lack some
        others = "but some for the test" if sum(found.classes[untrained[0]].values()) else "nor for anything else"
        raise InputError(
            f'class "{untrained[0]}" has no image for training'
            f"{f' (nor have {len(untrained) - 1} more)' if untrained[1:] else ''}, {others}; "
            "give it some, or take it out",
            found.name,
        )
    for split in ("train", "val", "test"):
        if split not in found.splits:
            raise InputError(
                f"leaves no image for {split}: too few images in each class ({found.images} in all)", found.name
            )
