"""Files of weights as tensors by name. Nothing in them is run: safetensors, or `weights_only` pickles."""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from scalesearch.errors import InputError
from scalesearch.files import unpacked
from scalesearch.hub import hub_file
from scalesearch.machine import check_room

FORMATS = "a .safetensors, .pth, .pt, .bin, .ckpt or Darknet .weights file, or hf_hub:OWNER/NAME"
HUB = "hf_hub:"
SUFFIXES = {
    ".safetensors": "safetensors",
    ".weights": "darknet",
    **dict.fromkeys((".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar", ".th"), "pickle"),
}
OTHERS = {
    b"version https://git-lfs": "is a pointer of Git LFS and not the file itself: git lfs pull fetches it",
    b"<!DOCTYPE": "is a web page, as a download that failed leaves",
    b"<html": "is a web page, as a download that failed leaves",
    b"\x89HDF": f"is HDF5, as Keras writes it; weights are {FORMATS}",
}
NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "params", "weights")
NO_WEIGHTS = ("optim", "scheduler", "lr_sched", "scaler", "amp", "callbacks", "loops", "rng", "loss", "criterion")
AVERAGED = re.compile(r"(^|_)(ema|averaged|swa|shadow)(_|$)")
DEEPEST = 4  # nests inside one another


class Tensors(NamedTuple):
    """Tensors by name, and where they lay in their file: `state_dict_ema`; beside them, averaged or not, others may
    have lain."""

    by_name: dict[str, torch.Tensor]
    taken: str = ""
    left: str = ""


def read(source: str | Path, raw: bool = False) -> Tensors:
    """The tensors in a file, or in a model of the Hugging Face Hub (`hf_hub:timm/resnet50.a1_in1k`), by name; of what
    training scripts wrap around them, those averaged over the training (EMA) where there are any, or the others with
    `raw`.

    What a file is, its content tells. Raises `InputError` for one that isn't there, is damaged or of another kind,
    holds several networks, or a whole model, which is code.
    """
    path = local(source)
    if kind_of(path) == "safetensors":
        return _chosen(_safetensors(path), path, raw)
    return _chosen(_pickled(path), path, raw)


def local(source: str | Path) -> Path:
    """The file itself, fetched from the Hub if it is there. Raises `InputError` where there is none."""
    path = _from_hub(str(source)) if str(source).startswith(HUB) else Path(source)
    if not path.is_file():
        raise InputError(f"is no file; weights are {FORMATS}", str(source))
    return path


def kind_of(path: Path) -> str:
    """ "safetensors", "pickle" (torch's) or "darknet", by the file's first bytes; by its suffix where they are none's.

    Raises `InputError` for a file of another kind.
    """
    try:
        with open(path, "rb") as file:
            head, size = file.read(64), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04")):
        return "pickle"
    versions = [int.from_bytes(head[i : i + 4], "little") for i in (0, 4, 8)]
    if size > 24 and versions[0] <= 1 and versions[1] <= 10 and versions[2] <= 10 and any(versions):
        return "darknet"
    other = next((said for begin, said in OTHERS.items() if head.lstrip().startswith(begin)), "")
    if other or path.suffix.lower() not in SUFFIXES:
        raise InputError(other or f"is no file of weights; takes {FORMATS}", str(path))
    return SUFFIXES[path.suffix.lower()]


def told(path: Path) -> dict[str, str]:
    """What our own .safetensors files say of themselves: `arch`, `norm_eps`, how images are `preparation` or
    `prepared_as` whose, what `classes` are called."""
    if kind_of(path) != "safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise InputError(f"is damaged or no safetensors file: {error}", str(path)) from None


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"is damaged or no safetensors file: {error}", str(path)) from None


