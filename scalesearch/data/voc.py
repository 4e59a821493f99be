"""Boxes as PASCAL VOC writes them (Everingham et al. 2010): an XML file for every image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from scalesearch.data.images import SUFFIXES, sides_of
from scalesearch.data.index import Index, split_called
from scalesearch.data.labelled import Box, Labelled, boxed_index
from scalesearch.errors import InputError

ANNOTATIONS, IMAGES, LISTS = "Annotations", "JPEGImages", "ImageSets/Main"
MOST_BYTES = 16 << 20
SPLITS = ("train", "val", "test", "trainval")


def find_voc(folder: Path) -> Path | None:
    """The folder that has `Annotations` of XML files, this one or one right in it."""
    for there in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        if any((there / ANNOTATIONS).glob("*.xml")):
            return there
    return None


def read_voc(folder: Path, origin: str) -> Index:
    """`Annotations/*.xml` with `JPEGImages/` and, where there are any, the lists of `ImageSets/Main`.

    Corners are whole pixels counted from 1, both inside the box. Difficult ones are taken as crowds. Raises
    `InputError`, placed at the file and object, for what is no annotation.
    """
    images = {path.stem: path for path in sorted(_images(folder))}
    listed = _listed(folder / LISTS)
    notes = sorted((folder / ANNOTATIONS).glob("*.xml"))
    told = {
        path.stem: _read(path, f"{origin}: {path.relative_to(folder).as_posix()}", images.get(path.stem))
        for path in notes
    }
    classes = sorted({name for _, objects in told.values() for name, _ in objects})
    number = {name: i for i, name in enumerate(classes)}
    found = []
    for stem, path in images.items():
        sides, objects = told.get(stem, (None, None))
        boxes = None if objects is None else [box._replace(class_=number[name]) for name, box in objects]
        found.append(Labelled(path, path.relative_to(folder).as_posix(), listed.get(stem), boxes, sides))
    return boxed_index(
        origin,
        found,
        classes,
        absent=[f"{ANNOTATIONS}/{s}.xml" for s in told if s not in images],
        files=[*notes, *(folder / LISTS / f"{name}.txt" for name in SPLITS)],
    )


def _images(folder: Path) -> Iterator[Path]:
    there = folder / IMAGES
    for root in [there] if there.is_dir() else [folder / ANNOTATIONS, folder]:
        yield from (p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _listed(folder: Path) -> dict[str, str]:
    """Which split every image is in; where there is only "trainval", that is training."""
    found: dict[str, str] = {}
    for name in SPLITS:
        path = folder / f"{name}.txt"
        split = split_called(name) or "train"
        if path.is_file():
            for line in path.read_text(encoding="utf-8-sig", errors="replace").split("\n"):
                if line.strip():
                    found.setdefault(line.split()[0].removesuffix(".jpg"), split)
    return found


Objects = list[tuple[str, Box]]


def _read(path: Path, place: str, image: Path | None) -> tuple[tuple[int, int] | None, Objects]:
    """The sides that are told of the image, and its objects by the name of their class."""
    try:
        text = path.read_bytes()
        if len(text) > MOST_BYTES or b"<!ENTITY" in text:
            raise InputError("is no annotation: it declares entities or is too large", place)
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise InputError(f"is no XML: {error}", place) from None
    size = root.find("size")
    sides = None if size is None else (_whole(size, "width"), _whole(size, "height"))
    if not sides or min(sides) < 1:  # some tools write 0
        sides = sides_of(image) if image else None
    objects: Objects = []
    for i, thing in enumerate(root.iter("object"), 1):
        here = f"{place}: object {i}"
        name, corners = (thing.findtext("name") or "").strip(), thing.find("bndbox")
        if not name or corners is None:
            raise InputError("needs a name and a bndbox", here)
        if sides is None:
            continue
        left, top, right, bottom = (_number(corners, key, here) for key in ("xmin", "ymin", "xmax", "ymax"))
        wide, high = sides
        box = Box(
            0,
            (left - 1) / wide,
            (top - 1) / high,
            (right - left + 1) / wide,
            (bottom - top + 1) / high,
            (thing.findtext("difficult") or "0").strip() == "1",
        )
        if right <= left or bottom <= top:
            box = box._replace(width=0.0)
        objects.append((name, box))
    return sides, objects


def _whole(element: ElementTree.Element, key: str) -> int:
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
