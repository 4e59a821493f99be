"""Reads weights files as tensors by name, without running code: safetensors, or `weights_only` pickles."""

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
from scalesearch.files import unpacked_size
from scalesearch.hub import hub_file
from scalesearch.machine import check_memory
from scalesearch.weights.naming import TENSOR_NAMES

FORMATS = "a .safetensors, .pth, .pt, .bin, .ckpt or Darknet .weights file, or hf_hub:OWNER/NAME"
HUB_PREFIX = "hf_hub:"
SUFFIXES = {
    ".safetensors": "safetensors",
    ".weights": "darknet",
    **dict.fromkeys((".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar", ".th"), "pickle"),
}
OTHER_FORMATS = {
    b"version https://git-lfs": "is a pointer of Git LFS and not the file itself: git lfs pull fetches it",
    b"<!DOCTYPE": "is a web page, as a download that failed leaves",
    b"<html": "is a web page, as a download that failed leaves",
    b"\x89HDF": f"is HDF5, as Keras writes it; weights are {FORMATS}",
}
WRAPPER_KEYS: list[str] = TENSOR_NAMES["checkpoints"]["wrapper_keys"]
OTHER_STATE_PREFIXES: tuple[str, ...] = tuple(TENSOR_NAMES["checkpoints"]["other_state_prefixes"])
AVERAGED_KEY = re.compile(r"(^|_)(ema|averaged|swa|shadow)(_|$)")
MAX_DEPTH = 4  # nests inside one another


class Tensors(NamedTuple):
    """Tensors by name, and where in a checkpoint they were found.

    Attributes:
        by_name: The tensors.
        loaded_part: The checkpoint's key, such as `state_dict_ema`; "" unless there was a choice.
        skipped_part: The key of the others (averaged or not) that were left out; "" if there are none.
    """

    by_name: dict[str, torch.Tensor]
    loaded_part: str = ""
    skipped_part: str = ""


def read(source: str | Path, raw: bool = False) -> Tensors:
    """Reads the tensors of a file or of a model on the Hugging Face Hub (`hf_hub:timm/resnet50.a1_in1k`).

    Wrappers that training scripts put around a state dict are removed. Weights averaged over the training (EMA)
    are preferred; with `raw`, the others. The file's content decides its format.

    Raises:
        InputError: If the file does not exist, is damaged or of another kind, holds several networks, or a
            whole pickled model, which would run code.
    """
    path = local_file(source)
    loaded = _read_safetensors(path) if file_format(path) == "safetensors" else _read_pickle(path)
    return _choose_state_dict(loaded, path, raw)


def local_file(source: str | Path) -> Path:
    """Returns the path of `source`, downloaded first if it is on the Hub.

    Raises:
        InputError: If there is no such file.
    """
    path = _from_hub(str(source)) if str(source).startswith(HUB_PREFIX) else Path(source)
    if not path.is_file():
        raise InputError(f"is no file; weights are {FORMATS}", str(source))
    return path


def file_format(path: Path) -> str:
    """Returns "safetensors", "pickle" (torch's) or "darknet", by the file's first bytes or else by its suffix.

    Raises:
        InputError: If the file is of another kind.
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
    problem = next((message for prefix, message in OTHER_FORMATS.items() if head.lstrip().startswith(prefix)), "")
    if problem or path.suffix.lower() not in SUFFIXES:
        raise InputError(problem or f"is no file of weights; takes {FORMATS}", str(path))
    return SUFFIXES[path.suffix.lower()]


def file_metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of one of our .safetensors files; {} for other formats.

    Keys, each optional: `arch` (JSON), `norm_eps`, `preparation` of images (JSON), `prepared_as` (the library
    whose preparation applies) and the names of the `classes` (JSON).
    """
    if file_format(path) != "safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise InputError(f"is damaged or no safetensors file: {error}", str(path)) from None


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"is damaged or no safetensors file: {error}", str(path)) from None


