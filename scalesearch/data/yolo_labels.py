"""Boxes as YOLO writes them: a text file for every image, and a YAML file that says where they lie."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scalesearch import yamlfile
from scalesearch.data.images import SUFFIXES
from scalesearch.data.index import Index, split_called
from scalesearch.data.labelled import Box, Labelled, boxed_index, is_there
from scalesearch.errors import InputError, numbered, shown

PIXELS = 2.0  # a share of an image's side is never as large: what is, is in pixels
NAMES = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt")
SPLITS = ("train", "val", "valid", "test")
MOST_BYTES = 4 << 20


def find_yaml(folder: Path) -> Path | None:
    """The one YAML file of a folder that names classes and where images lie."""
    found = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            data = yamlfile.read(path).data
        except InputError:
            continue
        if "names" in data and any(split in data for split in SPLITS):
            found.append(path)
    return found[0] if len(found) == 1 else None


def read_data_yaml(path: Path, origin: str) -> Index:
    """A data YAML: `path`, `train`, `val`, `test` (folders, lists of files, or several) and `names`.

    Folders are seen from `path`, or from the YAML's own folder where that isn't there; an image of several splits is of
    the first. Raises `InputError`, placed at the line, for what leads out of the folder or isn't there, and for labels
    that are none.
    """
    document = yamlfile.read(path)
    with document.located():
        classes = _names(document.data.get("names"), document.data.get("nc"))
    home = _normal(path.parent)
    roots = [home]
    with document.located():
        if (root := document.data.get("path")) not in (None, "", "."):
            if not isinstance(root, str):
                raise InputError(f"is a folder, got {shown(root)}", "path")
            named = _normal(home / root)
            roots = [named, home] if named.is_relative_to(home) and is_there(named) else [home]
    images: list[tuple[Path, str]] = []
    there: set[Path] = set()
    for split in SPLITS:
        told = document.data.get(split)
        for i, entry in enumerate(told if isinstance(told, list) else [] if told in (None, "") else [told]):
            with document.located():
                place = f"{split}[{i}]" if isinstance(told, list) else split
                found = list(_images(_entry(entry, roots, place, document.data.get("path")), home, place))
            new = [image for image in found if image not in there]  # as COCO128's own file tests what it trains on
            there.update(new)
            images += [(image, split_called(split) or split) for image in new]
    if not images:
        raise document_error(document, "names no images for train, val or test")
    return _index(origin, home, images, classes, path)


def document_error(document: yamlfile.Document, said: str) -> InputError:
    return InputError(said).in_file(str(document.path))


def read_labelled(folder: Path, origin: str) -> Index:
    """`images/` and `labels/` beside each other, perhaps in folders of splits, and a list of names."""
    images = []
    for path in sorted(_below(folder)):
        parts = path.relative_to(folder).parts[:-1]
        images.append((path, next((split for part in reversed(parts) if (split := split_called(part))), None)))
    lists = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    lists = lists or next(iter(sorted(folder.glob("*.names"))), None)
    classes = lists.read_text(encoding="utf-8-sig", errors="replace").split("\n") if lists else []
    return _index(origin, folder, images, [line.strip() for line in classes if line.strip()] or None, lists)


def has_labels(folder: Path) -> bool:
    """Whether `images` and `labels` lie beside each other, here or in a folder of a split."""
    there = [folder, *(p for p in folder.iterdir() if p.is_dir())]
    return any(
        (p / "images").is_dir() and (p / "labels").is_dir() and any((p / "labels").rglob("*.txt")) for p in there
    )


def _names(names: Any, count: Any) -> list[str]:
    if isinstance(names, Mapping):
        keys = [int(key) if str(key).isdecimal() else -1 for key in names]
        if sorted(keys) != list(range(len(names))):
            raise InputError(
                f"numbers classes from 0 to {len(names) - 1}, got {', '.join(map(str, names))[:100]}", "names"
            )
        names = [value for _, value in sorted(zip(keys, names.values()), key=lambda pair: pair[0])]
    if not isinstance(names, list) or not names or not all(isinstance(n, (str, int, float)) for n in names):
        raise InputError("lists the names of the classes", "names")
    if isinstance(count, int) and count != len(names):
        raise InputError(f"is {count}, and {len(names)} classes have names", "nc")
    return [str(name) for name in names]


def _entry(entry: Any, roots: Sequence[Path], place: str, root: Any) -> Path:
    """A folder or a list of files, inside the YAML's folder."""
    if not isinstance(entry, str):
        raise InputError(f"is a folder of images or a text file that lists them, got {shown(entry)}", place)
    home = roots[-1]
    wanted = [base / entry for base in roots]
    wanted += [home / entry.removeprefix("../")] if entry.startswith("../") else []  # as seen from elsewhere
    for there in wanted:
        if _normal(there).is_relative_to(home) and is_there(there):
            return there
    outside = next((there for there in wanted if is_there(there)), None)
    if outside is not None:
        raise InputError(
            f"leads out of the folder that the file lies in, to {_normal(outside)}; lay the file beside "
            "its images, and say where they lie as seen from there",
            place,
        )
    under = f" (nor under `path: {root}`)" if root not in (None, "", ".") else ""
    raise InputError(f"{entry!r} is not there as seen from the file's folder{under}", place)


