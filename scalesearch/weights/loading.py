"""A file's tensors into a network: all of them, or none and an error that says which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from scalesearch.arch import Arch
from scalesearch.errors import InputError, nearest
from scalesearch.network import Network
from scalesearch.weights.files import local, read, read_darknet, told
from scalesearch.weights.peers import known_to, layer_names, tensor_name, trained_with
from scalesearch.zoo import convolutions

COUNTER = "num_batches_tracked"  # of no consequence for what a network computes; old files lack it


def load_weights(model: Network, source: str | Path | Mapping[str, torch.Tensor], *, replace_head: bool = False) -> str:
    """Load `source` into `model` (from `build`) and say whose weights they are: "scalesearch", "torchvision", "timm", …

    `source` is a .safetensors or .pth file, a Darknet .weights file, `hf_hub:OWNER/NAME`, or a state dict. With
    `replace_head` what has another shape in the head keeps its fresh weights: the file has another number of classes.
    The norms take the eps of the library's own network, and `model.arch` says so.

    Raises `InputError` for a damaged file and for every missing, extra or misshapen tensor, named with its counterpart;
    then nothing has been loaded.
    """
    arch: Arch = model.arch
    said: Mapping[str, str] = {}
    place = "state dict" if isinstance(source, Mapping) else str(source)
    if not isinstance(source, Mapping) and Path(source).suffix == ".weights":
        library, given = "darknet", read_darknet(Path(source), model, convolutions(arch))
        names = {key: key for key in model.state_dict()}
    else:
        given = dict(source) if isinstance(source, Mapping) else read(source)
        library, names = _whose(arch, model.state_dict(), given, place)
        said = told(local(source)) if library == "scalesearch" and not isinstance(source, Mapping) else {}
    chosen = _matched(model, given, names, replace_head, place)
    model.load_state_dict(chosen)
    model.arch = arch.with_(norm_eps=float(said["norm_eps"])) if "norm_eps" in said else trained_with(arch, library)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)):
            module.eps = model.arch.norm_eps
    model.library, model.told = said.get("prepared_as", library), dict(said)
    return model.library


def _whose(arch: Arch, own: Mapping, given: Mapping, place: str) -> tuple[str, dict[str, str]]:
    """The library whose names most of the tensors have, and our tensors' names in it."""
    candidates = {"scalesearch": {key: key for key in own}}
    for library in known_to(arch):
        layers = layer_names(arch, library)
        candidates[library] = {key: tensor_name(key, layers) for key in own}
    shared = {library: len(given.keys() & set(names.values())) for library, names in candidates.items()}
    library = max(shared, key=shared.__getitem__)
    if shared[library] < len(own) // 4:
        first = next(iter(given), "none")
        raise InputError(f"is not of {arch.name}: it has names such as {first}; {arch.name} goes by the names of "
                         f"{', '.join(candidates)}", place)
    return library, candidates[library]


def _matched(model: Network, given: Mapping[str, torch.Tensor], names: Mapping[str, str], replace_head: bool,
             place: str) -> dict[str, torch.Tensor]:
    own = model.state_dict()
    faults: list[str] = []
    chosen: dict[str, torch.Tensor] = {}
    extra = [name for name in given if name not in set(names.values())]
    for key, name in names.items():
        ours = own[key]
        if name not in given:
            if name.endswith(COUNTER):
                chosen[key] = ours
                continue
            faults.append(f"misses {name}" + (f" (for {key})" if name != key else "") + nearest(name, extra))
        elif not _is_plain(given[name]):
            faults.append(f"{name} is no dense tensor of real numbers")
        elif (theirs := _shaped(given[name], ours)) is not None:
            chosen[key] = theirs.to(ours.dtype)
        elif replace_head and key.startswith(("head.", "auxiliary.")):
            chosen[key] = ours
        elif key.startswith(("head.", "auxiliary.")) and len(ours) == model.arch.classes:
            faults.append(f"{name} has {len(given[name])} classes, {key} has {len(ours)}: build the network with as "
                          "many classes, or ask for the head to be replaced")
        else:
            faults.append(f"{name} has shape {_text(given[name])}, {key} needs {_text(ours)}")
    faults += [f"has {name}, which {model.arch.name} has no place for" + _hint(name) for name in extra]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(faults[0] + more, place)
    return chosen


def _is_plain(value: object) -> bool:
    return (isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_complex()
            and not value.is_quantized
            and value.device.type != "meta")


def _hint(name: str) -> str:
    """Auxiliary heads of GoogLeNet and Inception v3 have networks of their own."""
    auxiliary = name.startswith(("aux1.", "aux2.", "AuxLogits.", "auxiliary."))
    return "; the network whose name ends in _aux has" if auxiliary else ""


def _shaped(theirs: torch.Tensor, ours: torch.Tensor) -> torch.Tensor | None:
    """`theirs` in our shape where the two differ in dimensions of one alone, or as linear and convolution over a whole
    map do."""
    if theirs.shape == ours.shape:
        return theirs
    same_rows = theirs.ndim > 1 and ours.ndim > 1 and theirs.flatten(1).shape == ours.flatten(1).shape
    squeezed = [n for n in theirs.shape if n != 1] == [n for n in ours.shape if n != 1]
    return theirs.reshape(ours.shape) if same_rows or squeezed else None


def _text(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"
