"""MODEL, as every command and `scalesearch.load` take it: a zoo name, an architecture's YAML, or a Darknet .cfg; a
classifier with a detector's head behind a plus."""

from __future__ import annotations

from pathlib import Path

from scalesearch import yamlfile
from scalesearch.arch import Arch, expand
from scalesearch.errors import InputError
from scalesearch.signature import fields_of
from scalesearch.space import load_arch, settings_keys
from scalesearch.zoo.darknet import arch_from_cfg
from scalesearch.zoo.detectors import HEADS, SEPARATOR, detector_on
from scalesearch.zoo.models import model as hand_built

READERS = {".yaml": load_arch, ".yml": load_arch, ".cfg": arch_from_cfg}


SUFFIXES = tuple(READERS)
ARCH, WEIGHTS = "arch.yaml", "weights.safetensors"  # what a trained network's folder holds


def in_folder(model: str | Path, name: str) -> Path | None:
    """That file of a trained network's folder; none where `model` is no folder.

    Raises `InputError` for a folder without it.
    """
    if not Path(model).is_dir():
        return None
    if not (Path(model) / name).is_file():
        raise InputError(f"is a folder without {name}; a trained network's has {ARCH} and {WEIGHTS}", str(model))
    return Path(model) / name


def load(model: str | Path, *, resolution: int | None = None, classes: int | None = None) -> Arch:
    """The architecture called `model`, at another resolution or with another number of classes if given. A folder that
    a training left, or a member of a family, is what its `arch.yaml` says. `MODEL+yolov8` and `MODEL+yolo` are
    detectors on a classifier.

    Raises `InputError` for a name that the zoo doesn't have, with the nearest, and for what is wrong in a file.
    """
    backbone, plus, head = str(model).rpartition(SEPARATOR)
    if plus and head in HEADS:
        return _changed(detector_on(load(backbone), head), resolution, classes)
    model = in_folder(model, ARCH) or model
    read = READERS.get(Path(model).suffix.lower())
    arch = read(str(model)) if read else hand_built(str(model))
    arch = _changed(arch, resolution, classes)
    if read:
        _check_shapes(arch, str(model))
    return arch


def _changed(arch: Arch, resolution: int | None, classes: int | None) -> Arch:
    changes, fields = {"resolution": resolution, "classes": classes}, fields_of(settings_keys)
    return arch.with_(**{key: fields[key].check(value) for key, value in changes.items() if value is not None})


def _check_shapes(arch: Arch, file: str) -> None:
    try:
        expand(arch)
    except InputError as error:
        if READERS[Path(file).suffix.lower()] is not load_arch:
            raise error.in_file(file) from None
        with yamlfile.read(file).located():
            raise
