"""Class folders of image files, with or without folders of splits above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scalesearch.data.images import SUFFIXES
from scalesearch.data.index import Files, Index, index, split_called, stamp_of, told_of
from scalesearch.errors import InputError

AWAY = ("__MACOSX",)  # what systems leave in folders, beside hidden files


def read_folder(folder: Path, origin: str) -> Index:
    """The images in `folder/CLASS/…` or `folder/SPLIT/CLASS/…`. Symbolic links are followed, each folder once.

    Raises `InputError` where there are none, or no two classes.
    """
    split_of = _splits(folder)
    roots: list[tuple[Path, str | None]] = [(folder / name, split) for name, split in split_of.items()]
    roots = roots or [(folder, None)]
    ignored: Counter[str] = Counter()
    for name in _folders(folder) if split_of else ():
        if name not in split_of and (count := sum(1 for _ in _images(folder / name, set(), Counter()))):
            ignored[f"{name}/"] = count
    found = [
        (path, label, split)
        for root, split in roots
        for label in _folders(root)
        for path in _images(root / label, set(), ignored)
    ]
    loose = [path for root, _ in {*roots, (folder, None)} for path in _here(root)]
    if not found:
        what = (
            f"has {len(loose)} images that lie in no class; put each into a folder called as its class"
            if loose
            else f"has no images in it (files ending in {', '.join(sorted(SUFFIXES))})"
        )
        raise InputError(what, origin)
    names = [path.relative_to(folder).as_posix() for path, _, _ in found]
    stamp = stamp_of([str(folder.resolve()), *((name, *told_of(path)) for name, (path, _, _) in zip(names, found))])
    return index(
        origin,
        names,
        [label for _, label, _ in found],
        [split for _, _, split in found],
        stamp,
        Files([path for path, _, _ in found]),
        loose=tuple(sorted(path.relative_to(folder).as_posix() for path in loose)),
        ignored=dict(ignored),
    )


def has_classes(folder: Path) -> bool:
    """Whether two classes of images lie there, in folders of their own."""
    roots = [folder / name for name in _splits(folder)] or [folder]
    classes = {name for root in roots for name in _folders(root) if any(_images(root / name, set(), Counter()))}
    return len(classes) > 1


def _splits(folder: Path) -> dict[str, str]:
    """The folders of splits, where that is what lies there."""
    inside = _folders(folder)
    found = {name: split for name in inside if (split := split_called(name)) and _folders(folder / name)}
    return found if len(found) > 1 or len(found) == len(inside) else {}


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and _counts(entry.name))


def _here(folder: Path) -> list[Path]:
    return [Path(e.path) for e in os.scandir(folder) if _is_image(e.name) and not e.is_dir()]


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in AWAY


def _is_image(name: str) -> bool:
    return _counts(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def _images(folder: Path, seen: set[tuple[int, int]], ignored: Counter[str]) -> Iterator[Path]:
    """All below a folder by name; a folder that a link leads back to is not gone into again."""
    there = os.stat(folder)
    if (there.st_dev, there.st_ino) in seen:
        return
    seen.add((there.st_dev, there.st_ino))
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if path.is_dir():
            if _counts(name):
                yield from _images(path, seen, ignored)
        elif _is_image(name):
            yield path
        elif _counts(name):
            ignored[os.path.splitext(name)[1].lower() or "no suffix"] += 1
