"""Reads boxes in YOLO's format: one text file per image, and a YAML file that says where they are."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from scalesearch import yamlfile
from scalesearch.data.images import SUFFIXES
from scalesearch.data.index import SPLITS, Index, path_exists, split_from_name, with_slashes
from scalesearch.data.labelled import Box, LabelledImage, build_box_index, lie_beside_images, split_of_folders
from scalesearch.errors import InputError, errors_at, format_count, format_value
from scalesearch.plain_data import PlainDict

CORNER_SLACK = 0.05  # by which corners of polygons may lie outside the image
MAX_SHARE = 2.0  # larger values are taken for pixels, not for shares of an image's side
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt")
LABELS = {"images": "labels", "Images": "Labels", "IMAGES": "LABELS"}  # the folder of labels beside one of images
MAX_BYTES = 4 << 20
DATA_KEY = re.compile(rb"^[^#\n]*\b(names|nc|train|val)[ ]*:", re.M)  # in a YAML that describes a data set


def find_yaml(folder: Path, origin: str) -> Path | None:
    """Returns the YAML file of a folder that lists class names and splits, or None.

    Raises `InputError` for two that differ, and for one that can't be read but names classes or splits.
    """
    candidates: dict[Path, PlainDict] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            data = yamlfile.read(path).data
        except InputError:
            if DATA_KEY.search(path.read_bytes()[:MAX_BYTES]):
                raise
            continue
        if "names" in data and ("nc" in data or any(split_from_name(str(key)) for key in data)):
            keys = [key for key in data if key in ("names", "path") or split_from_name(str(key))]
            candidates[path] = {key: data[key] for key in keys}
    first = next(iter(candidates), None)
    for path, data in candidates.items():
        if first and data != candidates[first]:
            raise InputError(
                f"{first.name} and {path.name} list different classes or images; name the one that is meant: {first}",
                origin,
            )
    return first


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
        if "kpt_shape" in document.data:
            raise InputError(
                "says that labels are keypoints; detectors here learn from boxes, export these", "kpt_shape"
            )
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
    split_of: dict[Path, str] = {}
    repeated: Counter[str] = Counter()
    split_of_key = {key: split for key in document.data if (split := split_from_name(str(key)))}
    with document.errors_located():
        for key, split in split_of_key.items():
            if twin := next((other for other in split_of_key if split_of_key[other] == split and other != key), None):
                raise InputError(f"means the same split as {twin}; keep one of the two", key)
    for key in sorted(split_of_key, key=lambda key: SPLITS.index(split_of_key[key])):
        value = document.data.get(key)
        for i, entry in enumerate(value if isinstance(value, list) else [] if value in (None, "") else [value]):
            with document.errors_located():
                place = f"{key}[{i}]" if isinstance(value, list) else key
                paths = list(_image_paths(_resolve_entry(entry, roots, place, document.data.get("path")), home, place))
            for image in paths:  # COCO128 lists the same images for train and val
                if image not in split_of:
                    images.append((image, split_of_key[key]))
                elif split_of[image] != split_of_key[key]:
                    repeated[f"images that {key} has of {split_of[image]}"] += 1
                split_of.setdefault(image, split_of_key[key])
    if not images:
        raise InputError("names no images for train, val or test").in_file(str(path))
    return _build_index(origin, home, images, classes, path, repeated)


def read_labelled(folder: Path, origin: str) -> Index:
    """Reads images with YOLO's label files, in `labels/` beside `images/` or beside the images themselves.

    Splits are those of Darknet's lists (`train.txt`, `valid.txt`) where there are any, and images in none of them are
    left out; else folders called like splits decide. Class names come from a file such as `classes.txt`; without one,
    classes are called by their numbers.

    Raises `InputError`, placed at the line, for invalid labels and lists, and for two files of names that differ.
    """
    paths = sorted(_images_below(folder))
    names_file = _find_names(folder, paths, origin)
    lists = {path: split for path in sorted(folder.glob("*.txt")) if (split := split_from_name(path.stem))}
    split_of = _read_lists(lists, folder, origin)
    images: list[tuple[Path, str | None]]
    if lists:
        images = [(path, split_of[_normalise(path)]) for path in paths if _normalise(path) in split_of]
    else:
        images = [(path, split_of_folders(path, folder)) for path in paths]
    classes: list[str] | None = None
    if names_file:
        names_place = f"{origin}: {_relative_name(names_file, folder)}"
        text = names_file.read_text(encoding="utf-8-sig", errors="replace").rstrip()
        classes = [line.strip() for line in text.split("\n")] if text else None
        if classes and "" in classes:  # the numbers in the labels are those of lines
            line = classes.index("") + 1
            raise InputError(
                "is blank; remove the line, or write the class that has this number", f"{names_place}:{line}"
            )
        _check_names(classes or (), names_place)
    unlisted = {f"images in no list ({', '.join(path.name for path in lists)})": len(paths) - len(images)}
    ignored = unlisted if len(images) < len(paths) else {}
    return _build_index(origin, folder, images, classes, names_file, ignored, list(lists))


def _find_names(folder: Path, images: Sequence[Path], origin: str) -> Path | None:
    """Returns the file of class names in a folder or beside its images, or None. Raises `InputError` if two differ."""
    folders = (folder, *sorted({path.parent for path in images} - {folder}))
    found = [path for base in folders for name in NAME_FILES if (path := base / name).is_file()]
    found = found or sorted(folder.glob("*.names"))
    for path in found[1:]:
        if path.read_text(errors="replace").split() != found[0].read_text(errors="replace").split():
            first, other = (_relative_name(file, folder) for file in (found[0], path))
            raise InputError(f"{first} and {other} list different classes; keep one", origin)
    return found[0] if found else None


def _read_lists(lists: Mapping[Path, str], folder: Path, origin: str) -> dict[Path, str]:
    """Returns the split of every image in Darknet's lists."""
    split_of: dict[Path, str] = {}
    with errors_at(origin):
        for path, split in lists.items():
            for image in _image_paths(path, _normalise(folder), ""):
                if split_of.setdefault(_normalise(image), split) != split:
                    name = _relative_name(image, folder)
                    raise InputError(f"{name} is in the list of another split too; keep it in one", path.name)
    return split_of


