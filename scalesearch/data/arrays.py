"""Images stored as arrays: .npz files with any number of channels, and CIFAR's official archives."""

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

from scalesearch.data.index import Arrays, Index, build_index, size_and_mtime, split_from_name, stamp_of
from scalesearch.errors import InputError
from scalesearch.files import unpacked_size
from scalesearch.machine import check_memory

USUAL_CHANNELS = 1, 3, 4  # channel counts by which an array with channels last is recognised
SIDE, CHANNELS = 32, 3  # CIFAR's
MAX_BYTES = 256 << 20  # unpacked; CIFAR's are 178 MiB
SPLIT_OF_MEMBER = {"data_batch_": "train", "train": "train", "test_batch": "test", "test": "test"}
# What a pickled numpy array needs. Anything else in a CIFAR file is refused, so that no file runs code.
ALLOWED_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


def read_npz(path: Path, origin: str) -> Index:
    """Reads an .npz file of `images` and `labels`, and `splits` where it has them, as an index.

    Images are uint8: `(images, height, width)`, `(images, channels, height, width)`, or channels last where
    the shape shows it. `labels` and `splits` hold one value per image.

    Raises:
        InputError: If the file is damaged, lacks one of the arrays, or their shapes or dtypes differ from these.
    """
    arrays = _load_arrays(path, origin, {"images", "labels"})
    pixels, labels = _to_channels_last(arrays["images"], origin), arrays["labels"]
    if labels.shape != (len(pixels),):
        raise InputError(f"needs a label for each of {len(pixels)} images, got {labels.shape}", origin)
    splits = arrays.get("splits", np.full(len(pixels), "")).astype(str)
    return _index_arrays(origin, path, pixels, labels.tolist(), [split_from_name(s) if s else None for s in splits])


def npz_images(path: Path) -> np.ndarray:
    """Returns the `images` of an .npz file as uint8 `(images, height, width, channels)`.

    Raises `InputError` where the file has none.
    """
    return _to_channels_last(_load_arrays(path, str(path), {"images"})["images"], str(path))


def _load_arrays(path: Path, origin: str, needed: set[str]) -> dict[str, np.ndarray]:
    try:
        check_memory(unpacked_size(path), origin)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"is damaged or no .npz file of plain arrays: {error}", origin) from None
    if not needed <= arrays.keys():
        raise InputError(f"needs arrays called {' and '.join(sorted(needed))}; it has {', '.join(arrays)}", origin)
    return arrays


def _to_channels_last(images: np.ndarray, origin: str) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images) or 0 in images.shape:
        raise InputError(
            "images must be uint8, (images, channels, height, width), (images, height, width, channels) with 1, 3 or 4 "
            f"channels, or (images, height, width), got {images.dtype} of shape {images.shape}",
            origin,
        )
    channels_last = images.ndim == 4 and images.shape[3] in USUAL_CHANNELS and images.shape[1] not in USUAL_CHANNELS
    return images[..., None] if images.ndim == 3 else images if channels_last else images.transpose(0, 2, 3, 1)


def _index_arrays(
    origin: str,
    path: Path,
    pixels: np.ndarray,
    labels: list[Any],
    splits: list[str | None],
    classes: tuple[str, ...] | None = None,
) -> Index:
    names = [f"{split or path.name}:{row}" for row, split in enumerate(splits)]
    stamp = stamp_of([(path.name, *size_and_mtime(path)), pixels.shape])
    return build_index(origin, names, labels, splits, stamp, Arrays(np.ascontiguousarray(pixels)), classes)


def is_cifar(path: Path) -> bool:
    """Returns whether a file or folder is one of CIFAR's archives, as downloaded or unpacked."""
    if path.is_dir():
        return any(_split_of(p.name) and p.is_file() and p.suffix in ("", ".bin") for p in path.iterdir())
    return path.name.startswith("cifar-") and path.name.endswith((".tar.gz", ".tar"))


def read_cifar(path: Path, origin: str) -> Index:
    """Reads CIFAR-10 or CIFAR-100 (Krizhevsky 2009) as an index; labels of CIFAR-100 are the fine ones.

    Takes the archives for Python and the binary ones, as downloaded or unpacked.

    Raises `InputError` for a damaged archive or one that is not CIFAR's.
    """
    files = dict(_members(path, origin))
    members = [name for name in files if _split_of(name)]
    if not members:
        raise InputError("holds none of CIFAR's files", origin)
    fine = any(name.startswith("train") for name in members)
    pixels, labels, splits = [], [], []
    for name in sorted(members):
        parse = _parse_binary if name.endswith(".bin") else _parse_pickle
        images, member_labels = parse(files[name], fine, f"{origin}: {name}")
        pixels.append(images.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1))
        labels += member_labels
        splits += [_split_of(name)] * len(member_labels)
    classes = _class_names(files, f"{origin}: names of classes")
    all_named = classes and max(labels) < len(classes)
    label_names = [classes[label] for label in labels] if classes and all_named else labels
    return _index_arrays(origin, path, np.concatenate(pixels), label_names, splits, classes if all_named else None)


def _split_of(name: str) -> str | None:
    stem = name.removesuffix(".bin")
    return next(
        (s for start, s in SPLIT_OF_MEMBER.items() if stem == start or (start[-1] == "_" and stem.startswith(start))),
        None,
    )


def _members(path: Path, origin: str) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from ((p.name, p.read_bytes()) for p in path.iterdir() if p.is_file())
        return
    try:
        with closing(tarfile.open(path)) as archive:
            remaining = MAX_BYTES
            for member in archive:
                if (remaining := remaining - member.size) < 0:
                    raise InputError(f"holds more than {MAX_BYTES:,} bytes, and CIFAR's archives don't", origin)
                if member.isfile() and (file := archive.extractfile(member)):
                    yield Path(member.name).name, file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"is damaged or no archive: {error}", origin) from None


def _parse_binary(file: bytes, fine: bool, place: str) -> tuple[np.ndarray, list[int]]:
    """Splits a binary file into pixels and labels: rows of 1 label (CIFAR-100: coarse, fine) and 3,072 pixels."""
    label_bytes = 2 if fine else 1
    row_bytes = label_bytes + CHANNELS * SIDE * SIDE
    if not file or len(file) % row_bytes:
        raise InputError(f"is damaged: it is no whole number of rows of {row_bytes:,} bytes", place)
    rows = np.frombuffer(file, np.uint8).reshape(-1, row_bytes)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(int).tolist()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which would mean running code from it")
        return super().find_class(module, name)


def _unpickle(file: bytes, place: str) -> Mapping[Any, Any]:
    try:
        payload = _Unpickler(io.BytesIO(file), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"is none of CIFAR's files: {error}", place) from None
    if not isinstance(payload, Mapping):
        raise InputError("is none of CIFAR's files", place)
    return payload


def _parse_pickle(file: bytes, fine: bool, place: str) -> tuple[np.ndarray, list[int]]:
    payload = _unpickle(file, place)
    images, labels = payload.get(b"data"), payload.get(b"fine_labels" if fine else b"labels")
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
            return tuple(n.decode("ascii", "replace") for n in _unpickle(files[name], place).get(key, ())) or None
    return None
