"""A file's tensors into a network: all of them, or none and an error that says which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scalesearch.arch import Arch
from scalesearch.errors import InputError, nearest, numbered
from scalesearch.network import Network, build
from scalesearch.trials import task_of
from scalesearch.weights.darknet import read_darknet
from scalesearch.weights.described import TAKEN, arch_said, timm_config, trained_as
from scalesearch.weights.files import Tensors, kind_of, local, read, told
from scalesearch.weights.peers import known_to, layer_names, tensor_name, trained_with
from scalesearch.weights.timm import changed_by, variant
from scalesearch.weights.torchvision import OLD_NAMES
from scalesearch.zoo import backbone_of, convolutions, in_common

COUNTER = "num_batches_tracked"  # of no consequence for what a network computes; old files lack it
LEFTOVERS = (COUNTER, "n_averaged", "total_ops", "total_params")  # of averaging, and of tools that count


class Unlike(InputError):
    """Weights that are not the network's, by so many faults."""

    def __init__(self, message: str, place: str, faults: int):
        super().__init__(message, place)
        self.faults = faults


@dataclass
class _Source:
    """What is loaded: a file, or tensors by their names."""

    place: str
    file: Path | None
    tensors: Tensors | None  # none of Darknet's files, whose values the network's layers give their names
    taken: str = ""  # which of a file's several

    @classmethod
    def of(cls, source: str | Path | Mapping[str, torch.Tensor], raw: bool) -> _Source:
        if isinstance(source, Mapping):
            return cls("state dict", None, Tensors(dict(source)))
        file = local(source)
        if kind_of(file) == "darknet":
            return cls(str(source), file, None)
        found = read(file, raw)
        other = f"{found.taken} and not {found.left}" + ("" if raw else ", which --raw takes")
        return cls(str(source), file, found, other if found.left else "")


def load_weights(
    model: Network, source: str | Path | Mapping[str, torch.Tensor], *, replace_head: bool = False, raw: bool = False
) -> str:
    """Load `source` into `model` (from `build`) and say whose weights they are: "scalesearch", "torchvision", "timm", …

    `source` is a file of weights (safetensors, torch's, Darknet's; its content tells), `hf_hub:OWNER/NAME`, or a state
    dict. Where weights averaged over the training (EMA) lie beside others these are taken, with `raw` the others;
    `model.taken` says so. With `replace_head`, for who trains on, what has another shape in the head keeps its fresh
    weights (`model.fresh`): the file has another number of classes; our own file may be of a network with other
    strides; a Darknet file may end after any layer; and a detector takes its first stages from the weights of the
    classifier that it stands on (`backbone_of`, or the network that our own file is of). The network takes the norms'
    eps and the padding that the weights were trained with, as their file, timm's `config.json` beside it, or the
    library says, and `model.arch` says so.

    Raises `InputError` for a damaged file, for every missing, extra or misshapen tensor, named with its counterpart,
    for values that are no finite numbers, and for weights of a network that computes something else; then nothing has
    been loaded.
    """
    found = _Source.of(source, raw)
    try:
        _load(model, found, replace_head)
    except InputError as error:
        classifier = _backbone(model.arch, found) if replace_head else None
        if classifier is None:
            raise
        try:
            _load_backbone(model, classifier, found)
        except InputError as other:

            def faults(fault):
                return fault.faults if isinstance(fault, Unlike) else 1

            raise min(error, other, key=faults) from None
    return model.library


def _load(model: Network, source: _Source, replace_head: bool) -> None:
    arch: Arch = model.arch
    place, file, tensors, own, becomes = source.place, source.file, source.tensors, model.state_dict(), arch
    said: Mapping[str, str] = {}
    taken, left = source.taken, frozenset[str]()
    if tensors is None:
        assert file is not None
        library, given = "darknet", read_darknet(file, model, convolutions(arch), part=replace_head)
        names = {key: key for key in own}
        if replace_head and (left := frozenset(key for key in own.keys() - given.keys() if not key.endswith(COUNTER))):

            def layers(keys):
                return sum(own[key].ndim > 1 for key in keys)

            taken = f"the first {layers(given)} of {numbered(layers(own), 'layer')}, where the file ends"
            given |= {key: own[key] for key in left}
    else:
        config = timm_config(file) if file is not None else None
        library, given, names = _whose(arch, own, tensors.by_name, place, "timm" if config else "")
        said = told(file) if library == "scalesearch" and file is not None else {}
        becomes = _trained(arch, library, said, config, place, same=not replace_head)
    chosen, fresh = _matched(model, given, names, replace_head, place)
    _become(model, becomes)
    model.load_state_dict(chosen)
    model.library, model.told, model.weights_of = said.get("prepared_as", library), dict(said), becomes
    model.fresh, model.taken = fresh | left, taken


def _become(model: Network, arch: Arch) -> None:
    """`model` with the padding and the norms' eps of `arch`, which is its own but for those."""
    if arch.padding != model.arch.padding:
        model.__dict__.update(build(arch).to(next(model.parameters()).device).train(model.training).__dict__)
    model.arch = arch
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)):
            module.eps = arch.norm_eps


def _backbone(arch: Arch, source: _Source) -> Arch | None:
    """The classifier whose weights a detector can start from: the zoo's, or the one that our own file is of."""
    if not task_of(arch).on_backbone:
        return None
    classifier = backbone_of(arch, arch_said(told(source.file), source.place) if source.file else None)
    return classifier and classifier.with_(channels=arch.channels, padding=arch.padding)


