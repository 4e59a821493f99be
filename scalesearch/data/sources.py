"""Where images come from: a table of names, entry points of installed packages, and everything that has a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesearch.data.digits import load_digits
from scalesearch.data.facts import Source, Split
from scalesearch.errors import InputError, inside, unknown
from scalesearch.files import cache_folder
from scalesearch.signature import section

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
NAMED = {
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


def located(data: Any, folder: Path = Path()) -> Any:
    """What a study says of its data with a path in it made absolute, as seen from the study's folder."""
    told = data if isinstance(data, Mapping) else {"source": data}
    source = told.get("source")
    if not isinstance(source, str) or source.startswith(HUB) or source in (*SOURCES, *NAMED, *_entry_points()):
        return data
    path = (folder / Path(source).expanduser()).resolve()
    if not path.exists():
        return data  # said when it is opened, in the words that it was told in
    return {**told, "source": str(path)} if isinstance(data, Mapping) else str(path)


def source(data: str | Mapping[str, Any], size: int | tuple[int, int] | None = None) -> Source:
    """The data that a study names, its images kept at `size`: a side, or height and width.

    Raises `InputError` with the nearest name where there is none, and for what no study should train on.
    """
    if known := known_source(data):
        return known
    with inside("data"):
        opened = data_set(data)
        opened.check()
        return opened.source(size or opened.scan.shorter_side)


def known_source(data: str | Mapping[str, Any]) -> Source | None:
    """A source of the table or of an installed package; none for images that lie somewhere."""
    told = {"source": data} if isinstance(data, str) else dict(data)
    name = str(told.get("source"))
    known = SOURCES.get(name) or _installed(name)
    if known is None:
        return None
    if unwanted := told.keys() - {"source", "mirror"}:
        raise InputError(f'{name} has splits and sizes of its own; takes "mirror" alone', f"data.{min(unwanted)}")
    return replace(known, mirror=bool(told.get("mirror", known.mirror)))


def data_set(data: str | Mapping[str, Any]) -> DataSet:
    """A data set of image files. Raises `InputError` with the nearest name where there is none."""
    from scalesearch.data.dataset import Told, open_data

    told = section(Told, {"source": data} if isinstance(data, str) else data, "")
    if told.source in NAMED:
        try:
            return open_data(replace(told, source=_of_name(told.source)))
        except InputError as error:
            raise InputError(
                f"{error}; or lay it into {data_home()} as {told.source} or {' or '.join(ARCHIVES[told.source][:3])}",
                told.source,
            ) from None
    if not told.source.startswith(HUB) and not Path(told.source).expanduser().exists():
        names = [*SOURCES, *NAMED, *_entry_points()]
        raise InputError(unknown("data set", told.source, [*names, "a path", "hf:OWNER/NAME"]), "")
    return open_data(told)


def data_home() -> Path:
    """Where data sets that are known by name are looked for: `$SCALESEARCH_DATA`, or `data` in the cache."""
    return Path(os.environ.get("SCALESEARCH_DATA") or cache_folder("data"))


def _of_name(name: str) -> str:
    home = data_home()
    for called in (name, *ARCHIVES[name], f"{name}.parquet", f"{name}.csv"):
        if (home / called).exists():
            return str(home / called)
    return NAMED[name]


def _installed(name: str) -> Source | None:
    others = _entry_points()
    if name not in others:
        return None
    found = others[name].load()
    if not isinstance(found, Source):
        raise InputError(f"the entry point {others[name].value} of {name} is no `scalesearch.data.Source`", "data")
    return found


_loaded: dict[tuple[Any, ...], dict[str, Split]] = {}


def load(source: Source) -> dict[str, Split]:
    """The splits of a source as pixels and labels, kept for the next trial in the same process."""
    from scalesearch.data.pixels import Pixels

    key = source.name, source.digest, source.size, source.assigned
    if key not in _loaded:
        while len(_loaded) > 1:
            _loaded.pop(next(iter(_loaded)))
        _loaded[key] = {name: (_as_pixels(images, Pixels), labels) for name, (images, labels) in source.load().items()}
    return _loaded[key]


def _as_pixels(images: Any, kind: type) -> Any:
    import numpy as np

    if isinstance(images, kind):
        return images
    return kind(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), np.arange(len(images)))
