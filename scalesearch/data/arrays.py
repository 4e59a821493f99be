"""Images that lie as arrays: .npz files with any number of channels, and CIFAR's official archives."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from scalesearch.data.index import Arrays, Index, index, split_called, stamp_of, told_of
from scalesearch.errors import InputError
from scalesearch.files import unpacked
from scalesearch.machine import check_room

USUAL = 1, 3, 4  # channels, by which images that have them last are told
SIDE, CHANNELS = 32, 3  # CIFAR's
MOST_BYTES = 256 << 20  # unpacked; CIFAR's are 178 MiB
MEMBERS = {"data_batch_": "train", "train": "train", "test_batch": "test", "test": "test"}
# All that a pickled numpy array is made of: anything else in one of CIFAR's files is refused, so none runs code.
HARMLESS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


def read_npz(path: Path, origin: str) -> Index:
    """`images` (uint8, images × height × width or × channels × height × width) and `labels`, with `splits` if told.

    Raises `InputError` for anything else.
    """
    held = _held(path, origin, {"images", "labels"})
    pixels, labels = _pixels(held["images"], origin), held["labels"]
    if labels.shape != (len(pixels),):
        raise InputError(f"needs a label for each of {len(pixels)} images, got {labels.shape}", origin)
    splits = held.get("splits", np.full(len(pixels), "")).astype(str)
    return _index(origin, path, pixels, labels.tolist(), [split_called(s) if s else None for s in splits])


def npz_images(path: Path) -> np.ndarray:
    """The `images` alone, `(images, height, width, channels)` uint8. Raises `InputError` where there are none."""
    return _pixels(_held(path, str(path), {"images"})["images"], str(path))


def _held(path: Path, origin: str, needed: set[str]) -> dict[str, np.ndarray]:
    try:
        check_room(unpacked(path), origin)
        with np.load(path, allow_pickle=False) as file:
            held = {key: file[key] for key in file.files}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"is damaged or no .npz file of plain arrays: {error}", origin) from None
    if not needed <= held.keys():
        raise InputError(f"needs arrays called {' and '.join(sorted(needed))}; it has {', '.join(held)}", origin)
    return held


def _pixels(images: np.ndarray, origin: str) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images) or 0 in images.shape:
        raise InputError(
            "images must be uint8, (images, channels, height, width) or (images, height, width), got "
            f"{images.dtype} {images.shape}",
            origin,
        )
    last = images.ndim == 4 and images.shape[3] in USUAL and images.shape[1] not in USUAL
    return images[..., None] if images.ndim == 3 else images if last else images.transpose(0, 2, 3, 1)


def _index(
    origin: str,
    path: Path,
    pixels: np.ndarray,
    labels: list[Any],
    splits: list[str | None],
    classes: tuple[str, ...] | None = None,
) -> Index:
    names = [f"{split or path.name}:{row}" for row, split in enumerate(splits)]
    stamp = stamp_of([(path.name, *told_of(path)), pixels.shape])
    return index(origin, names, labels, splits, stamp, Arrays(np.ascontiguousarray(pixels)), classes)


def is_cifar(path: Path) -> bool:
    """Whether a file or folder is one of CIFAR's archives, as downloaded or unpacked."""
    if path.is_dir():
        return any(_split_of(p.name) and p.is_file() and p.suffix in ("", ".bin") for p in path.iterdir())
    return path.name.startswith("cifar-") and path.name.endswith((".tar.gz", ".tar"))


def read_cifar(path: Path, origin: str) -> Index:
    """CIFAR-10 and -100 (Krizhevsky 2009): the archives for Python or in binary, packed or not; of 100 the fine
    labels."""
    files = dict(_members(path, origin))
    train = [name for name in files if _split_of(name)]
    if not train:
        raise InputError("holds none of CIFAR's files", origin)
    fine = any(name.startswith("train") for name in train)
    pixels, labels, splits = [], [], []
    for name in sorted(train):
        images, told = (_binary if name.endswith(".bin") else _pickled)(files[name], fine, f"{origin}: {name}")
        pixels.append(images.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1))
        labels += told
        splits += [_split_of(name)] * len(told)
    classes = _class_names(files, f"{origin}: names of classes")
    known = classes and max(labels) < len(classes)
    named = [classes[label] for label in labels] if classes and known else labels
    return _index(origin, path, np.concatenate(pixels), named, splits, classes if known else None)


def _split_of(name: str) -> str | None:
    stem = name.removesuffix(".bin")
    return next(
        (s for start, s in MEMBERS.items() if stem == start or (start[-1] == "_" and stem.startswith(start))), None
    )


def _members(path: Path, origin: str) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from ((p.name, p.read_bytes()) for p in path.iterdir() if p.is_file())
        return
    try:
        with closing(tarfile.open(path)) as archive:
            left = MOST_BYTES
            for member in archive:
                if (left := left - member.size) < 0:
                    raise InputError(f"holds more than {MOST_BYTES:,} bytes, and CIFAR's archives don't", origin)
                if member.isfile() and (file := archive.extractfile(member)):
                    yield Path(member.name).name, file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"is damaged or no archive: {error}", origin) from None


def _binary(file: bytes, fine: bool, place: str) -> tuple[np.ndarray, list[int]]:
    """Rows of a label (of 100 classes, a coarse and a fine one) and 3,072 pixels."""
    heads = 2 if fine else 1
    width = heads + CHANNELS * SIDE * SIDE
    if not file or len(file) % width:
        raise InputError(f"is damaged: it is no whole number of rows of {width:,} bytes", place)
    rows = np.frombuffer(file, np.uint8).reshape(-1, width)
    return rows[:, heads:], rows[:, heads - 1].astype(int).tolist()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which would mean running code from it")
        return super().find_class(module, name)


def _unpickled(file: bytes, place: str) -> Mapping[Any, Any]:
    try:
        held = _Unpickler(io.BytesIO(file), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"is none of CIFAR's files: {error}", place) from None
    if not isinstance(held, Mapping):
        raise InputError("is none of CIFAR's files", place)
    return held


def _pickled(file: bytes, fine: bool, place: str) -> tuple[np.ndarray, list[int]]:
    held = _unpickled(file, place)
    images, labels = held.get(b"data"), held.get(b"fine_labels" if fine else b"labels")
    if (
        isinstance(images, np.ndarray)
        and images.dtype == np.uint8
        and isinstance(labels, list)
        and images.shape == (len(labels), CHANNELS * SIDE * SIDE)
    ):
        return images, [int(label) for label in labels]
    raise InputError("is none of CIFAR's files", place)


def _class_names(files: Mapping[str, bytes], place: str) -> tuple[str, ...] | None:
    for name in ("batches.meta.txt", "fine_label_names.txt"):
        if name in files:
            return tuple(files[name].decode("ascii", "replace").split())
    for name, key in (("batches.meta", b"label_names"), ("meta", b"fine_label_names")):
        if name in files:
            return tuple(n.decode("ascii", "replace") for n in _unpickled(files[name], place).get(key, ())) or None
    return None
