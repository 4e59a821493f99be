"""A network with trained weights, and all that is needed to use it on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from typing_extensions import TypedDict

from scalesearch.arch import Arch, Resolution
from scalesearch.errors import InputError, check_kind, format_count
from scalesearch.notebook import html_table
from scalesearch.zoo import WEIGHTS, find_in_folder, load

if TYPE_CHECKING:
    from scalesearch.network import Network
    from scalesearch.zoo import Preprocessing

NEEDS_WEIGHTS = "needs weights: a .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME"


@dataclass(frozen=True)
class Trained:
    """A network with trained weights, from `load_trained`.

    Attributes:
        network: The `nn.Module`.
        preparation: How images are prepared for these weights.
        classes: The names of the classes; None where neither the weights nor their library say them.
        device: The torch device that it computes on.
        weights: The file of the weights, as it was named.
        folder: The folder of the network, if it was named by one.
    """

    network: Network
    preparation: Preprocessing
    classes: Sequence[str] | None
    device: str
    weights: str
    folder: Path | None = None

    @property
    def arch(self) -> Arch:
        """Returns the network's architecture."""
        return self.network.arch

    def __repr__(self) -> str:
        classes = format_count(self.arch.classes, "class")
        return f"<Trained {self.arch.name}: {classes}, weights {self.weights}, on {self.device}>"

    def _repr_html_(self) -> str:
        return html_table(repr(self)[1:-1], [{"class": name} for name in self.classes or ()])


MODEL_WANTED = "a name of the zoo, a path, or an Arch; of a trained network its folder"
DATA_WANTED = "a path, a name, or a mapping as a study's data section"


@runtime_checkable
class InFolder(Protocol):
    """Something whose network lies in a folder: a member of a run's family, the outcome of a training."""

    @property
    def folder(self) -> Path:
        """Its folder."""


# a MODEL as commands take it, an architecture, an opened network, or what lies in a folder
Model: TypeAlias = str | Path | Arch | Trained | InFolder


class Opening(TypedDict, total=False):
    """The options of `load_trained`, which the functions that take a model pass on to it."""

    weights: str | Path | None
    resolution: Resolution | None
    classes: int | None
    class_names: Sequence[str] | None
    raw: bool
    device: str | None
    folder: str | Path | None


def in_place(model: Model) -> str | Path | Arch | Trained:
    """Returns the folder of what lies in one, and anything else as it is.

    Raises:
        InputError: For anything that names no network.
    """
    known = model if isinstance(model, Trained) or not isinstance(model, InFolder) else model.folder
    check_kind(known, (str, Path, Arch, Trained), MODEL_WANTED, "model")
    return known


def load_trained(
    model: Model,
    *,
    weights: str | Path | None = None,
    resolution: Resolution | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    raw: bool = False,
    device: str | None = None,
    folder: str | Path | None = None,
) -> Trained:
    """Returns a network with trained weights, to be used several times without being read again.

    Args:
        model: The folder of a trained network, or any other MODEL or architecture with `weights`.
        weights: A file of weights, ours or a library's, or `hf_hub:OWNER/NAME`; by default those in the folder.
        resolution: Input resolution in pixels, a side or height and width, instead of the model's own.
        classes: Number of classes of the weights, if not the model's own.
        class_names: The names of the classes, instead of those of the weights.
        raw: Load raw weights where a file has averaged ones too.
        device: A torch device; by default a GPU if there is one.
        folder: The folder of the network, whose splits it is scored on, if `model` is not that.

    Raises:
        InputError: If there are no weights, or the names, the weights or the device cannot be used.
    """
    model = in_place(model)
    if isinstance(model, Trained):
        options = (weights, resolution, classes, class_names, raw, device, folder)
        if given := [name for name, value in zip(Opening.__annotations__, options, strict=True) if value]:
            raise InputError(f"is of no use with a network that is opened already: {', '.join(given)}", "load_trained")
        return model
    if weights is not None:
        check_kind(weights, (str, Path), "a file of weights, or hf_hub:OWNER/NAME", "weights")
    if class_names is not None:
        check_kind(class_names, (list, tuple), "a list of names", "class_names")
    if folder is not None:
        check_kind(folder, (str, Path), "a folder", "folder")
    if isinstance(model, Arch):
        sizes = {"resolution": resolution, "classes": classes}
        arch = model.with_(**{key: value for key, value in sizes.items() if value is not None})
    else:
        arch = load(model, resolution=resolution, classes=classes)
    folder = model if folder is None and not isinstance(model, Arch) else folder
    weights = weights or (None if folder is None else weights_in_folder(folder))
    if weights is None:
        raise InputError(NEEDS_WEIGHTS, "weights")
    if class_names is not None and len(class_names) != arch.classes:
        counted = format_count(len(class_names), "name"), format_count(arch.classes, "class")
        raise InputError(f"has {counted[0]}, and the network {counted[1]}", "class_names")
    device = usable_device(device)

    from scalesearch.network import build
    from scalesearch.weights import class_names_of, load_weights, local_file, preparation_of

    network, file = build(arch), local_file(weights)
    library = load_weights(network, file, raw=raw)
    return Trained(
        network.eval().to(device),
        preparation_of(network.arch, library, file),
        class_names or class_names_of(arch, library, file),
        device,
        str(weights),
        Path(folder) if folder is not None and Path(folder).is_dir() else None,
    )


def weights_in_folder(model: str | Path) -> str | None:
    """Returns the weights in the folder of a trained network, or None if `model` is no such folder."""
    path = find_in_folder(model, WEIGHTS)
    return None if path is None else str(path)


def splits_file(model: Path) -> Path | None:
    """Returns the path of the splits that a trained network was made with, in its folder or its run's; None if none."""
    if not model.is_dir():
        return None
    folders = (model, *model.resolve().parents[1:2])  # a network lies in RUN/family/NAME
    return next((path for folder in folders if (path := folder / "splits.parquet").exists()), None)


def usable_device(device: str | None) -> str:
    """Returns `device`, by default a GPU if there is one. Raises `InputError` if torch cannot use it."""
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps", "xpu"):
            raise RuntimeError("takes cpu, cuda, cuda:1, mps or xpu")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"cannot be used: {str(error).splitlines()[0]}", f"device {device}") from None
    return device
