"""Reads boxes in YOLO's format: one text file per image, and a YAML file that says where they are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scalesearch import yamlfile
from scalesearch.data.images import SUFFIXES
from scalesearch.data.index import Index, split_from_name
from scalesearch.data.labelled import Box, LabelledImage, build_box_index, path_exists
from scalesearch.errors import InputError, format_count, format_value

MAX_SHARE = 2.0  # larger values are taken for pixels, not for shares of an image's side
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt")
SPLITS = ("train", "val", "valid", "test")
MAX_BYTES = 4 << 20


def find_yaml(folder: Path) -> Path | None:
    """Returns the YAML file of a folder that lists class names and splits, if there is exactly one."""
    paths = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            data = yamlfile.read(path).data
        except InputError:
            continue
        if "names" in data and any(split in data for split in SPLITS):
            paths.append(path)
    return paths[0] if len(paths) == 1 else None


def read_data_yaml(path: Path, origin: str) -> Index:
    """Reads a data YAML as an index.

    Its keys are `path`; `train`, `val` and `test`: each a folder, a list of files, or several; and `names`.
    Folders are relative to `path`, or to the YAML's own folder where that does not exist. An image in several
    splits belongs to the first.

    Raises `InputError`, placed at the line, for a path that is missing or outside the YAML's folder, and for
    invalid labels.
    """
    document = yamlfile.read(path)
    with document.errors_located():
        classes = _parse_names(document.data.get("names"), document.data.get("nc"))
    home = _normalise(path.parent)
    roots = [home]
    with document.errors_located():
        if (root := document.data.get("path")) not in (None, "", "."):
            if not isinstance(root, str):
                raise InputError(f"is a folder, got {format_value(root)}", "path")
            declared_root = _normalise(home / root)
            if declared_root.is_relative_to(home) and path_exists(declared_root):
                roots = [declared_root, home]
    images: list[tuple[Path, str]] = []
    seen: set[Path] = set()
    for split in SPLITS:
        value = document.data.get(split)
        for i, entry in enumerate(value if isinstance(value, list) else [] if value in (None, "") else [value]):
            with document.errors_located():
                place = f"{split}[{i}]" if isinstance(value, list) else split
                paths = list(_image_paths(_resolve_entry(entry, roots, place, document.data.get("path")), home, place))
            new = [image for image in paths if image not in seen]  # COCO128 lists the same images for train and val
            seen.update(new)
            images += [(image, split_from_name(split) or split) for image in new]
    if not images:
        raise InputError("names no images for train, val or test").in_file(str(path))
    return _build_index(origin, home, images, classes, path)


def read_labelled(folder: Path, origin: str) -> Index:
    """Reads `images/` and `labels/` that lie side by side, perhaps in folders of splits, as an index.

    Class names come from a file such as `classes.txt`; without one, classes are called by their numbers.
    """
    images = []
    for path in sorted(_images_below(folder)):
        parts = path.relative_to(folder).parts[:-1]
        images.append((path, next((split for part in reversed(parts) if (split := split_from_name(part))), None)))
    names_file = next((folder / name for name in NAME_FILES if (folder / name).is_file()), None)
    names_file = names_file or next(iter(sorted(folder.glob("*.names"))), None)
    classes = names_file.read_text(encoding="utf-8-sig", errors="replace").split("\n") if names_file else []
    return _build_index(origin, folder, images, [line.strip() for line in classes if line.strip()] or None, names_file)


def has_labels(folder: Path) -> bool:
    """Returns whether `images` and `labels` lie side by side, in the folder or right below it."""
    folders = [folder, *(p for p in folder.iterdir() if p.is_dir())]
    return any(
        (p / "images").is_dir() and (p / "labels").is_dir() and any((p / "labels").rglob("*.txt")) for p in folders
    )


def _parse_names(names: object, count: object) -> list[str]:
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


def _resolve_entry(entry: object, roots: Sequence[Path], place: str, root: object) -> Path:
    """Returns the folder or list of files that an entry of the YAML names, inside the YAML's folder."""
    if not isinstance(entry, str):
        raise InputError(f"is a folder of images or a text file that lists them, got {format_value(entry)}", place)
    home = roots[-1]
    candidates = [base / entry for base in roots]
    if entry.startswith("../"):  # written relative to a subfolder
        candidates.append(home / entry.removeprefix("../"))
    for candidate in candidates:
        if _normalise(candidate).is_relative_to(home) and path_exists(candidate):
            return candidate
    outside = next((candidate for candidate in candidates if path_exists(candidate)), None)
    if outside is not None:
        raise InputError(
            f"leads out of the folder that the file is in, to {_normalise(outside)}; put the file beside "
            "its images, with paths relative to it",
            place,
        )
    under = f" (nor under `path: {root}`)" if root not in (None, "", ".") else ""
    raise InputError(f"{entry!r} is not there as seen from the file's folder{under}", place)


