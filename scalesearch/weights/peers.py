"""Translates our tensors' names to and from another library's, for the networks that both have."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from scalesearch.arch import Arch, expand
from scalesearch.errors import InputError
from scalesearch.weights import timm, torchvision, ultralytics
from scalesearch.weights.naming import TENSOR_NAMES, Pairs, has_weights
from scalesearch.zoo import MODELS, model

LIBRARIES = {"torchvision": torchvision.FAMILIES, "timm": timm.FAMILIES, "ultralytics": ultralytics.FAMILIES}
# Networks that a library lacks, of families that it has.
ABSENT = {library: tuple(TENSOR_NAMES[library]["absent"]) for library in LIBRARIES}
FREE_SETTINGS = ("resolution", "classes", "norm_eps", "padding", "drop_path")  # in which a library's network may differ
CIFAR_SUFFIXES = ("_cifar", "_bc100_12", "_bc250_24", "_bc190_40")


def _family(name: str, library: str) -> str | None:
    """Returns the longest name of a library's family that a network's name begins with, or None."""
    if name.endswith(CIFAR_SUFFIXES) or name.startswith(ABSENT[library]):
        return None
    return max((family for family in LIBRARIES[library] if name.startswith(family)), key=len, default=None)


def libraries_with(arch: Arch) -> list[str]:
    """Returns the libraries that have the network.

    It must be the zoo's network of that name, at any resolution, number of classes, eps, padding and drop path
    rate.
    """
    if arch.name not in MODELS:
        return []
    expected = model(arch.name).with_(**{key: getattr(arch, key) for key in FREE_SETTINGS})
    return [library for library in LIBRARIES if _family(arch.name, library)] if expected == arch else []


# The norms' eps where a library's differs from the zoo's; weights need the eps they were trained with.
EPS = {"timm": {"mobilenet_v3": 1e-5, "efficientnet_v2": 1e-5, "efficientnet_b": 1e-5}}


def with_library_eps(arch: Arch, library: str) -> Arch:
    """Returns `arch` with the norms' eps that a library's weights of it were trained with.

    An `arch` whose padding is not the zoo's (TensorFlow's) is returned as it is, since the library has no
    weights of it.
    """
    if library not in LIBRARIES or arch.padding != model(arch.name).padding:
        return arch
    zoo_eps = model(arch.name).norm_eps
    return arch.with_(
        norm_eps=next((eps for prefix, eps in EPS.get(library, {}).items() if arch.name.startswith(prefix)), zoo_eps)
    )


def peer_layer_names(arch: Arch, library: str) -> dict[str, str]:
    """Returns the other library's layer, or tensor, for each of our layers with weights.

    Raises:
        KeyError: If the library does not have the family.
    """
    graph = expand(arch)
    pairs: Pairs = LIBRARIES[library][_family(arch.name, library) or ""](graph)
    blocks = graph.all_blocks()
    ours = {f"{path}.{layer.name}" for path, block in blocks for layer in block.layers if has_weights(layer.op)}
    return {name: theirs for name, theirs in pairs if name.removesuffix(".gamma") in ours or name in ours}


def peer_tensor_name(key: str, layers: Mapping[str, str]) -> str:
    """Returns the other library's name of one of our tensors, given its `peer_layer_names`."""
    if key in layers:
        return layers[key]
    layer, _, kind = key.rpartition(".")
    return f"{layers[layer]}.{kind}"


def peer_weights(arch: Arch, weights: Mapping[str, Tensor], library: str) -> dict[str, Tensor]:
    """Returns `weights` of our `arch` under a library's names and in its shapes.

    Raises:
        InputError: If the library does not have the network, or has it with another padding or eps.
    """
    if library not in libraries_with(arch):
        libraries = ", ".join(libraries_with(arch)) or "none"
        raise InputError(f"{library} has no {arch.name}; libraries that have it: {libraries}")
    if arch.padding != (padding := model(arch.name).padding):
        raise InputError(
            f"{library}'s {arch.name} has padding {padding!r}, and these weights were trained with {arch.padding!r}"
        )
    if (eps := with_library_eps(arch, library).norm_eps) != arch.norm_eps:
        raise InputError(
            f"{library}'s {arch.name} has norms with eps {eps:g}, and these weights were trained with {arch.norm_eps:g}"
        )
    layers = peer_layer_names(arch, library)
    renamed = {peer_tensor_name(key, layers): tensor for key, tensor in weights.items()}
    return {
        name: tensor.reshape(_peer_shape(name, tensor, library, arch)).contiguous() for name, tensor in renamed.items()
    }


def _peer_shape(name: str, tensor: Tensor, library: str, arch: Arch) -> tuple[int, ...]:
    """Returns the shape of a tensor in another library.

    It differs where the library has a linear layer for our 1×1 convolution or the other way round, or a layer
    scale as a vector.
    """
    shape = tuple(tensor.shape)
    if library == "torchvision" and name in torchvision.LINEAR_IN_TORCHVISION:
        return shape[:2]
    if library == "timm" and name.endswith(".gamma"):
        return shape[:1]
    if library == "timm" and name in ("pre_logits.fc1.weight", "pre_logits.fc2.weight"):
        side = arch.head.get("pool", 7) if "fc1" in name else 1
        return shape[0], shape[1] // side**2, side, side
    return shape
