"""Reads boxes in COCO's format (Lin et al. 2014): one JSON file for all images of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scalesearch.data.images import image_size
from scalesearch.data.index import Index, path_exists, split_from_name, with_slashes
from scalesearch.data.labelled import Box, LabelledImage, build_box_index
from scalesearch.errors import InputError, format_count, format_value
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.typed_json import load_json

ROBOFLOW = "_annotations.coco.json"
MAX_PIXELS = 10**9  # pixels, of a side or an area
REQUIRED_LISTS = ("images", "annotations", "categories")


def find_coco(folder: Path) -> list[Path]:
    """Returns the COCO files of a folder, or none.

    These are the `instances*.json` of `annotations/`, else all JSON files there, else Roboflow's
    `_annotations.coco.json` in the folder and right below it.
    """
    annotation_files = sorted((folder / "annotations").glob("*.json"))
    instances = [path for path in annotation_files if path.name.startswith("instances")]
    roboflow = sorted([*folder.glob(f"*/{ROBOFLOW}"), *folder.glob(ROBOFLOW)])
    in_folder = (path for path in sorted(folder.glob("*.json")) if _looks_like_coco(path))
    return instances or annotation_files or roboflow or list(in_folder)


def _looks_like_coco(path: Path) -> bool:
    """Returns whether a file names COCO's three lists, as Label Studio's `result.json` does."""
    content = path.read_bytes() if path.is_file() else b""
    return all(f'"{key}"'.encode() in content for key in REQUIRED_LISTS)


def read_coco(files: Sequence[Path], origin: str, folder: Path) -> Index:
    """Reads COCO files as an index; the split of each is told by its name or its folder's.

    Args:
        files: JSON files with lists called images, annotations and categories.
        origin: How messages name the data set.
        folder: Names of images are relative to it where they lie inside.

    Raises:
        InputError: Placed at the file and entry, if a file is not in COCO's format, or if no image exists.
    """
    documents = [(path, _read_json(path, _place(origin, path))) for path in files]
    numbers: dict[str, int] = {}
    for _, document in documents:
        used_ids = {note.get("category_id") for note in document["annotations"]}
        for category in sorted(document["categories"], key=lambda c: _id_key(c.get("id"))):
            if category.get("id") in used_ids or not _is_roboflow_root(category):
                numbers.setdefault(str(category.get("name")), len(numbers))
    images: list[LabelledImage] = []
    absent: list[str] = []
    for path, document in documents:
        _add_images(images, absent, path, document, numbers, _place(origin, path), folder)
    split_of: dict[Path, str | None] = {}
    for image in images:
        if image.path in split_of:
            other = split_of[image.path]
            splits = f" (for {other} and for {image.split})" if other != image.split else ""
            raise InputError(f"lists {image.name} twice{splits}; keep it in one file, under one id", origin)
        split_of[image.path] = image.split
    if not images and absent:
        raise InputError(
            f"lists {format_count(len(absent), 'image')}, none of which lies beside it (as {absent[0]})", origin
        )
    return build_box_index(origin, images, list(numbers), absent=absent, files=files)


def coco_ids(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the ids of a COCO file's images by `file_name`, and of its classes by name.

    Raises `InputError`, placed at the file and entry, if it is no COCO file.
    """
    document = _read_json(path, str(path))
    images = {str(image.get("file_name")).replace("\\", "/"): image.get("id") for image in document["images"]}
    return images, {category["name"]: category.get("id") for category in document["categories"]}


def _place(origin: str, path: Path) -> str:
    return origin if origin.endswith(path.name) else f"{origin}: {path.name}"


def _is_roboflow_root(category: PlainMapping) -> bool:
    """Returns whether a category is Roboflow's group above all classes, which no box belongs to."""
    return category.get("supercategory") in (None, "none") and category.get("id") == 0


def _id_key(value: object) -> tuple[int, str]:
    return (value, "") if isinstance(value, int) else (1 << 60, str(value))


def _read_json(path: Path, place: str) -> PlainDict:
    try:
        document = load_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place) from None
    except ValueError as error:
        raise InputError(f"is no JSON: {str(error).splitlines()[0][:100]}", place) from None
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in REQUIRED_LISTS):
        raise InputError(f"is no COCO file: it needs lists called {', '.join(REQUIRED_LISTS)}", place)
    for key in REQUIRED_LISTS:
        for i, entry in enumerate(document[key]):
            if not isinstance(entry, dict):
                raise InputError(f"takes entries of keys and values, got {format_value(entry)}", f"{place}: {key}[{i}]")
            for name in ("id", "image_id", "category_id"):
                if isinstance(entry.get(name), bool) or not isinstance(entry.get(name, 0), int | str):
                    raise InputError(
                        f"{name} is a number or a word, got {format_value(entry[name])}", f"{place}: {key}[{i}]"
                    )
    _check_entries(document, place)
    return document