def class_names(data_yaml: Path) -> list[str]:
    """Returns the names of classes in a data YAML. Raises `InputError`, placed in the file, if there are none."""
    document = yamlfile.read(data_yaml)
    with document.errors_located():
        return _parse_names(document.data.get("names"), None)


def has_labels(folder: Path) -> bool:
    """Returns whether images have label files in YOLO's format, beside them or in a folder `labels`."""
    return has_label_folders(folder) or lie_beside_images(folder, ".txt", _is_label)


def has_label_folders(folder: Path) -> bool:
    """Returns whether `images` and `labels` lie side by side, in the folder or right below it."""
    folders = [folder, *(p for p in folder.iterdir() if p.is_dir())]
    return any(
        (p / images).is_dir() and (p / labels).is_dir() and any((p / labels).rglob("*.txt"))
        for p in folders
        for images, labels in LABELS.items()
    )


def has_names(folder: Path) -> bool:
    """Returns whether a folder has a file of class names, as `classes.txt`."""
    return any((folder / name).is_file() for name in NAME_FILES)


def _is_label(beginning: str) -> bool:
    """Returns whether a text begins with a line of five or more numbers."""
    words = beginning.partition("\n")[0].split()
    try:
        return len(words) >= 5 and all(math.isfinite(float(word)) for word in words)
    except ValueError:
        return False


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
    class_names = [str(name) for name in names]
    _check_names(class_names, "names")
    return class_names


def _check_names(names: Sequence[str], place: str) -> None:
    """Raises `InputError` for a name that two classes have."""
    number_of: dict[str, int] = {}
    for number, name in enumerate(names):
        if (first := number_of.setdefault(name, number)) != number:
            raise InputError(f'"{name}" is the name of two classes, {first} and {number}; rename one', place)


