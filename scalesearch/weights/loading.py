"""Loads a file's tensors into a network: all of them, or none and an error that names the first fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from scalesearch.arch import Arch
from scalesearch.errors import InputError, format_count, suggestion
from scalesearch.network import Network, build
from scalesearch.plain_data import PlainMapping
from scalesearch.trials import task_of
from scalesearch.weights.darknet import read_darknet
from scalesearch.weights.files import Tensors, file_format, file_metadata, local_file, read
from scalesearch.weights.metadata import SETTINGS, arch_from_metadata, timm_config, with_file_settings
from scalesearch.weights.peers import libraries_with, peer_layer_names, peer_tensor_name, with_library_eps
from scalesearch.weights.timm import unsupported_arguments, variant_settings
from scalesearch.weights.torchvision import OLD_NAMES
from scalesearch.zoo import backbone_of, blocks_in_file_order, count_shared_stages

BATCH_COUNTER = "num_batches_tracked"  # does not affect what a network computes; old files lack it
# Left by averaging, and by tools that count operations.
IGNORED_SUFFIXES = (BATCH_COUNTER, "n_averaged", "total_ops", "total_params")


class _MismatchError(InputError):
    """Raised for weights that do not fit the network.

    Attributes:
        count: The number of tensors that don't.
    """

    def __init__(self, message: str, place: str, count: int):
        super().__init__(message, place)
        self.count = count


@dataclass
class _Source:
    """What is loaded: a file, or tensors by name."""

    place: str
    file: Path | None
    tensors: Tensors | None  # None for Darknet's files, whose values get their names from the network's layers
    loaded_part: str = ""  # which part of the file, where it has several

    @classmethod
    def of(cls, source: str | Path | Mapping[str, torch.Tensor], raw: bool) -> _Source:
        if isinstance(source, Mapping):
            return cls("state dict", None, Tensors(dict(source)))
        file = local_file(source)
        if file_format(file) == "darknet":
            return cls(str(source), file, None)
        contents = read(file, raw)
        note = f"{contents.loaded_part} and not {contents.skipped_part}" + ("" if raw else ", which --raw takes")
        return cls(str(source), file, contents, note if contents.skipped_part else "")


def load_weights(
    model: Network, source: str | Path | Mapping[str, torch.Tensor], *, replace_head: bool = False, raw: bool = False
) -> str:
    """Loads weights into `model` and returns whose they are: "scalesearch", "torchvision", "timm", …

    The network takes over the norms' eps and the padding that the weights were trained with, as stated by their
    file, by timm's `config.json` beside it or by the library; `model.arch` is updated.

    Args:
        model: A network from `build`.
        source: A file (safetensors, torch's or Darknet's; its content decides), `hf_hub:OWNER/NAME`, or a state
            dict.
        replace_head: For training on. Tensors of the head that have another shape keep their fresh values
            (`model.fresh`); our own file may be of a network with other strides; a Darknet file may end after
            any layer; and a detector takes its first stages from the weights of its classifier (`backbone_of`,
            or the network that our own file is of).
        raw: Load the raw weights if the file also has weights averaged over the training (EMA), which are the
            default. `model.loaded_part` says which were loaded.

    Raises:
        InputError: If the file is damaged, a tensor is missing, extra or misshapen, values are not finite, or
            the weights are of a network that computes something else. Nothing has been loaded then.
    """
    opened = _Source.of(source, raw)
    try:
        _load(model, opened, replace_head)
    except InputError as error:
        classifier = _backbone_classifier(model.arch, opened) if replace_head else None
        if classifier is None:
            raise
        try:
            _load_backbone(model, classifier, opened)
        except InputError as backbone_error:
            raise min(error, backbone_error, key=lambda fault: getattr(fault, "count", 1)) from None
    return model.library


def _load(model: Network, source: _Source, replace_head: bool) -> None:
    arch: Arch = model.arch
    place, file, tensors, state, trained_arch = source.place, source.file, source.tensors, model.state_dict(), arch
    metadata: Mapping[str, str] = {}
    loaded_part, missing = source.loaded_part, frozenset[str]()
    if tensors is None:
        assert file is not None
        library, loaded = "darknet", read_darknet(file, model, blocks_in_file_order(arch), allow_partial=replace_head)
        names = {key: key for key in state}
        if replace_head and (
            missing := frozenset(key for key in state.keys() - loaded.keys() if not key.endswith(BATCH_COUNTER))
        ):

            def layers(keys: Iterable[str]) -> int:
                return sum(state[key].ndim > 1 for key in keys)

            loaded_part = f"the first {layers(loaded)} of {format_count(layers(state), 'layer')}, where the file ends"
            loaded |= {key: state[key] for key in missing}
    else:
        config = timm_config(file) if file is not None else None
        library, loaded, names = _find_library(arch, state, tensors.by_name, place, "timm" if config else "")
        metadata = file_metadata(file) if library == "scalesearch" and file is not None else {}
        trained_arch = _with_trained_settings(arch, library, metadata, config, place, require_same=not replace_head)
    matched, fresh = _match_tensors(model, loaded, names, replace_head, place)
    _apply_settings(model, trained_arch)
    model.load_state_dict(matched)
    model.library, model.file_metadata = metadata.get("prepared_as", library), dict(metadata)
    model.weights_arch = trained_arch
    model.fresh, model.loaded_part = fresh | missing, loaded_part


def _apply_settings(model: Network, arch: Arch) -> None:
    """Gives `model` the padding and the norms' eps of `arch`, which equals its own in all else."""
    if arch.padding != model.arch.padding:
        device = next(model.parameters()).device
        for name, part in build(arch).to(device).train(model.training).named_children():
            setattr(model, name, part)
    model.arch = arch
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)):
            module.eps = arch.norm_eps


