"""Finds data: by name in a table, in entry points of installed packages, or by path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesearch.data.digits import load_digits
from scalesearch.data.facts import Source, Split
from scalesearch.errors import InputError, errors_at, suggestion
from scalesearch.files import cache_folder
from scalesearch.plain_data import PlainMapping
from scalesearch.signature import parse_section

if TYPE_CHECKING:
    from scalesearch.data.dataset import DataSet

SOURCES = {
    "digits": Source(
        "digits",
        8,
        1,
        10,
        False,
        {"train": 1077, "val": 360, "test": 360},
        load_digits,
        "Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as in scikit-learn",
    ),
}

# Data sets that are known by name: a folder, table or archive of that name in `$SCALESEARCH_DATA`, else on the Hub.
HUB_SOURCES = {
    "cifar10": "hf:uoft-cs/cifar10",
    "cifar100": "hf:uoft-cs/cifar100",
    "imagenette": "hf:frgfm/imagenette/320px",
    "imagenet": "hf:ILSVRC/imagenet-1k",
}
ARCHIVES = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-binary", "cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"),
    "imagenette": ("imagenette2", "imagenette2-320", "imagenette2-160"),
    "imagenet": ("ILSVRC",),
}
HUB = "hf:"
GROUP = "scalesearch.data"  # entry points of installed packages, each a `Source`


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def absolute_source(data: object, folder: Path = Path()) -> Any:
    """Returns a study's `data` entry with its path made absolute; it is relative to the study's folder.

    An entry without a path, or whose path does not exist, is returned as it is.
    """
    spec = data if isinstance(data, Mapping) else {"source": data}
    source = spec.get("source")
    if not isinstance(source, str) or source.startswith(HUB):
        return data
    if source in _known_names():
        check_distinct_name(source, folder)
        return data
    path = (folder / Path(source).expanduser()).resolve()
    if not path.exists():
        return data  # refused when it is opened, with the path as written
    return {**spec, "source": str(path)} if isinstance(data, Mapping) else str(path)


def _known_names() -> tuple[str, ...]:
    return (*SOURCES, *HUB_SOURCES, *_entry_points())


def check_distinct_name(name: str, folder: Path = Path()) -> None:
    """Raises `InputError` where a data set known by its name is also a folder of images or tables in `folder`."""
    from scalesearch.data.columns import TABLE_SUFFIXES
    from scalesearch.data.images import SUFFIXES

    path, suffixes = folder / name, (*SUFFIXES, *TABLE_SUFFIXES)
    if name not in _known_names() or not path.is_dir() or path.resolve() == (data_home() / name).resolve():
        return
    if any(file.suffix.lower() in suffixes for file in path.rglob("*")):
        raise InputError(
            f"is a data set that comes with a name, and a folder here; write ./{name} for the folder, or rename it",
            name,
        )


def source(data: str | PlainMapping, size: int | tuple[int, int] | None = None) -> Source:
    """Returns the source that a study's `data` entry names.

    Args:
        data: A name, a path or a `data` section.
        size: Side in pixels that images from files are stored at, or height and width; the data's own where None.

    Raises:
        InputError: With the nearest name if there is none, and for data that no study should train on.
    """
    if entry := registered_source(data):
        return entry
    with errors_at("data"):
        dataset = data_set(data)
        dataset.check()
        return dataset.source(size or dataset.scan.shorter_side)


def registered_source(data: str | PlainMapping) -> Source | None:
    """Returns a source of the table or of an installed package; None for data that is read from files.

    Raises `InputError` for options that such a source does not take.
    """
    spec = {"source": data} if isinstance(data, str) else dict(data)
    name = str(spec.get("source"))
    entry = SOURCES.get(name) or _load_entry_point(name)
    if entry is None:
        return None
    if extra_keys := spec.keys() - {"source", "mirror"}:
        raise InputError(f'{name} has splits and sizes of its own; takes "mirror" alone', f"data.{min(extra_keys)}")
    return replace(entry, mirror=bool(spec.get("mirror", entry.mirror)))


def _paths_beside(path: Path) -> list[str]:
    """Returns the folders and files that lie where `path` was looked for, as a person would write them."""
    try:
        return [str(other) for other in path.parent.iterdir() if not other.name.startswith(".")]
    except OSError:
        return []


def data_set(data: str | PlainMapping) -> DataSet:
    """Opens a data set of image files. Raises `InputError` with the nearest name where there is none."""
    from scalesearch.data.dataset import DataConfig, open_data

    config = parse_section(DataConfig, {"source": data} if isinstance(data, str) else data, "")
    if config.source in HUB_SOURCES:
        try:
            return open_data(replace(config, source=_find_named(config.source)))
        except InputError as error:
            raise InputError(
                f"{error}; or put it into {data_home()} as {config.source} or "
                f"{' or '.join(ARCHIVES[config.source][:3])}",
                config.source,
            ) from None
    if not config.source.startswith(HUB) and not Path(config.source).expanduser().exists():
        names = [*_known_names(), *_paths_beside(Path(config.source).expanduser())]
        known = ", ".join((*_known_names(), "a path", "hf:OWNER/NAME"))
        raise InputError(f'unknown data set "{config.source}"; takes {known}.{suggestion(config.source, names)}', "")
    return open_data(config)


def data_home() -> Path:
    """Returns the folder of data sets known by name: `$SCALESEARCH_DATA`, or `data` in the cache."""
    return Path(os.environ.get("SCALESEARCH_DATA") or cache_folder("data"))


def _find_named(name: str) -> str:
    home = data_home()
    for candidate in (name, *ARCHIVES[name], f"{name}.parquet", f"{name}.csv"):
        if (home / candidate).exists():
            return str(home / candidate)
    return HUB_SOURCES[name]


def _load_entry_point(name: str) -> Source | None:
    points = _entry_points()
    if name not in points:
        return None
    entry = points[name].load()
    if not isinstance(entry, Source):
        raise InputError(f"the entry point {points[name].value} of {name} is no `scalesearch.data.Source`", "data")
    return entry


_split_cache: dict[tuple[Any, ...], dict[str, Split]] = {}


def load(source: Source) -> dict[str, Split]:
    """Returns the images, as `Pixels`, and the labels of every split of a source.

    Two sources at most stay in memory, for the next trials of the process.
    """
    key = source.name, source.digest, source.size, source.assigned
    if key not in _split_cache:
        while len(_split_cache) > 1:
            _split_cache.pop(next(iter(_split_cache)))
        _split_cache[key] = {name: (_as_pixels(images), labels) for name, (images, labels) in source.load().items()}
    return _split_cache[key]


def _as_pixels(images: Any) -> Any:
    import numpy as np

    from scalesearch.data.pixels import Pixels

    if isinstance(images, Pixels):
        return images
    return Pixels(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), np.arange(len(images)))
