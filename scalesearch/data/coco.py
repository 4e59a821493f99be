"""Boxes as COCO writes them (Lin et al. 2014): one JSON file for all images of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scalesearch.data.images import sides_of
from scalesearch.data.index import Index, split_called
from scalesearch.data.labelled import Box, Labelled, boxed_index, is_there
from scalesearch.errors import InputError, numbered, shown
from scalesearch.typed_json import plain

ROBOFLOW = "_annotations.coco.json"
MOST = 10**9  # pixels, of a side or an area
NEEDED = ("images", "annotations", "categories")


def find_coco(folder: Path) -> list[Path]:
    """The files that tell of boxes: those of `annotations/` called instances, or all there; and Roboflow's."""
    own = sorted((folder / "annotations").glob("*.json"))
    instances = [path for path in own if path.name.startswith("instances")]
    return instances or own or sorted([*folder.glob(f"*/{ROBOFLOW}"), *folder.glob(ROBOFLOW)])


def read_coco(files: Sequence[Path], origin: str, folder: Path) -> Index:
    """Files of images, annotations and categories; each tells the split by its name or its folder's.

    Raises `InputError`, placed at the file and entry, for what is none.
    """
    told = [(path, _read(path, _place(origin, path))) for path in files]
    names: dict[str, int] = {}
    for _, held in told:
        used = {note.get("category_id") for note in held["annotations"]}
        for category in sorted(held["categories"], key=lambda c: _order(c.get("id"))):
            if category.get("id") in used or not _is_root(category):
                names.setdefault(str(category.get("name")), len(names))
    found: list[Labelled] = []
    absent: list[str] = []
    for path, held in told:
        _add(found, absent, path, held, names, _place(origin, path), folder)
    if not found and absent:
        raise InputError(
            f"tells of {numbered(len(absent), 'image')}, none of which lies beside it (as {absent[0]})", origin
        )
    return boxed_index(origin, found, list(names), absent=absent, files=files)


def _place(origin: str, path: Path) -> str:
    return origin if origin.endswith(path.name) else f"{origin}: {path.name}"


def _is_root(category: Mapping[str, Any]) -> bool:
    """Roboflow's group above all classes, which no box is of."""
    return category.get("supercategory") in (None, "none") and category.get("id") == 0


def _order(value: Any) -> tuple[int, str]:
    return (value, "") if isinstance(value, int) else (1 << 60, str(value))


def _read(path: Path, place: str) -> dict[str, Any]:
    try:
        held = plain(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"is no JSON: {str(error).splitlines()[0][:100]}", place) from None
    if not isinstance(held, dict) or not all(isinstance(held.get(key), list) for key in NEEDED):
        raise InputError(f"is no file of COCO's kind: it needs lists called {', '.join(NEEDED)}", place)
    for key in NEEDED:
        for i, entry in enumerate(held[key]):
            if not isinstance(entry, dict):
                raise InputError(f"takes entries of keys and values, got {shown(entry)}", f"{place}: {key}[{i}]")
            for name in ("id", "image_id", "category_id"):
                if not isinstance(entry.get(name, 0), int | str):
                    raise InputError(f"{name} is a number or a word, got {shown(entry[name])}", f"{place}: {key}[{i}]")
    return held


def _add(
    found: list[Labelled],
    absent: list[str],
    path: Path,
    held: Mapping[str, Any],
    names: Mapping[str, int],
    place: str,
    folder: Path,
) -> None:
    split = split_called(path.stem.removeprefix("instances_")) or split_called(path.parent.name)
    class_of = {category.get("id"): names.get(str(category.get("name"))) for category in held["categories"]}
    boxes: dict[Any, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    known = {image.get("id") for image in held["images"]}
    for i, note in enumerate(held["annotations"]):
        if note.get("image_id") not in known:
            raise InputError(
                f"image_id {shown(note.get('image_id'))} is of none of the images", f"{place}: annotations[{i}]"
            )
        if class_of.get(note.get("category_id")) is None:
            raise InputError(
                f"category_id {shown(note.get('category_id'))} is of none of the categories "
                f"({', '.join(str(c) for c in list(class_of)[:12])})",
                f"{place}: annotations[{i}]",
            )
        boxes[note.get("image_id")].append((i, note))
    for i, image in enumerate(held["images"]):
        name = image.get("file_name")
        if not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"file_name is a file beside this one, got {shown(name)}", f"{place}: images[{i}]")
        there = _lying(path, name)
        if there is None:
            absent.append(name)
            continue
        wide, high = (image.get(key) for key in ("width", "height"))
        told_sides = all(isinstance(side, int) and 0 < side < MOST for side in (wide, high))
        sides = (wide, high) if told_sides else sides_of(there)
        told = (
            [
                _box(note, class_of[note.get("category_id")], sides, f"{place}: annotations[{k}]")  # type: ignore[arg-type]
                for k, note in boxes[image.get("id")]
            ]
            if sides
            else []
        )
        called = there.relative_to(folder).as_posix() if there.is_relative_to(folder) else name
        found.append(Labelled(there, called, split, told, sides))


def _lying(file: Path, name: str) -> Path | None:
    """Where an image lies, as seen from the file that tells of it."""
    called = file.stem.removeprefix("instances_")
    roots = file.parent, file.parent.parent
    places = [root / sub for root in roots for sub in ("", "images", called, f"images/{called}")]
    return next((p / name for p in places if is_there(p / name) and (p / name).is_file()), None)


def _box(note: Mapping[str, Any], class_: int, sides: tuple[int, int], place: str) -> Box:
    box = note.get("bbox")
    if not (
        isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) and abs(v) < MOST for v in box)
    ):
        raise InputError(f"bbox is x, y, width and height in pixels, got {shown(box)}", place)
    (x, y, width, height), (wide, high) = box, sides
    area = note.get("area")
    return Box(
        class_,
        x / wide,
        y / high,
        width / wide,
        height / high,
        bool(note.get("iscrowd")),
        float(area) if isinstance(area, (int, float)) and 0 < area < MOST else float("nan"),
    )