def _backbone_classifier(arch: Arch, source: _Source) -> Arch | None:
    """Returns the classifier whose weights a detector can start from: the zoo's, or the one our own file is of."""
    if not task_of(arch).on_backbone:
        return None
    file_arch = arch_from_metadata(file_metadata(source.file), source.place) if source.file else None
    classifier = backbone_of(arch, file_arch)
    return classifier and classifier.with_(channels=arch.channels, padding=arch.padding)


def _load_backbone(model: Network, classifier: Arch, source: _Source) -> None:
    donor = build(classifier)
    _load(donor, source, replace_head=True)
    stages = count_shared_stages(classifier, model.arch)
    shared = {
        key
        for key in model.state_dict()
        if key.startswith("stem.") or (key.startswith("stages.") and int(key.split(".")[1]) < stages)
    }
    _apply_settings(model, model.arch.with_(**{key: getattr(donor.arch, key) for key in SETTINGS}))
    model.load_state_dict({key: value for key, value in donor.state_dict().items() if key in shared}, strict=False)
    model.library, model.weights_arch = donor.library, donor.arch
    model.fresh = frozenset(model.state_dict().keys() - shared)
    loaded_part = f"the backbone, {format_count(stages, 'stage')} of {classifier.name}"
    model.loaded_part = "; ".join(filter(None, (loaded_part, donor.loaded_part)))


def _with_trained_settings(
    arch: Arch, library: str, metadata: Mapping[str, str], config: PlainMapping | None, place: str, require_same: bool
) -> Arch:
    """Returns `arch` as the weights were trained with it. Raises `InputError` if they are of another network."""
    if library == "scalesearch":
        return with_file_settings(arch, metadata, place, require_same)
    if library == "timm" and config is not None and (architecture := config.get("architecture")):
        changes = variant_settings(arch.name, str(architecture))
        if changes is None:
            raise InputError(
                f"is of timm's {architecture}, as the config.json beside it says, another network than {arch.name}",
                place,
            )
        if extra := unsupported_arguments(config):
            raise InputError(
                f"is of timm's {architecture} with {extra}, as the config.json beside it says, which "
                f"our {arch.name} does not have",
                place,
            )
        return with_library_eps(arch.with_(padding="symmetric"), library).with_(**changes)
    return with_library_eps(arch, library)