class Inert:
    """Stands in for an object of any class other than tensors and plain data: it holds nothing and runs nothing."""

    def __init__(self, *args: object, **kwargs: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def _read_pickle(path: Path) -> object:
    try:
        check_memory(unpacked_size(path), str(path))
        zipped = zipfile.is_zipfile(path)
        if zipped and (damaged_member := zipfile.ZipFile(path).testzip()):
            raise ValueError(f"{damaged_member} fails its checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unknown_classes = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
            stand_ins = [(type("Inert", (Inert,), {}), name) for name in unknown_classes]
            with torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
                return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise _whole_model_error(path, str(error)) from None
        raise InputError(f"is damaged or no file of weights: {str(error).splitlines()[0]}", str(path)) from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise InputError(f"is damaged or no file of weights ({type(error).__name__}: {reason})", str(path)) from None


def _whole_model_error(path: Path, names: str) -> InputError:
    """Returns the error for a pickled model, with the command that extracts its tensors if the file is trusted."""
    target = path.with_name(path.stem + "_tensors.pth")
    script = (
        f"from ultralytics import YOLO; torch.save(YOLO({str(path)!r}).model.state_dict(), {str(target)!r})"
        if "ultralytics" in names
        else f"m = torch.load({str(path)!r}, weights_only=False); m = m['model'] if isinstance(m, dict) else m; "
        f"torch.save(m.state_dict(), {str(target)!r})"
    )
    return InputError(
        "holds a whole model, and to open one runs code from the file; where you trust it, take its "
        f'tensors out: python -c "import torch; {script}"',
        str(path),
    )


def _choose_state_dict(loaded: object, path: Path, raw: bool) -> Tensors:
    """Returns one state dict out of what training scripts wrap around it."""
    state_dicts = dict(_state_dicts(loaded))
    if not state_dicts:
        values = loaded.values() if isinstance(loaded, Mapping) else [loaded]
        if any(isinstance(value, Inert) for value in values):
            raise _whole_model_error(path, _class_names(path))
        raise InputError("holds no tensors by name", str(path))
    averaged = {
        key_path: tensors for key_path, tensors in state_dicts.items() if any(map(AVERAGED_KEY.search, key_path))
    }
    unaveraged = {key_path: tensors for key_path, tensors in state_dicts.items() if key_path not in averaged}
    if raw and averaged and not unaveraged:
        raise InputError(
            f"holds averaged weights alone, {_format_path(next(iter(averaged)))}; there are no others to take",
            str(path),
        )
    candidates = averaged if averaged and not raw else unaveraged
    best = min(map(_rank, candidates))
    first, *ties = [key_path for key_path in candidates if _rank(key_path) == best]
    if ties:
        listed = ", ".join(map(_format_path, (first, *ties)))
        raise InputError(f"holds several networks: {listed}; save one alone", str(path))
    remaining = unaveraged if candidates is averaged else averaged
    return Tensors(
        candidates[first],
        _format_path(first) if remaining else "",
        _format_path(min(remaining, key=_rank)) if remaining else "",
    )


def _rank(key_path: tuple[str, ...]) -> int:
    return min(
        (WRAPPER_KEYS.index(part) for part in key_path if part in WRAPPER_KEYS),
        default=len(WRAPPER_KEYS) if key_path else 0,
    )


def _format_path(key_path: tuple[str, ...]) -> str:
    return ".".join(key_path) or "the others"


def _state_dicts(
    value: object, key_path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, torch.Tensor]]]:
    """Yields the state dicts inside `value`, each with the keys that lead to it.

    An averaged copy that shares a mapping with the others, under a prefix of its own, counts as a state dict of
    its own.
    """
    if not isinstance(value, Mapping) or len(key_path) > MAX_DEPTH:
        return
    inner = [
        entry
        for key, nested in value.items()
        if isinstance(key, str) and not key.lower().startswith(OTHER_STATE_PREFIXES)
        for entry in _state_dicts(nested, (*key_path, key))
    ]
    tensors = {
        key: tensor for key, tensor in value.items() if isinstance(key, str) and isinstance(tensor, torch.Tensor)
    }
    if inner:
        yield from inner
    elif tensors:
        prefixes = {key.partition(".")[0] for key in tensors if "." in key}
        for prefix in sorted(prefix for prefix in prefixes if len(prefixes) > 1 and AVERAGED_KEY.search(prefix)):
            names = [key for key in tensors if key.startswith(f"{prefix}.")]
            yield (*key_path, prefix), {name.removeprefix(f"{prefix}."): tensors.pop(name) for name in names}
        yield key_path, tensors


def _class_names(path: Path) -> str:
    return " ".join(torch.serialization.get_unsafe_globals_in_checkpoint(path)) if zipfile.is_zipfile(path) else ""


def _from_hub(source: str) -> Path:
    repository, _, name = source.removeprefix(HUB_PREFIX).partition(":")
    return hub_file(repository, name or "model.safetensors", source)
