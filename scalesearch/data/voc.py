"""Reads boxes in PASCAL VOC's format (Everingham et al. 2010): one XML file per image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from scalesearch.data.images import SUFFIXES, image_size
from scalesearch.data.index import Index, split_from_name
from scalesearch.data.labelled import Box, LabelledImage, build_box_index
from scalesearch.errors import InputError

ANNOTATION_FOLDER, IMAGE_FOLDER, LIST_FOLDER = "Annotations", "JPEGImages", "ImageSets/Main"
MAX_BYTES = 16 << 20
SPLITS = ("train", "val", "test", "trainval")


def find_voc(folder: Path) -> Path | None:
    """Returns the folder with an `Annotations` folder of XML files: this one or one right below it, or None."""
    for candidate in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        if any((candidate / ANNOTATION_FOLDER).glob("*.xml")):
            return candidate
    return None


def read_voc(folder: Path, origin: str) -> Index:
    """Reads a VOC folder as an index: `Annotations/*.xml`, `JPEGImages/` and, where it exists, `ImageSets/Main`.

    Corners are whole pixels counted from 1, both inside the box. Difficult objects become crowds.

    Raises `InputError`, placed at the file and object, for an invalid annotation.
    """
    images = {path.stem: path for path in sorted(_image_files(folder))}
    split_of = _read_lists(folder / LIST_FOLDER)
    annotation_files = sorted((folder / ANNOTATION_FOLDER).glob("*.xml"))
    annotation_of = {
        path.stem: _read_annotation(path, f"{origin}: {path.relative_to(folder).as_posix()}", images.get(path.stem))
        for path in annotation_files
    }
    classes = sorted({name for _, objects in annotation_of.values() for name, _ in objects})
    class_number = {name: i for i, name in enumerate(classes)}
    labelled_images = []
    for stem, path in images.items():
        sides, objects = annotation_of.get(stem, (None, None))
        boxes = None if objects is None else [box._replace(class_=class_number[name]) for name, box in objects]
        labelled_images.append(
            LabelledImage(path, path.relative_to(folder).as_posix(), split_of.get(stem), boxes, sides)
        )
    return build_box_index(
        origin,
        labelled_images,
        classes,
        absent=[f"{ANNOTATION_FOLDER}/{s}.xml" for s in annotation_of if s not in images],
        files=[*annotation_files, *(folder / LIST_FOLDER / f"{name}.txt" for name in SPLITS)],
    )


def _image_files(folder: Path) -> Iterator[Path]:
    image_folder = folder / IMAGE_FOLDER
    for root in [image_folder] if image_folder.is_dir() else [folder / ANNOTATION_FOLDER, folder]:
        yield from (p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _read_lists(folder: Path) -> dict[str, str]:
    """Returns the split of every listed image; images listed only under trainval are for training."""
    splits: dict[str, str] = {}
    for name in SPLITS:
        path = folder / f"{name}.txt"
        split = split_from_name(name) or "train"
        if path.is_file():
            for line in path.read_text(encoding="utf-8-sig", errors="replace").split("\n"):
                if line.strip():
                    splits.setdefault(line.split()[0].removesuffix(".jpg"), split)
    return splits


Objects = list[tuple[str, Box]]


def _read_annotation(path: Path, place: str, image: Path | None) -> tuple[tuple[int, int] | None, Objects]:
    """Returns the size of the image, annotated or else its own, and its objects as class names and boxes."""
    try:
        text = path.read_bytes()
        if len(text) > MAX_BYTES or b"<!ENTITY" in text:
            raise InputError("is no annotation: it declares entities or is too large", place)
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise InputError(f"is no XML: {error}", place) from None
    size = root.find("size")
    sides = None if size is None else (_int_or_zero(size, "width"), _int_or_zero(size, "height"))
    if not sides or min(sides) < 1:  # some tools write 0
        sides = image_size(image) if image else None
    objects: Objects = []
    for i, element in enumerate(root.iter("object"), 1):
        object_place = f"{place}: object {i}"
        name, corners = (element.findtext("name") or "").strip(), element.find("bndbox")
        if not name or corners is None:
            raise InputError("needs a name and a bndbox", object_place)
        if sides is None:
            continue
        left, top, right, bottom = (_number(corners, key, object_place) for key in ("xmin", "ymin", "xmax", "ymax"))
        image_width, image_height = sides
        box = Box(
            0,
            (left - 1) / image_width,
            (top - 1) / image_height,
            (right - left + 1) / image_width,
            (bottom - top + 1) / image_height,
            (element.findtext("difficult") or "0").strip() == "1",
        )
        if right <= left or bottom <= top:
            box = box._replace(width=0.0)
        objects.append((name, box))
    return sides, objects


def _int_or_zero(element: ElementTree.Element, key: str) -> int:
    text = (element.findtext(key) or "").strip()
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _number(element: ElementTree.Element, key: str, place: str) -> float:
    text = (element.findtext(key) or "").strip()
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{key} is a number of pixels, got {text!r}", place) from None
    if not abs(value) < 1e9:
        raise InputError(f"{key} is a number of pixels, got {text!r}", place)
    return value