def _variants(loaded: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """Yields the tensors under every set of names that they may have.

    These are their own names and those after torchvision's renamings, each also without the prefixes that
    wrappers of networks leave (`module.`, `_orig_mod.`, `model.`).
    """
    by_name = dict(loaded)
    while True:
        for pattern, current in (("", ""), *OLD_NAMES):
            renamed = {re.sub(pattern, current, name) if pattern else name: tensor for name, tensor in by_name.items()}
            if not pattern or renamed.keys() != by_name.keys():
                yield renamed
        inner = {name: tensor for name, tensor in by_name.items() if not name.endswith(IGNORED_SUFFIXES) or "." in name}
        prefixes = {name.partition(".")[0] for name in inner}
        if len(prefixes) != 1 or not all("." in name for name in inner):
            return
        by_name = {name.partition(".")[2]: tensor for name, tensor in inner.items()}


def _find_library(
    arch: Arch, state: Mapping[str, torch.Tensor], loaded: Mapping[str, torch.Tensor], place: str, preferred: str
) -> tuple[str, dict[str, torch.Tensor], dict[str, str]]:
    """Returns the library whose names most of the tensors have, with two mappings.

    The mappings are the tensors under that library's names, and its name for each of ours. Of several libraries
    that share equally many names, the `preferred` one is returned.
    """
    candidates = {"scalesearch": {key: key for key in state}}
    for library in libraries_with(arch):
        layers = peer_layer_names(arch, library)
        candidates[library] = {key: peer_tensor_name(key, layers) for key in state}
    shared = {
        (library, i): len(tensors.keys() & set(names.values()))
        for i, tensors in enumerate(_variants(loaded))
        for library, names in candidates.items()
    }
    library, best = max(shared, key=lambda candidate: (shared[candidate], candidate[0] == preferred))
    if shared[library, best] < len(state) // 4:
        if fused := _fused_bias(list(_variants(loaded)), candidates.values()):
            raise _MismatchError(
                f"has its batch norms fused into its convolutions (it has {fused}, and none of their values); save the "
                "weights before they are fused: of Ultralytics, before the first prediction",
                place,
                len(state),
            )
        example = next(iter(loaded), "none")
        raise _MismatchError(
            f"is not of {arch.name}: it has names such as {example}; {arch.name} can have the names of "
            f"{', '.join(candidates)}",
            place,
            len(state),
        )
    return library, list(_variants(loaded))[best], candidates[library]


def _fused_bias(variants: Sequence[Mapping[str, torch.Tensor]], candidates: Iterable[Mapping[str, str]]) -> str:
    """Returns the name of a convolution's bias that takes the place of a norm; empty if the file has no such biases.

    Args:
        variants: The file's tensors, with and without prefixes of their names.
        candidates: By library, its name of each of our tensors.
    """
    for names in candidates:
        normed = {
            name.removesuffix("weight")
            for key, name in names.items()
            if key.endswith("conv.weight") and key.replace("conv.weight", "norm.weight") in names
        }
        for tensors in variants:
            biases = [f"{name}bias" for name in normed if f"{name}weight" in tensors and f"{name}bias" in tensors]
            if len(biases) > len(normed) // 2 and not any(name.endswith("running_var") for name in tensors):
                return min(biases)
    return ""


def _match_tensors(
    model: Network, loaded: Mapping[str, torch.Tensor], names: Mapping[str, str], replace_head: bool, place: str
) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
    """Returns the network's tensors, and the names of those that stay fresh. Raises `InputError`."""
    state = model.state_dict()
    faults: list[str] = []
    fresh: set[str] = set()
    matched: dict[str, torch.Tensor] = {}
    expected = set(names.values())
    extra = [name for name in loaded if name not in expected and not name.endswith(IGNORED_SUFFIXES)]
    for key, name in names.items():
        ours = state[key]
        if name not in loaded:
            if name.endswith(BATCH_COUNTER):
                matched[key] = ours
                continue
            faults.append(f"misses {name}" + (f" (for {key})" if name != key else "") + suggestion(name, extra))
        elif not _is_dense_real(loaded[name]):
            faults.append(f"{name} is no dense tensor of real numbers")
        elif (fault := _value_fault(name, loaded[name])) is not None:
            faults.append(fault)
        elif (theirs := _reshape_like(loaded[name], ours)) is not None:
            matched[key] = theirs.to(ours.dtype)
        elif replace_head and key.startswith(("head.", "auxiliary.")):
            matched[key] = ours
            fresh.add(key)
        elif key.startswith(("head.", "auxiliary.")) and len(ours) == model.arch.classes:
            faults.append(
                f"{name} has {format_count(len(loaded[name]), 'class')}, {key} has {len(ours)}: build the "
                "network with as many classes, or replace the head (--replace-head, replace_head=True)"
            )
        else:
            faults.append(f"{name} has shape {_format_shape(loaded[name])}, {key} needs {_format_shape(ours)}")
    faults += [f"has {name}, which {model.arch.name} has no place for" + _auxiliary_hint(name) for name in extra]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise _MismatchError(faults[0] + more, place, len(faults))
    return matched, frozenset(fresh)


def _is_dense_real(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_complex()
        and not value.is_quantized
        and value.device.type != "meta"
    )


def _value_fault(name: str, value: torch.Tensor) -> str | None:
    """Describes what is wrong with a tensor's values (NaN, infinite, a variance below 0), or returns None."""
    bad = int((~value.isfinite()).sum()) if value.is_floating_point() else 0
    if bad:
        return f"{name} has NaN or infinite values, {bad:,} of {value.numel():,}"
    return f"{name} has variances below 0" if name.endswith("running_var") and bool((value < 0).any()) else None


def _auxiliary_hint(name: str) -> str:
    """Returns a hint for names of auxiliary heads of GoogLeNet and Inception v3, which are own networks here."""
    auxiliary = name.startswith(("aux1.", "aux2.", "AuxLogits.", "auxiliary."))
    return "; the network whose name ends in _aux has" if auxiliary else ""


def _reshape_like(theirs: torch.Tensor, ours: torch.Tensor) -> torch.Tensor | None:
    """Returns `theirs` in the shape of `ours`, or None if that cannot be done without changing its meaning.

    It can be done if the shapes differ in dimensions of 1 only, or as a linear layer and a convolution over a
    whole map do.
    """
    if theirs.shape == ours.shape:
        return theirs
    same_rows = theirs.ndim > 1 and ours.ndim > 1 and theirs.flatten(1).shape == ours.flatten(1).shape
    squeezed = [n for n in theirs.shape if n != 1] == [n for n in ours.shape if n != 1]
    return theirs.reshape(ours.shape) if same_rows or squeezed else None


def _format_shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"
