"""Reads class folders of image files, with or without folders of splits above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scalesearch.data.images import SUFFIXES
from scalesearch.data.index import Files, Index, build_index, size_and_mtime, split_from_name, stamp_of
from scalesearch.errors import InputError

SYSTEM_FOLDERS = ("__MACOSX",)  # left behind by operating systems; ignored as hidden files are


def read_folder(folder: Path, origin: str) -> Index:
    """Reads the images in `folder/CLASS/…` or `folder/SPLIT/CLASS/…` as an index.

    Symbolic links are followed; within a class, each folder is read once.

    Raises `InputError` where there are no images, or fewer than two classes.
    """
    split_of = _split_folders(folder)
    roots: list[tuple[Path, str | None]] = [(folder / name, split) for name, split in split_of.items()]
    roots = roots or [(folder, None)]
    ignored: Counter[str] = Counter()
    for name in _subfolders(folder) if split_of else ():
        if name not in split_of and (count := sum(1 for _ in _walk_images(folder / name, set(), Counter()))):
            ignored[f"{name}/"] = count
    images = [
        (path, label, split)
        for root, split in roots
        for label in _subfolders(root)
        for path in _walk_images(root / label, set(), ignored)
    ]
    loose = [path for root, _ in {*roots, (folder, None)} for path in _image_files(root)]
    if not images:
        message = (
            f"has {len(loose)} images that lie in no class; put each into a folder named after its class"
            if loose
            else f"has no images in it (files ending in {', '.join(sorted(SUFFIXES))})"
        )
        raise InputError(message, origin)
    names = [path.relative_to(folder).as_posix() for path, _, _ in images]
    stamp = stamp_of(
        [str(folder.resolve()), *((name, *size_and_mtime(path)) for name, (path, _, _) in zip(names, images))]
    )
    return build_index(
        origin,
        names,
        [label for _, label, _ in images],
        [split for _, _, split in images],
        stamp,
        Files([path for path, _, _ in images]),
        loose=tuple(sorted(path.relative_to(folder).as_posix() for path in loose)),
        ignored=dict(ignored),
    )


def has_classes(folder: Path) -> bool:
    """Returns whether a folder has images of two or more classes, in folders of their own."""
    roots = [folder / name for name in _split_folders(folder)] or [folder]
    classes = {name for root in roots for name in _subfolders(root) if any(_walk_images(root / name, set(), Counter()))}
    return len(classes) > 1


def _split_folders(folder: Path) -> dict[str, str]:
    """Returns the split of each folder named after one, if all folders are or more than one is."""
    names = _subfolders(folder)
    split_of = {name: split for name in names if (split := split_from_name(name)) and _subfolders(folder / name)}
    return split_of if len(split_of) > 1 or len(split_of) == len(names) else {}


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and _is_visible(entry.name))


def _image_files(folder: Path) -> list[Path]:
    return [Path(e.path) for e in os.scandir(folder) if _is_image(e.name) and not e.is_dir()]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in SYSTEM_FOLDERS


def _is_image(name: str) -> bool:
    return _is_visible(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def _walk_images(folder: Path, seen: set[tuple[int, int]], ignored: Counter[str]) -> Iterator[Path]:
    """Yields all images below a folder, sorted by name; a folder that links lead back to is read once."""
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if path.is_dir():
            if _is_visible(name):
                yield from _walk_images(path, seen, ignored)
        elif _is_image(name):
            yield path
        elif _is_visible(name):
            ignored[os.path.splitext(name)[1].lower() or "no suffix"] += 1