def _check_entries(document: PlainMapping, place: str) -> None:
    """Raises `InputError` for an id or a name that stands twice, a category without a name, and an odd `iscrowd`."""
    for key in ("images", "categories"):
        first_of: dict[Any, int] = {}
        for i, entry in enumerate(document[key]):
            if (first := first_of.setdefault(entry.get("id"), i)) != i:
                raise InputError(
                    f"has the id of {key}[{first}] ({format_value(entry.get('id'))}); each has an id of its own",
                    f"{place}: {key}[{i}]",
                )
    id_of: dict[str, Any] = {}
    used_ids = {annotation.get("category_id") for annotation in document["annotations"]}
    for i, category in enumerate(document["categories"]):
        name = category.get("name")
        if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
            raise InputError(f"needs a name, got {format_value(name)}", f"{place}: categories[{i}]")
        name = str(name)
        if _is_roboflow_root(category) and category.get("id") not in used_ids:
            continue
        if name in id_of:
            raise InputError(
                f'"{name}" is the name of two classes, {id_of[name]} and {category.get("id")}; keep one or rename it',
                f"{place}: categories[{i}]",
            )
        id_of[name] = category.get("id")
    for i, annotation in enumerate(document["annotations"]):
        crowd = annotation.get("iscrowd")
        if crowd is not None and (not isinstance(crowd, int) or crowd not in (0, 1)):
            raise InputError(f"iscrowd is 0 or 1, got {format_value(crowd)}", f"{place}: annotations[{i}]")


def _add_images(
    images: list[LabelledImage],
    absent: list[str],
    path: Path,
    document: PlainMapping,
    numbers: Mapping[str, int],
    place: str,
    folder: Path,
) -> None:
    split = split_from_name(path.stem.removeprefix("instances_")) or split_from_name(path.parent.name)
    class_of = {category.get("id"): numbers.get(str(category.get("name"))) for category in document["categories"]}
    annotations_of: dict[Any, list[tuple[int, PlainDict]]] = defaultdict(list)
    image_ids = {image.get("id") for image in document["images"]}
    for i, annotation in enumerate(document["annotations"]):
        if annotation.get("image_id") not in image_ids:
            raise InputError(
                f"image_id {format_value(annotation.get('image_id'))} is of none of the images",
                f"{place}: annotations[{i}]",
            )
        if class_of.get(annotation.get("category_id")) is None:
            raise InputError(
                f"category_id {format_value(annotation.get('category_id'))} is of none of the categories "
                f"({', '.join(str(c) for c in list(class_of)[:12])})",
                f"{place}: annotations[{i}]",
            )
        annotations_of[annotation.get("image_id")].append((i, annotation))
    for i, image in enumerate(document["images"]):
        name = image.get("file_name")
        name = with_slashes(name, path.parent) if isinstance(name, str) else name
        if not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(
                f'file_name is a relative path without "..", got {format_value(name)}', f"{place}: images[{i}]"
            )
        file = _find_image(path, name)
        if file is None:
            absent.append(name)
            continue
        width, height = (image.get(key) for key in ("width", "height"))
        has_size = all(isinstance(side, int) and 0 < side < MAX_PIXELS for side in (width, height))
        sides = (width, height) if has_size else image_size(file)
        image_boxes = [
            _parse_box(annotation, class_of[annotation.get("category_id")], sides, f"{place}: annotations[{k}]")  # type: ignore[arg-type]
            for k, annotation in (annotations_of[image.get("id")] if sides else ())
        ]
        relative_name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else name
        images.append(LabelledImage(file, relative_name, split, image_boxes, sides))


def _find_image(file: Path, name: str) -> Path | None:
    """Returns the path of an image, searched around the file that names it; None where there is none."""
    stem = file.stem.removeprefix("instances_")
    roots = file.parent, file.parent.parent
    places = [root / sub for root in roots for sub in ("", "images", stem, f"images/{stem}")]
    return next((p / name for p in places if path_exists(p / name) and (p / name).is_file()), None)


def _parse_box(annotation: PlainMapping, class_: int, sides: tuple[int, int], place: str) -> Box:
    box = annotation.get("bbox")
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(v, (int, float)) and abs(v) < MAX_PIXELS for v in box)
    ):
        raise InputError(f"bbox is x, y, width and height in pixels, got {format_value(box)}", place)
    (x, y, width, height), (image_width, image_height) = box, sides
    area = annotation.get("area")
    return Box(
        class_,
        x / image_width,
        y / image_height,
        width / image_width,
        height / image_height,
        bool(annotation.get("iscrowd")),
        float(area) if isinstance(area, (int, float)) and 0 < area < MAX_PIXELS else float("nan"),
    )
