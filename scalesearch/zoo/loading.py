"""Reads MODEL, as every command and `scalesearch.load` take it.

It is a name of the zoo, an architecture's YAML, a Darknet .cfg, or a trained network's folder; a
classifier followed by a plus and a head is a detector on it.
"""

from __future__ import annotations

from pathlib import Path

from scalesearch import yamlfile
from scalesearch.arch import Arch, Resolution, Strides, adapt, expand
from scalesearch.errors import InputError, check_kind, suggestion
from scalesearch.signature import fields_of
from scalesearch.space import load_arch, settings_keys
from scalesearch.zoo.darknet import arch_from_cfg
from scalesearch.zoo.detectors import HEADS, SEPARATOR, detector_on
from scalesearch.zoo.models import MODELS, model as hand_built

READERS = {".yaml": load_arch, ".yml": load_arch, ".cfg": arch_from_cfg}


SUFFIXES = tuple(READERS)
ARCH, WEIGHTS = "arch.yaml", "weights.safetensors"  # what a trained network's folder holds


def find_in_folder(model: str | Path, name: str) -> Path | None:
    """Returns the path of the file `name` in a trained network's folder, None where `model` is no folder.

    Raises:
        InputError: If the folder has no such file.
    """
    if not Path(model).is_dir():
        return None
    if not (Path(model) / name).is_file():
        raise InputError(f"is a folder without {name}; a trained network's has {ARCH} and {WEIGHTS}", str(model))
    return Path(model) / name


def load(
    model: str | Path,
    *,
    resolution: Resolution | None = None,
    classes: int | None = None,
    strides: Strides = "native",
) -> Arch:
    """Returns the architecture that `model` names, with another resolution or number of classes if given.

    Args:
        model: A name of the zoo, an architecture's YAML, a Darknet .cfg, or the folder of a trained network
            or of a member of a family, whose `arch.yaml` is read. `MODEL+yolov8` and `MODEL+yolo` are
            detectors on a classifier.
        resolution: Side of the input in pixels, or height and width.
        classes: Number of classes.
        strides: `native` keeps the model's strides; `fitted` lowers the earliest where the resolution is small,
            as `train` and a study's `compare` do by default.

    Raises:
        InputError: For a name that the zoo does not have, with the nearest one, and for errors in a file,
            with their place.
    """
    check_kind(model, (str, Path), "a name of the zoo, or a path", "model")
    backbone, plus, head = str(model).rpartition(SEPARATOR)
    if plus and head in HEADS:
        return _with_settings(detector_on(load(backbone), head), resolution, classes, strides)
    model = find_in_folder(model, ARCH) or model
    reader = READERS.get(Path(model).suffix.lower())
    arch = reader(str(model)) if reader else _named(str(model))
    arch = _with_settings(arch, resolution, classes, strides)
    if reader:
        _check_shapes(arch, str(model))
    return arch


def _named(name: str) -> Arch:
    """Returns the zoo's network of that name; where there is none, the error names a network's folder here that is most
    like it.
    """
    try:
        return hand_built(name)
    except InputError:
        folders = [path.parent.name for path in Path().glob(f"*/{ARCH}")]
        nearest = suggestion(name, [*folders, *MODELS])
        if any(f'"{folder}"' in nearest for folder in folders):
            raise InputError(f'unknown model "{name}".{nearest}') from None
        raise


def _with_settings(arch: Arch, resolution: Resolution | None, classes: int | None, strides: Strides) -> Arch:
    changes, fields = {"resolution": resolution, "classes": classes}, fields_of(settings_keys)
    changed = arch.with_(**{key: fields[key].check(value) for key, value in changes.items() if value is not None})
    fields_of(load)["strides"].check(strides)
    return adapt(
        changed, resolution=changed.resolution, classes=changed.classes, channels=changed.channels, strides=strides
    )


def _check_shapes(arch: Arch, file: str) -> None:
    try:
        expand(arch)
    except InputError as error:
        if READERS[Path(file).suffix.lower()] is not load_arch:
            raise error.in_file(file) from None
        with yamlfile.read(file).errors_located():
            raise