class Inert:
    """What stands for an object of any class but tensors and plain data: it holds nothing and runs nothing."""

    def __init__(self, *args: object, **others: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def _pickled(path: Path) -> object:
    try:
        check_room(unpacked(path), str(path))
        zipped = zipfile.is_zipfile(path)
        if zipped and (damaged := zipfile.ZipFile(path).testzip()):
            raise ValueError(f"{damaged} fails its checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
            stand_ins = [(type("Inert", (Inert,), {}), name) for name in foreign]
            with torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
                return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise _runs_code(path, str(error)) from None
        raise InputError(f"is damaged or no file of weights: {str(error).splitlines()[0]}", str(path)) from None
    except Exception as error:
        raise InputError(
            f"is damaged or no file of weights ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''})",
            str(path),
        ) from None


def _runs_code(path: Path, names: str) -> InputError:
    """A whole model, and the line that takes its tensors out where it can be trusted."""
    to = path.with_name(path.stem + "_tensors.pth")
    line = (
        f"from ultralytics import YOLO; torch.save(YOLO({str(path)!r}).model.state_dict(), {str(to)!r})"
        if "ultralytics" in names
        else f"m = torch.load({str(path)!r}, weights_only=False); m = m['model'] if isinstance(m, dict) else m; "
        f"torch.save(m.state_dict(), {str(to)!r})"
    )
    return InputError(
        "holds a whole model, and to open one runs code from the file; where you trust it, take its "
        f'tensors out: python -c "import torch; {line}"',
        str(path),
    )


def _chosen(loaded: object, path: Path, raw: bool) -> Tensors:
    """One state dict out of what training scripts wrap around it."""
    found = dict(_state_dicts(loaded))
    if not found:
        if isinstance(loaded, Inert) or _whole_model(loaded):
            raise _runs_code(path, _classes_in(path))
        raise InputError("holds no tensors by name", str(path))
    averaged = {where: tensors for where, tensors in found.items() if any(map(AVERAGED.search, where))}
    plain = {where: tensors for where, tensors in found.items() if where not in averaged}
    if raw and averaged and not plain:
        raise InputError(
            f"holds averaged weights alone, {_text(next(iter(averaged)))}; there are no others to take", str(path)
        )
    among = averaged if averaged and not raw else plain
    best = min(map(_rank, among))
    first, *others = [where for where in among if _rank(where) == best]
    if others:
        there = ", ".join(map(_text, (first, *others)))
        raise InputError(f"holds several networks: {there}; save one alone", str(path))
    rest = plain if among is averaged else averaged
    return Tensors(among[first], _text(first) if rest else "", _text(min(rest, key=_rank)) if rest else "")


def _rank(where: tuple[str, ...]) -> int:
    return min((NESTS.index(part) for part in where if part in NESTS), default=len(NESTS) if where else 0)


def _text(where: tuple[str, ...]) -> str:
    return ".".join(where) or "the others"


def _state_dicts(
    value: object, where: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, torch.Tensor]]]:
    """The mappings of names to tensors inside `value`, each with where it lies; an average that lies among the others
    by its names' first part is one of its own."""
    if not isinstance(value, Mapping) or len(where) > DEEPEST:
        return
    inner = [
        found
        for key, nested in value.items()
        if isinstance(key, str) and not key.lower().startswith(NO_WEIGHTS)
        for found in _state_dicts(nested, (*where, key))
    ]
    tensors = {key: held for key, held in value.items() if isinstance(key, str) and isinstance(held, torch.Tensor)}
    if inner:
        yield from inner
    elif tensors:
        heads = {key.partition(".")[0] for key in tensors if "." in key}
        for head in sorted(head for head in heads if len(heads) > 1 and AVERAGED.search(head)):
            names = [key for key in tensors if key.startswith(f"{head}.")]
            yield (*where, head), {name.removeprefix(f"{head}."): tensors.pop(name) for name in names}
        yield where, tensors


def _whole_model(loaded: object) -> bool:
    return isinstance(loaded, Mapping) and any(isinstance(value, Inert) for value in loaded.values())


def _classes_in(path: Path) -> str:
    return " ".join(torch.serialization.get_unsafe_globals_in_checkpoint(path)) if zipfile.is_zipfile(path) else ""


def _from_hub(source: str) -> Path:
    repository, _, name = source.removeprefix(HUB).partition(":")
    return hub_file(repository, name or "model.safetensors", source)