def _resolve_entry(entry: object, roots: Sequence[Path], place: str, root: object) -> Path:
    """Returns the folder or list of files that an entry of the YAML names, inside the YAML's folder."""
    if not isinstance(entry, str):
        raise InputError(f"is a folder of images or a text file that lists them, got {format_value(entry)}", place)
    home = roots[-1]
    entry = with_slashes(entry, home)
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
    remedy = "write a path relative to it, or take it out"
    raise InputError(f"{entry!r} is not there as seen from the file's folder{under}; {remedy}", place)


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
        name = with_slashes(name, source.parent)
        names = name, name.removeprefix("data/")  # Darknet's prefix, which CVAT writes
        path = next((b / n for n in names for b in (source.parent, home) if path_exists(b / n)), None)
        if path is None or not _normalise(path).is_relative_to(home):
            raise InputError(f"line {number} of {source.name}: {name!r} is no image in the YAML's folder", place)
        yield path


def _images_below(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != ".")


def _label_path(image: Path) -> Path:
    """Returns the label file of an image: in `labels` for the last folder called `images`, else beside the image.

    It is beside the image too where it lies there and there is no folder `labels`.
    """
    parts, beside = list(image.parts), image.with_suffix(".txt")
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] in LABELS:
            label = Path(*parts[:i], LABELS[parts[i]], *parts[i + 1 :]).with_suffix(".txt")
            return beside if beside.is_file() and not label.parent.is_dir() else label
    return beside


def _build_index(
    origin: str,
    home: Path,
    images: Sequence[tuple[Path, str | None]],
    classes: list[str] | None,
    names_source: Path | None,
    ignored: Mapping[str, int] | None = None,
    lists: Sequence[Path] = (),
) -> Index:
    labels = {_label_path(path): path for path, _ in images}
    boxes_of = {
        label: _read_boxes(label, f"{origin}: {_relative_name(label, home)}", classes)
        for label in labels
        if label.is_file()
    }
    _refuse_oriented_boxes(boxes_of, origin, home)
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
    known_files = {*name_files, names_source, *lists}
    absent = [_relative_name(path, home) for path in other_labels if path not in known_files]
    if not boxes_of and images:
        raise InputError(
            f"has no label file for any of its {format_count(len(images), 'image')}; that of "
            f"{labelled_images[0].name} would be {_relative_name(_label_path(images[0][0]), home)}",
            origin,
        )
    files = [*boxes_of, *([names_source] if names_source else []), *lists]
    return build_box_index(origin, labelled_images, classes, absent=absent, ignored=ignored, files=files)


def _refuse_oriented_boxes(label_files: Iterable[Path], origin: str, home: Path) -> None:
    """Raises `InputError` where every line of all label files has four corners, and one box is not upright."""
    tilted = ""
    for path in label_files:
        for line in path.read_text(encoding="utf-8-sig", errors="replace").split("\n"):
            if not (words := line.split()):
                continue
            if len(words) != 9:
                return
            if len({*words[1::2]}) > 2 or len({*words[2::2]}) > 2:
                tilted = tilted or _relative_name(path, home)
    if tilted:
        raise InputError(
            "every object has four corners, as oriented boxes have, and detectors here learn upright ones; write "
            "class, x, y, width, height",
            f"{origin}: {tilted}",
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
        if not all(map(math.isfinite, (class_, *values))):
            raise InputError(f"takes finite numbers, got {format_value(line.strip()[:60])}", line_place)
        if class_ != int(class_) or class_ < 0:
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
        if len(values) > 4 and not all(-CORNER_SLACK <= value <= 1 + CORNER_SLACK for value in values):
            raise InputError(
                "holds a polygon with corners outside the image, or keypoints; takes class, x, y, width, height, or a "
                "polygon's corners from 0 to 1",
                line_place,
            )
        if len(values) == 4:
            x, y, width, height = values
            boxes.append(Box(int(class_), x - width / 2, y - height / 2, max(0.0, width), max(0.0, height)))
        else:
            xs, ys = values[0::2], values[1::2]
            boxes.append(Box(int(class_), min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))
    return boxes