def _load_backbone(model: Network, classifier: Arch, source: _Source) -> None:
    whole = build(classifier)
    _load(whole, source, replace_head=True)
    stages = in_common(classifier, model.arch)
    of_both = {
        key
        for key in model.state_dict()
        if key.startswith("stem.") or (key.startswith("stages.") and int(key.split(".")[1]) < stages)
    }
    _become(model, model.arch.with_(**{key: getattr(whole.arch, key) for key in TAKEN}))
    model.load_state_dict({key: value for key, value in whole.state_dict().items() if key in of_both}, strict=False)
    model.library, model.weights_of = whole.library, whole.arch
    model.fresh = frozenset(model.state_dict().keys() - of_both)
    taken = f"the backbone, {numbered(stages, 'stage')} of {classifier.name}"
    model.taken = "; ".join(filter(None, (taken, whole.taken)))


def _trained(
    arch: Arch, library: str, said: Mapping[str, str], config: Mapping[str, Any] | None, place: str, same: bool
) -> Arch:
    """`arch` as the weights were trained with it. Raises `InputError` where they are another's."""
    if library == "scalesearch":
        return trained_as(arch, said, place, same)
    if library == "timm" and config is not None and (architecture := config.get("architecture")):
        changes = variant(arch.name, str(architecture))
        if changes is None:
            raise InputError(
                f"is of timm's {architecture}, as the config.json beside it says, another network than {arch.name}",
                place,
            )
        if otherwise := changed_by(config):
            raise InputError(
                f"is of timm's {architecture} with {otherwise}, as the config.json beside it says, which "
                f"{arch.name} here has not",
                place,
            )
        return trained_with(arch.with_(padding="symmetric"), library).with_(**changes)
    return trained_with(arch, library)


def _variants(given: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors by their names, by those without what is left over, and without what all names begin with, as
    wrappers of networks leave it (`module.`, `_orig_mod.`, `model.`)."""
    names = dict(given)
    while True:
        for pattern, today in (("", ""), *OLD_NAMES):
            renamed = {re.sub(pattern, today, name) if pattern else name: tensor for name, tensor in names.items()}
            if not pattern or renamed.keys() != names.keys():
                yield renamed
        inner = {name: tensor for name, tensor in names.items() if not name.endswith(LEFTOVERS) or "." in name}
        heads = {name.partition(".")[0] for name in inner}
        if len(heads) != 1 or not all("." in name for name in inner):
            return
        names = {name.partition(".")[2]: tensor for name, tensor in inner.items()}


def _whose(
    arch: Arch, own: Mapping, given: Mapping[str, torch.Tensor], place: str, likely: str
) -> tuple[str, dict[str, torch.Tensor], dict[str, str]]:
    """The library whose names most of the tensors have (of several the `likely` one), the tensors by them, our names in
    it."""
    candidates = {"scalesearch": {key: key for key in own}}
    for library in known_to(arch):
        layers = layer_names(arch, library)
        candidates[library] = {key: tensor_name(key, layers) for key in own}
    shared = {
        (library, i): len(tensors.keys() & set(names.values()))
        for i, tensors in enumerate(_variants(given))
        for library, names in candidates.items()
    }
    library, best = max(shared, key=lambda found: (shared[found], found[0] == likely))
    if shared[library, best] < len(own) // 4:
        first = next(iter(given), "none")
        raise Unlike(
            f"is not of {arch.name}: it has names such as {first}; {arch.name} goes by the names of "
            f"{', '.join(candidates)}",
            place,
            len(own),
        )
    return library, list(_variants(given))[best], candidates[library]


def _matched(
    model: Network, given: Mapping[str, torch.Tensor], names: Mapping[str, str], replace_head: bool, place: str
) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
    """The network's tensors, and which of them are its own fresh ones. Raises `Unlike`."""
    own = model.state_dict()
    faults: list[str] = []
    fresh: set[str] = set()
    chosen: dict[str, torch.Tensor] = {}
    places = set(names.values())
    extra = [name for name in given if name not in places and not name.endswith(LEFTOVERS)]
    for key, name in names.items():
        ours = own[key]
        if name not in given:
            if name.endswith(COUNTER):
                chosen[key] = ours
                continue
            faults.append(f"misses {name}" + (f" (for {key})" if name != key else "") + nearest(name, extra))
        elif not _is_plain(given[name]):
            faults.append(f"{name} is no dense tensor of real numbers")
        elif (wrong := _no_weight(name, given[name])) is not None:
            faults.append(wrong)
        elif (theirs := _shaped(given[name], ours)) is not None:
            chosen[key] = theirs.to(ours.dtype)
        elif replace_head and key.startswith(("head.", "auxiliary.")):
            chosen[key] = ours
            fresh.add(key)
        elif key.startswith(("head.", "auxiliary.")) and len(ours) == model.arch.classes:
            faults.append(
                f"{name} has {numbered(len(given[name]), 'class')}, {key} has {len(ours)}: build the "
                "network with as many classes, or ask for the head to be replaced"
            )
        else:
            faults.append(f"{name} has shape {_text(given[name])}, {key} needs {_text(ours)}")
    faults += [f"has {name}, which {model.arch.name} has no place for" + _hint(name) for name in extra]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise Unlike(faults[0] + more, place, len(faults))
    return chosen, frozenset(fresh)


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_complex()
        and not value.is_quantized
        and value.device.type != "meta"
    )


def _no_weight(name: str, value: torch.Tensor) -> str | None:
    """What is wrong with a tensor's values: NaN, infinite ones, a variance below 0."""
    bad = int((~value.isfinite()).sum()) if value.is_floating_point() else 0
    if bad:
        return f"{name} has NaN or infinite values, {bad:,} of {value.numel():,}"
    return f"{name} has variances below 0" if name.endswith("running_var") and bool((value < 0).any()) else None


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
