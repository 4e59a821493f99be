"""Files of weights as tensors by name. Nothing in them is run: safetensors, or `weights_only` pickles."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from scalesearch.errors import InputError
from scalesearch.hub import hub_file

FORMATS = ".safetensors, .pth, .pt, .bin, Darknet's .weights, or hf_hub:OWNER/NAME"
HUB = "hf_hub:"
NESTS = ("state_dict", "model_state_dict", "model", "module")  # keys that training scripts put a state dict under


def read(source: str | Path) -> dict[str, torch.Tensor]:
    """The tensors in a file, or in a model of the Hugging Face Hub (`hf_hub:timm/resnet50.a1_in1k`), by name.

    Raises `InputError` for a file that isn't there, is damaged or of another kind, or holds anything but tensors.
    """
    path = local(source)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in (".pth", ".pt", ".bin", ".pkl", ".ckpt"):
        return _pickled(path)
    raise InputError(f"takes {FORMATS}", str(source))


def local(source: str | Path) -> Path:
    """The file itself, fetched from the Hub if it is there. Raises `InputError` where there is none."""
    path = _from_hub(str(source)) if str(source).startswith(HUB) else Path(source)
    if not path.is_file():
        raise InputError(f"is no file; weights are {FORMATS}", str(source))
    return path


def told(path: Path) -> dict[str, str]:
    """What our own .safetensors files say of themselves: `norm_eps`, and `prepared_as` whose images are prepared."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"is damaged or no safetensors file: {error}", str(path)) from None


def _pickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        if zipfile.is_zipfile(path) and (damaged := zipfile.ZipFile(path).testzip()):
            raise ValueError(f"{damaged} fails its checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise InputError("holds more than tensors, which would mean running code from it; save the model's "
                             "state_dict() alone, best as .safetensors", str(path)) from None
        raise InputError(f"is damaged or no file of weights: {str(error).splitlines()[0]}", str(path)) from None
    except Exception as error:
        raise InputError(f"is damaged or no file of weights ({type(error).__name__}: "
                         f"{str(error).splitlines()[0] if str(error) else ''})",
                         str(path)) from None
    return _unwrapped(loaded, path)


def _unwrapped(loaded: object, path: Path) -> dict[str, torch.Tensor]:
    """The state dict itself, out of what training scripts wrap around it."""
    if isinstance(loaded, Mapping):
        for nest in NESTS:
            if isinstance(loaded.get(nest), Mapping):
                return _unwrapped(loaded[nest], path)
        tensors = {str(key): value for key, value in loaded.items() if isinstance(value, torch.Tensor)}
        if tensors:
            wrapped = all(key.startswith("module.") for key in tensors)  # DataParallel's
            return {key.removeprefix("module.") if wrapped else key: value for key, value in tensors.items()}
    raise InputError("holds no tensors by name", str(path))


def _from_hub(source: str) -> Path:
    repository, _, name = source.removeprefix(HUB).partition(":")
    return hub_file(repository, name or "model.safetensors", source)


def read_darknet(path: Path, model: nn.Module, blocks: Iterator[str]) -> dict[str, torch.Tensor]:
    """A Darknet .weights file by our names: per convolution its norm's bias, weight, mean and variance (or its bias),
    then its weight.

    The header is three int32 versions and a count of images, 64 bits from version 0.2 on.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    if len(data) <= 24:
        raise InputError("is too short for a Darknet file", str(path))
    major, minor, _ = torch.frombuffer(bytearray(data[:12]), dtype=torch.int32).tolist()
    start = 20 if major * 10 + minor >= 2 and max(major, minor) < 1000 else 16
    if (len(data) - start) % 4:
        raise InputError("is damaged: it is no whole number of 32-bit values", str(path))
    values = torch.frombuffer(bytearray(data[start:]), dtype=torch.float32)
    own, found, at = model.state_dict(), {}, 0
    for key in [key for block in blocks for key in _darknet_order(block, own)]:
        count = own[key].numel()
        if at + count > len(values):
            raise InputError(f"is cut short: it has {len(values):,} values and ends inside {key}", str(path))
        found[key] = values[at : at + count].view(own[key].shape).clone()
        at += count
    if at != len(values):
        raise InputError(f"has {len(values):,} values where the network has {at:,}; it belongs to another network",
                         str(path))
    return found


def _darknet_order(block: str, own: Mapping[str, torch.Tensor]) -> Iterator[str]:
    for layer in dict.fromkeys(key.rpartition(".")[0] for key in own if key.startswith(block + ".")):
        if f"{layer}.running_mean" in own:
            continue
        norm = layer.removesuffix("conv") + "norm"
        if f"{norm}.running_mean" in own:
            yield from (f"{norm}.{kind}" for kind in ("bias", "weight", "running_mean", "running_var"))
        elif f"{layer}.bias" in own:
            yield f"{layer}.bias"
        yield f"{layer}.weight"
