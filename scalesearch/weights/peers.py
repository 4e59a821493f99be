"""Our tensors' names and a peer's, one to one, for the networks that both have."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from scalesearch.arch import Arch, Graph, expand
from scalesearch.errors import InputError
from scalesearch.weights import timm, torchvision, ultralytics
from scalesearch.weights.naming import Pairs, has_weights
from scalesearch.zoo import MODELS, model

LIBRARIES = {"torchvision": torchvision.FAMILIES, "timm": timm.FAMILIES, "ultralytics": ultralytics.FAMILIES}


# Networks of a family that a library has, and which it hasn't.
ABSENT = {
    "torchvision": (
        "inception_v1_5x5",
        "mobilenet_v3_small_x",
        "mobilenet_v3_large_x",
        "regnet_y_4gf",
        "regnet_y_6_4gf",
        "regnet_y_800mf_pycls",
        "regnet_y_8gf_pycls",
    ),
    "timm": ("mnasnet1_3", "inception_v3_aux"),
    "ultralytics": (),
}
CIFAR = ("_cifar", "_bc100_12", "_bc250_24", "_bc190_40")


def _family(name: str, library: str) -> str | None:
    """The longest family's name that a network's begins with."""
    if name.endswith(CIFAR) or name.startswith(ABSENT[library]):
        return None
    return max((family for family in LIBRARIES[library] if name.startswith(family)), key=len, default=None)


def known_to(arch: Arch) -> list[str]:
    """The libraries that have the network: it must be the zoo's of that name, at whatever resolution and number of
    classes."""
    if arch.name not in MODELS:
        return []
    known = model(arch.name)
    same = known.with_(
        resolution=arch.resolution,
        classes=arch.classes,
        norm_eps=arch.norm_eps,
        padding=arch.padding,
        drop_path=arch.drop_path,
    )
    return [library for library in LIBRARIES if _family(arch.name, library)] if same == arch else []


# Norms' eps where a library's is not the zoo's; weights belong to the eps they were trained with.
EPS = {"timm": {"mobilenet_v3": 1e-5, "efficientnet_v2": 1e-5, "efficientnet_b": 1e-5}}


def trained_with(arch: Arch, library: str) -> Arch:
    """`arch` with the norms' eps that a library's weights of it were trained with; with TensorFlow's padding it is as
    it says, the library's own having none."""
    if library not in LIBRARIES or arch.padding != model(arch.name).padding:
        return arch
    own = model(arch.name).norm_eps
    return arch.with_(
        norm_eps=next((eps for prefix, eps in EPS.get(library, {}).items() if arch.name.startswith(prefix)), own)
    )


def layer_names(arch: Arch, library: str) -> dict[str, str]:
    """Layer with weights → the peer's layer, or tensor. KeyError where the library doesn't have the family."""
    graph = expand(arch)
    pairs: Pairs = LIBRARIES[library][_family(arch.name, library) or ""](graph)
    ours = _layers(graph)
    return {name: theirs for name, theirs in pairs if name.removesuffix(".gamma") in ours or name in ours}


def _layers(graph: Graph) -> set[str]:
    return {
        f"{path}.{layer.name}" for path, block in graph.all_blocks() for layer in block.layers if has_weights(layer.op)
    }


def tensor_name(key: str, layers: Mapping[str, str]) -> str:
    """The peer's name of one of our tensors."""
    if key in layers:
        return layers[key]
    layer, _, kind = key.rpartition(".")
    return f"{layers[layer]}.{kind}"


def peer_weights(arch: Arch, weights: Mapping[str, Tensor], library: str) -> dict[str, Tensor]:
    """`weights` of our `arch` by a library's names and in its shapes.

    Raises `InputError` where the library doesn't have the network.
    """
    if library not in known_to(arch):
        known = ", ".join(known_to(arch)) or "none"
        raise InputError(f"{library} has no {arch.name}; libraries that have it: {known}")
    if arch.padding != (padding := model(arch.name).padding):
        raise InputError(
            f"{library}'s {arch.name} has padding {padding!r}, and these weights were trained with {arch.padding!r}"
        )
    if (eps := trained_with(arch, library).norm_eps) != arch.norm_eps:
        raise InputError(
            f"{library}'s {arch.name} has norms with eps {eps:g}, and these weights were trained with {arch.norm_eps:g}"
        )
    layers = layer_names(arch, library)
    named = {tensor_name(key, layers): tensor for key, tensor in weights.items()}
    return {
        name: tensor.reshape(_peer_shape(name, tensor, library, arch)).contiguous() for name, tensor in named.items()
    }


def _peer_shape(name: str, tensor: Tensor, library: str, arch: Arch) -> tuple[int, ...]:
    """Where a peer has a linear layer for our 1×1 convolution, or the other way round; or a factor as a vector."""
    shape = tuple(tensor.shape)
    if library == "torchvision" and name in torchvision.FLAT:
        return shape[:2]
    if library == "timm" and name.endswith((".gamma",)):
        return shape[:1]
    if library == "timm" and name in ("pre_logits.fc1.weight", "pre_logits.fc2.weight"):
        side = arch.head.get("pool", 7) if "fc1" in name else 1
        return shape[0], shape[1] // side**2, side, side
    return shape
