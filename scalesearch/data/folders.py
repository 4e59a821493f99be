"""Reads class folders of image files, with or without folders of splits above them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scalesearch.data.images import SUFFIXES
from scalesearch.data.index import Files, Index, build_index, size_and_mtime, split_from_name, stamp_of
from scalesearch.errors import InputError

SHARD_ENDING = "0123456789-_. "  # train1 and train2 are parts of one split
SYSTEM_FOLDERS = ("__MACOSX",)  # left behind by operating systems; ignored as hidden files are


def read_folder(folder: Path, origin: str) -> Index:
    """Reads the images in `folder/CLASS/…` or `folder/SPLIT/CLASS/…` as an index.

    Symbolic links are followed; within a class, each folder is read once. Where all classes lie in one folder inside,
    that one is read. Lists of images (`train.txt`, also in a folder such as `meta`) decide the splits, and images in
    none of them are left out.

    Raises `InputError` where there are no images, or fewer than two classes, and for lists that contradict each other
    or the folders.
    """
    top, folder = folder, _without_wrapper(folder)
    layout = _layout(folder)
    layout.check(folder, origin)
    split_of = layout.splits
    roots: list[tuple[Path, str | None]] = [(folder / name, split) for name, split in split_of.items()]
    roots = roots or [(folder, None)]
    ignored: Counter[str] = Counter()
    for name in layout.others if split_of else ():
        ignored[f"{name}/"] = sum(1 for _ in _walk_images(folder / name, set(), Counter()))
    images = [
        (path, label, split)
        for root, split in roots
        for label in _subfolders(root)
        for path in _walk_images(root / label, set(), ignored)
    ]
    outside = {folder, *(root for root, _ in roots), *(folder / name for name in layout.flat)}
    loose = [path for root in outside for path in _image_files(root)]
    if not images:
        message = (
            f"has {len(loose)} images that lie in no class; put each into a folder named after its class"
            if loose
            else f"has no images in it (files ending in {', '.join(sorted(SUFFIXES))})"
        )
        raise InputError(message, origin)
    names = [path.relative_to(folder).as_posix() for path, _, _ in images]
    lists = _lists(top, names, folder, origin)
    if lists is not None:
        for name, (_, _, split) in zip(names, images):
            if split and lists.split_of.get(name, split) != split:
                raise InputError(f"{name} is in the list of {lists.split_of[name]}; keep it in one split", origin)
        if not split_of:
            ignored.update(lists.ignored)
            images = [
                (path, label, lists.split_of[name])
                for name, (path, label, _) in zip(names, images)
                if name in lists.split_of
            ]
            names = [name for name in names if name in lists.split_of]
    list_files = [] if lists is None else lists.files
    stamp = stamp_of(
        [
            str(folder.resolve()),
            *((name, *size_and_mtime(path)) for name, (path, _, _) in zip(names, images)),
            *((path.name, *size_and_mtime(path)) for path in list_files),
        ]
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


class _Lists(NamedTuple):
    """The lists of images that lie beside class folders.

    Attributes:
        files: The lists.
        split_of: The split of every listed image by name.
        ignored: What has no part in the data set: the numbers of entries without an image, and of unlisted images.
    """

    files: list[Path]
    split_of: dict[str, str]
    ignored: dict[str, int]


def _lists(top: Path, names: Sequence[str], folder: Path, origin: str) -> _Lists | None:
    """Returns the lists of images in a data set's folder, or in one right below it that has no images; None where no
    list names any.

    Args:
        top: The data set's folder.
        names: Of the images, relative to `folder`.
        folder: That of the classes, `top` or one inside.
        origin: How messages name the data set.
    """
    places = [top, *(top / name for name in _subfolders(top) if not any(_walk_images(top / name, set(), Counter())))]
    files = {path: split for place in places for path in sorted(place.glob("*.txt")) if (split := _list_split(path))}
    inner = folder.relative_to(top)
    name_of: dict[str, str] = {}
    for name in names:  # entries may have the path from either folder, with the suffix or without
        for spelling in (name, (inner / name).as_posix()):
            name_of.setdefault(spelling, name)
            name_of.setdefault(os.path.splitext(spelling)[0], name)
    split_of: dict[str, str] = {}
    ignored: dict[str, int] = {}
    for path, split in files.items():
        place = path.relative_to(top).as_posix()
        for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
            if not (entry := line.strip().replace("\\", "/").removeprefix("./")):
                continue
            found = name_of.get(entry) or name_of.get(re.split(r"[\s,]+\S*$", entry)[0])  # a label may follow
            if found is None:
                key = f"entries of {place} without an image"
                ignored[key] = ignored.get(key, 0) + 1
            elif split_of.setdefault(found, split) != split:
                fault = f"{found} is in the list of {split_of[found]} too; keep it in one"
                raise InputError(fault, f"{origin}: {place}:{number}")
    if not split_of:
        return None
    if unlisted := len(names) - len(split_of):
        ignored[f"images in no list ({', '.join(path.name for path in files)})"] = unlisted
    return _Lists(list(files), split_of, ignored)


def _list_split(path: Path) -> str | None:
    """Returns the split that a list is of by its name: `train.txt`, `train_list.txt`; None for another file."""
    return split_from_name(re.sub(r"[-_ ]?(list|files|split)$", "", path.stem.lower()))


def _without_wrapper(folder: Path) -> Path:
    """Returns the folder that holds the classes or splits: `folder`, or the only one with images inside, of two or more
    folders of images.
    """
    names = _image_folders(folder)
    if len(names) == 1 and not split_from_name(names[0]) and not _image_files(folder):
        inner = folder / names[0]
        if len(_image_folders(inner)) > 1 and not _image_files(inner):
            return _without_wrapper(inner)
    return folder


def has_classes(folder: Path) -> bool:
    """Returns whether a folder has images of two or more classes, in folders of their own.

    Folders of splits whose images lie in no folders of classes (`train/0.png`) are no classes.
    """
    layout = _layout(folder)
    if layout.flat and not layout.splits and len(layout.others) < 2:
        return False
    return len(class_names(folder)) > 1


def class_names(folder: Path) -> list[str]:
    """Returns the names of the folders of images, or of those in its folders of splits where it has such."""
    roots = [folder / name for name in _layout(folder).splits] or [folder]
    return sorted({name for root in roots for name in _image_folders(root)})


class _Layout(NamedTuple):
    """The folders with images that lie in a data set's folder.

    Attributes:
        splits: The split of each folder that is called like one and has folders of images inside.
        flat: Folders that are called like splits and have images, but no folders of images.
        others: The rest.
    """

    splits: dict[str, str]
    flat: list[str]
    others: list[str]

    def check(self, folder: Path, origin: str) -> None:
        """Raises `InputError` where folders may be splits or classes, or two are called like one split."""
        called_like_splits = [*self.splits, *self.flat]
        if self.flat and not self.splits and not self.others:
            raise InputError(_no_class_folders(folder, self.flat), origin)
        if self.others and len(called_like_splits) == 1:
            split, other = called_like_splits[0], self.others[0]
            raise InputError(
                f'"{split}" is called like a split and "{other}" beside it is not; rename "{split}" if it is a class '
                f'(such as "{split}-class"), or call "{other}" train, val or test',
                origin,
            )
        mentioned = [words for name in self.others if (words := _split_words(name))]
        if not called_like_splits and len(set().union(*mentioned)) > 1 and 2 * len(mentioned) > len(self.others):
            raise InputError(
                f"{', '.join(self.others)} may be splits or classes; call splits train, val and test, and classes "
                "by names without these words",
                origin,
            )
        folder_of: dict[str, str] = {}
        for name, split in self.splits.items():
            first = folder_of.setdefault(split, name)
            if first.rstrip(SHARD_ENDING) != name.rstrip(SHARD_ENDING):
                raise InputError(
                    f'"{first}" and "{name}" are both called like the split {split}; join or rename them', origin
                )
            inner = _image_folders(folder / name)
            if len(inner) == 1 and split_from_name(inner[0]):
                raise InputError(
                    f'"{name}/{inner[0]}" is called like a split inside a split; move its folders up', origin
                )


def _no_class_folders(folder: Path, flat: Sequence[str]) -> str:
    """Returns the message for folders of splits whose images lie in no folder of a class."""
    files = (path for name in flat for path in (folder / name).iterdir() if path.is_file() and _is_visible(path.name))
    suffixes = sorted({path.suffix.lower() for path in files} - SUFFIXES)
    beside = f", and beside them files ending in {', '.join(suffixes)}" if suffixes else ""
    return (
        f"{', '.join(flat)} hold images in no class folders{beside}; takes {flat[0]}/CLASS/…, a table of images and "
        "classes, or boxes as .xml (VOC), .txt (YOLO) or .json (COCO); a class that is called like a split is renamed"
    )


def _split_words(name: str) -> set[str]:
    """Returns the splits that words of a folder's name stand for: train of `seg_train`."""
    return {split for word in re.split(r"[\W_]+", name) if (split := split_from_name(word))}


def _layout(folder: Path) -> _Layout:
    names = _image_folders(folder)
    split_of = {name: split for name in names if (split := split_from_name(name))}
    splits = {name: split for name, split in split_of.items() if _image_folders(folder / name)}
    flat = [name for name in split_of if name not in splits]
    return _Layout(splits, flat, [name for name in names if name not in split_of])


def _image_folders(folder: Path) -> list[str]:
    return [name for name in _subfolders(folder) if any(_walk_images(folder / name, set(), Counter()))]


def image_files_below(folder: Path) -> Iterator[Path]:
    """Yields all images below a folder."""
    return _walk_images(folder, set(), Counter())


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
