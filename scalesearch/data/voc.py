"""Reads boxes in PASCAL VOC's format (Everingham et al. 2010): one XML file per image."""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from scalesearch.data.images import SUFFIXES, image_size
from scalesearch.data.index import Index, split_from_name
from scalesearch.data.labelled import Box, LabelledImage, build_box_index, lie_beside_images, split_of_folders
from scalesearch.errors import InputError, format_count

ANNOTATION_FOLDERS, IMAGE_FOLDERS = ("Annotations", "annotations"), ("JPEGImages", "images")
LIST_FOLDER = "ImageSets/Main"
MAX_BYTES = 16 << 20
LISTS = ("train", "val", "test", "trainval")


def find_voc(folder: Path) -> Path | None:
    """Returns the folder with an `Annotations` folder of XML files: this one or one right below it, or None.

    Without one, this folder where XML files lie beside its images, as labelImg and Roboflow write them.
    """
    for candidate in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        if _annotation_folder(candidate):
            return candidate
    return folder if lie_beside_images(folder, ".xml", lambda text: "<annotation" in text) else None


def _annotation_folder(folder: Path) -> Path | None:
    folders = (folder / name for name in ANNOTATION_FOLDERS)
    return next((path for path in folders if path.is_dir() and any(path.rglob("*.xml"))), None)


def read_voc(folder: Path, origin: str) -> Index:
    """Reads a VOC folder as an index.

    Annotations are `Annotations/*.xml`, or lie beside the images. Where there are lists in `ImageSets/Main`, the
    splits are theirs, and images in none of them are left out; else folders called like splits decide. Corners are
    whole pixels counted from 1, both inside the box. Difficult objects become crowds.

    Raises `InputError`, placed at the file and object, for an invalid annotation, and for lists that contradict each
    other or name no image.
    """
    annotation_folder = _annotation_folder(folder) or folder
    image_folder = next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), folder)
    images = {_key(path, image_folder): path for path in sorted(_images_below(image_folder))}
    annotations = {_key(path, annotation_folder): path for path in sorted(annotation_folder.rglob("*.xml"))}
    lists = _Lists.of(folder, images, origin)
    annotation_of = {
        key: _read_annotation(path, f"{origin}: {path.relative_to(folder).as_posix()}", images.get(key))
        for key, path in annotations.items()
    }
    classes = sorted({name for _, objects in annotation_of.values() for name, _ in objects})
    class_number = {name: i for i, name in enumerate(classes)}
    labelled_images = []
    for key, path in images.items():
        if lists.files and key not in lists.split_of:
            continue
        sides, objects = annotation_of.get(key, (None, None))
        boxes = None if objects is None else [box._replace(class_=class_number[name]) for name, box in objects]
        split = lists.split_of[key] if lists.files else split_of_folders(path, folder)
        labelled_images.append(LabelledImage(path, path.relative_to(folder).as_posix(), split or None, boxes, sides))
    lonely = [path.relative_to(folder).as_posix() for key, path in annotations.items() if key not in images]
    return build_box_index(
        origin,
        labelled_images,
        classes,
        absent=[*lonely, *lists.absent],
        ignored=lists.ignored,
        files=[*annotations.values(), *lists.files],
    )


def _key(path: Path, folder: Path) -> str:
    """Returns what an image and its annotation have in common: the path in their folder, without the suffix."""
    return path.relative_to(folder).with_suffix("").as_posix()


def _images_below(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith("."))


class _Lists(NamedTuple):
    """The lists of images in a VOC folder.

    Attributes:
        files: The lists that decide the splits; none if there are no such lists.
        split_of: The split of every listed image; empty for CVAT's list `default`, which is of no split.
        absent: Entries without an image, with their places.
        ignored: What has no part in the data set: other lists, and the number of images in no list.
    """

    files: tuple[Path, ...]
    split_of: dict[str, str]
    absent: list[str]
    ignored: dict[str, int]

    @classmethod
    def of(cls, folder: Path, images: Collection[str], origin: str) -> _Lists:
        """Reads the lists of a folder whose images are `images`."""
        split_of_list: dict[Path, str] = {}
        ignored: dict[str, int] = {}
        for path in sorted((folder / LIST_FOLDER).glob("*.txt")):
            split = {"trainval": "train", "default": ""}.get(path.stem, split_from_name(path.stem))
            if split is not None:
                split_of_list[path] = split
            elif path.stem.rpartition("_")[2] not in LISTS:  # VOC's lists by class are of no split
                ignored[path.relative_to(folder).as_posix()] = 1
        lists = cls(tuple(split_of_list), {}, [], ignored)
        for path in sorted(split_of_list, key=lambda path: path.stem == "trainval"):  # the union of train and val
            lists._read(path, split_of_list[path], images, folder, origin)
        if not lists.files:
            return lists
        unlisted = [key for key in images if key not in lists.split_of]
        if len(unlisted) == len(images):
            count, place = format_count(len(images), "image"), f"{origin}: {LIST_FOLDER}"
            raise InputError(f"name none of its {count} (such as {unlisted[0]})", place)
        if unlisted:
            ignored[f"images in no list of {LIST_FOLDER}"] = len(unlisted)
        return lists

    def _read(self, path: Path, split: str, images: Container[str], folder: Path, origin: str) -> None:
        place = path.relative_to(folder).as_posix()
        for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").split("\n"), 1):
            if not (words := line.split()):
                continue
            entry = words[0].replace("\\", "/")
            stem, suffix = os.path.splitext(entry)
            key = stem if entry not in images and suffix.lower() in SUFFIXES else entry
            if key not in images:
                self.absent.append(f"{entry} ({place}:{number})")
                continue
            first = self.split_of.setdefault(key, split)
            if first != split and (path.stem, first) != ("trainval", "val"):
                raise InputError(f"{key} is in the list of {first} too; keep it in one", f"{origin}: {place}:{number}")


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