def _normal(path: Path) -> Path:
    """Absolute, without `..`; links stay: a person who made one means it."""
    return Path(os.path.normpath(path.absolute()))


def _images(there: Path, home: Path, place: str) -> Iterator[Path]:
    if there.is_dir():
        yield from sorted(_below(there))
        return
    for number, line in enumerate(there.read_text(encoding="utf-8-sig", errors="replace").split("\n"), 1):
        if not (name := line.strip()):
            continue
        path = next((base / name for base in (there.parent, home) if is_there(base / name)), None)
        if path is None or not _normal(path).is_relative_to(home):
            raise InputError(f"line {number} of {there.name}: {name!r} is no image in the YAML's folder", place)
        yield path


def _below(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != ".")


def _label_of(image: Path) -> Path:
    """Where its boxes stand: the last folder called `images` is one called `labels` then; else beside it."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            return Path(*parts[:i], "labels", *parts[i + 1 :]).with_suffix(".txt")
    return image.with_suffix(".txt")


def _index(
    origin: str, home: Path, images: Sequence[tuple[Path, str | None]], classes: list[str] | None, said: Path | None
) -> Index:
    labels = {_label_of(path): path for path, _ in images}
    told = {label: _boxes(label, f"{origin}: {_seen(label, home)}", classes) for label in labels if label.is_file()}
    if classes is None:
        numbers = [box.class_ for boxes in told.values() for box in boxes]
        classes = [str(i) for i in range(max(numbers, default=-1) + 1)]
    found = [Labelled(path, _seen(path, home), split, told.get(_label_of(path))) for path, split in images]
    folders = {label.parent for label in labels}
    others = sorted({path for folder in folders if folder.is_dir() for path in folder.glob("*.txt")} - set(labels))
    lists = {home / name for name in NAMES}
    absent = [_seen(path, home) for path in others if path not in lists and path != said]
    if not told and images:
        raise InputError(
            f"has no label file for any of its {numbered(len(images), 'image')}; that of "
            f"{found[0].name} would be {_seen(_label_of(images[0][0]), home)}",
            origin,
        )
    return boxed_index(origin, found, classes, absent=absent, files=[*told, *([said] if said else [])])


def _seen(path: Path, home: Path) -> str:
    """As seen from the data's folder."""
    there, base = _normal(path), _normal(home)
    return (there.relative_to(base) if there.is_relative_to(base) else there).as_posix()


def _boxes(path: Path, place: str, classes: Sequence[str] | None) -> list[Box]:
    """A line each: class, centre, width and height as shares of the image's sides; or class and a polygon's corners."""
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"is over {MOST_BYTES:,} bytes: no label file is", place)
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").split("\n"), 1):
        if not (words := line.split()):
            continue
        here = f"{place}:{number}"
        try:
            class_, *values = map(float, words)
        except ValueError:
            said = f"takes numbers: class, x, y, width, height; got {shown(line.strip()[:60])}"
            raise InputError(said, here) from None
        if not all(map(math.isfinite, (class_, *values))) or class_ != int(class_) or class_ < 0:
            raise InputError(f"begins with a class's number from 0, got {words[0]}", here)
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            raise InputError(f"takes a class and 4 numbers (or a polygon's corners), got {len(values)}", here)
        if classes is not None and class_ >= len(classes):
            raise InputError(
                f"class {int(class_)} is beyond the list of {numbered(len(classes), 'name')} (0 to {len(classes) - 1})",
                here,
            )
        if max(map(abs, values)) > PIXELS:
            raise InputError(
                f"takes shares of the image's sides, from 0 to 1, and {shown(line.strip()[:60])} looks "
                "like pixels; divide x and width by the image's width, y and height by its height",
                here,
            )
        if len(values) == 4:
            x, y, width, height = values
            found.append(Box(int(class_), x - width / 2, y - height / 2, max(0.0, width), max(0.0, height)))
        else:
            across, down = values[0::2], values[1::2]
            found.append(Box(int(class_), min(across), min(down), max(across) - min(across), max(down) - min(down)))
    return found