def _normalise(path: Path) -> Path:
    """Returns an absolute path without `..`; symbolic links stay, as whoever made them wants."""
    return Path(os.path.normpath(path.absolute()))


def _image_paths(source: Path, home: Path, place: str) -> Iterator[Path]:
    if source.is_dir():
        yield from sorted(_images_below(source))
        return
    for number, line in enumerate(source.read_text(encoding="utf-8-sig", errors="replace").split("\n"), 1):
        if not (name := line.strip()):
            continue
        path = next((base / name for base in (source.parent, home) if path_exists(base / name)), None)
        if path is None or not _normalise(path).is_relative_to(home):
            raise InputError(f"line {number} of {source.name}: {name!r} is no image in the YAML's folder", place)
        yield path


def _images_below(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != ".")


def _label_path(image: Path) -> Path:
    """Returns the label file of an image: in `labels` for the last folder called `images`, else beside the image."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            return Path(*parts[:i], "labels", *parts[i + 1 :]).with_suffix(".txt")
    return image.with_suffix(".txt")


def _build_index(
    origin: str,
    home: Path,
    images: Sequence[tuple[Path, str | None]],
    classes: list[str] | None,
    names_source: Path | None,
) -> Index:
    labels = {_label_path(path): path for path, _ in images}
    boxes_of = {
        label: _read_boxes(label, f"{origin}: {_relative_name(label, home)}", classes)
        for label in labels
        if label.is_file()
    }
    if classes is None:
        numbers = [box.class_ for boxes in boxes_of.values() for box in boxes]
        classes = [str(i) for i in range(max(numbers, default=-1) + 1)]
    labelled_images = [
        LabelledImage(path, _relative_name(path, home), split, boxes_of.get(_label_path(path)))
        for path, split in images
    ]
    folders = {label.parent for label in labels}
    other_labels = sorted(
        {path for folder in folders if folder.is_dir() for path in folder.glob("*.txt")} - set(labels)
    )
    name_files = {home / name for name in NAME_FILES}
    absent = [_relative_name(path, home) for path in other_labels if path not in name_files and path != names_source]
    if not boxes_of and images:
        raise InputError(
            f"has no label file for any of its {format_count(len(images), 'image')}; that of "
            f"{labelled_images[0].name} would be {_relative_name(_label_path(images[0][0]), home)}",
            origin,
        )
    return build_box_index(
        origin, labelled_images, classes, absent=absent, files=[*boxes_of, *([names_source] if names_source else [])]
    )


def _relative_name(path: Path, home: Path) -> str:
    """Returns a path relative to the data's folder, or the absolute one where it lies outside."""
    absolute, base = _normalise(path), _normalise(home)
    return (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()


def _read_boxes(path: Path, place: str, classes: Sequence[str] | None) -> list[Box]:
    """Reads a label file: a class in each line, then centre, width and height, or the corners of a polygon.

    All are shares of the image's sides. A polygon becomes the box around it.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"is over {MAX_BYTES:,} bytes: no label file is", place)
    boxes = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").split("\n"), 1):
        if not (words := line.split()):
            continue
        line_place = f"{place}:{number}"
        try:
            class_, *values = map(float, words)
        except ValueError:
            message = f"takes numbers: class, x, y, width, height; got {format_value(line.strip()[:60])}"
            raise InputError(message, line_place) from None
        if not all(map(math.isfinite, (class_, *values))) or class_ != int(class_) or class_ < 0:
            raise InputError(f"begins with a class's number from 0, got {words[0]}", line_place)
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            raise InputError(f"takes a class and 4 numbers (or a polygon's corners), got {len(values)}", line_place)
        if classes is not None and class_ >= len(classes):
            raise InputError(
                f"class {int(class_)} is beyond the list of {format_count(len(classes), 'name')} "
                f"(0 to {len(classes) - 1})",
                line_place,
            )
        if max(map(abs, values)) > MAX_SHARE:
            raise InputError(
                f"takes shares of the image's sides, from 0 to 1, and {format_value(line.strip()[:60])} looks "
                "like pixels; divide x and width by the image's width, y and height by its height",
                line_place,
            )
        if len(values) == 4:
            x, y, width, height = values
            boxes.append(Box(int(class_), x - width / 2, y - height / 2, max(0.0, width), max(0.0, height)))
        else:
            xs, ys = values[0::2], values[1::2]
            boxes.append(Box(int(class_), min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))
    return boxes
