"""Commands about networks with weights: `export` and `predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from scalesearch.cli.group import main
from scalesearch.cli.options import (
    CLASS_COUNT,
    PATH,
    Number,
    device_option,
    json_option,
    photo_arguments,
    raw_option,
    resolution_option,
    seed_option,
)
from scalesearch.cli.printing import Rows, format_share, print_json, print_rows, with_bar
from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict

if TYPE_CHECKING:
    from scalesearch.arch import Arch, Resolution
    from scalesearch.network import Network
    from scalesearch.zoo import Preprocessing

FORMATS = ("py", "onnx", "safetensors", "pt2", "timm", "torchvision", "ultralytics")


@main.command(name="export")
@click.argument("model")
@click.option(
    "--to",
    "format_",
    type=click.Choice(FORMATS),
    required=True,
    help="py: Python source that needs only torch. onnx, pt2 (torch.export): network with weights. "
    "safetensors: weights. timm, torchvision, ultralytics: weights under that library's names.",
)
@click.option(
    "--weights", help="A file of weights, or hf_hub:OWNER/NAME. Default: those in MODEL's folder, else fresh ones."
)
@resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH.")
@click.option("--classes", type=CLASS_COUNT, help="Number of classes, instead of the model's own.")
@raw_option
@click.option("--replace-head", is_flag=True, help="Keep a fresh head if the weights have other classes.")
@click.option("--opset", type=int, default=18, help="ONNX opset, 18 to 23.")
@seed_option("Seed of fresh weights.")
@click.option(
    "--boxes",
    is_flag=True,
    help="For a detector, as onnx, pt2 or py: include decoding and suppression; outputs are boxes, scores and classes.",
)
@click.option(
    "--confidence", type=Number(0, 1), default=0.25, help="With --boxes: keep boxes that score higher than this."
)
@click.option(
    "--iou",
    type=Number(0, 1),
    default=0.7,
    help="With --boxes: drop a box if a better one of its class overlaps it by more than this.",
)
@click.option("--most", type=click.IntRange(1, 1000), default=300, help="With --boxes: most boxes per image.")
@click.option("-o", "--out", type=PATH, help="File to write. Default for a Python file: stdout.")
def export_(
    model: str,
    format_: str,
    weights: str | None,
    resolution: Resolution | None,
    classes: int | None,
    raw: bool,
    replace_head: bool,
    opset: int,
    seed: int,
    boxes: bool,
    confidence: float,
    iou: float,
    most: int,
    out: Path | None,
) -> None:
    """Export MODEL to a file for use elsewhere.

    A Python file holds no weights. If --weights is given, it contains what belongs to them: the eps of the
    norms, how images are prepared, and the names of the classes.
    """
    from scalesearch.export import check_suffix, to_python
    from scalesearch.files import save_text
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    weights = weights or weights_in_folder(model)
    if out is not None:
        check_suffix(format_, out)
    if boxes and format_ not in ("onnx", "pt2", "py"):
        raise InputError("is for --to onnx, --to pt2 and --to py", "--boxes")
    if out is None and format_ != "py":
        raise InputError("needs a file: give -o FILE", f"--to {format_}")
    threshold = (confidence, iou, most) if boxes else None
    if format_ == "py" and weights is None:
        source = to_python(arch, boxes=threshold)
    else:
        network = _build_network(arch, format_, weights, seed, replace_head, raw)
        if weights and format_ in ("onnx", "pt2", "py"):
            _add_metadata(network, weights)
        if format_ != "py" and out is not None:
            from scalesearch.export import write

            if threshold is None:
                write(network, format_, out, opset)
            else:
                from scalesearch.network import detector

                write(detector(network, *threshold), format_, out, opset)
            click.echo(f"{out}  {out.stat().st_size / 1e6:.1f} MB" + ("" if weights else ", fresh weights"), err=True)
            return
        source = to_python(network.arch, network.file_metadata, threshold)
    click.echo(source, nl=False) if out is None else save_text(source, out)


def _add_metadata(network: Network, weights: str) -> None:
    """Adds image preparation and class names, where they are known, to the network's metadata."""
    from scalesearch.weights import class_names_of, local_file, preparation_of

    file = local_file(weights)
    preparation = preparation_of(network.arch, network.library, file)
    network.file_metadata.setdefault("preparation", json.dumps(preparation._asdict()))
    if classes := class_names_of(network.arch, network.library, file):
        network.file_metadata.setdefault("classes", json.dumps(list(classes)))


def weights_in_folder(model: str) -> str | None:
    """Returns the weights in the folder of a trained network, or None if `model` is no such folder."""
    from scalesearch.zoo import WEIGHTS, find_in_folder

    path = find_in_folder(model, WEIGHTS)
    return None if path is None else str(path)


def check_classifier(arch: Arch, verb: str) -> None:
    """Raises `InputError`, at the command `verb`, if `arch` is no classifier."""
    from scalesearch.trials import task_of

    if (task := task_of(arch)).verb != "predict":
        other = f"{task.verb} finds boxes" if task.verb else f"{verb} is for classifiers"
        raise InputError(f"{arch.name} is no classifier; {other}", verb)


class TrainedNetwork(NamedTuple):
    """A network with trained weights, how its images are prepared, its class names if known, and its device."""

    network: Network
    preparation: Preprocessing
    classes: Sequence[str] | None
    device: str


def report_loaded_part(file: str | Path, loaded_part: str) -> None:
    """Prints which part of a file's weights was loaded, unless it was all of them."""
    if loaded_part:
        click.echo(f"scalesearch: {file}: took {loaded_part}", err=True)


def load_trained(
    arch: Arch, model: str, weights: str | None, device: str | None, raw: bool, names: Path | None = None
) -> TrainedNetwork:
    """Returns a network with trained weights.

    Args:
        arch: Its architecture.
        model: What the command names; if it is the folder of a trained network, its weights are the default.
        weights: A file, or a repository on the Hub.
        device: Where to put it; by default a GPU if there is one.
        raw: Load raw weights where a file has averaged ones too.
        names: A text file of class names, instead of those of the weights.

    Raises:
        InputError: If there are no weights, or the names, the weights or the device cannot be used.
    """
    from scalesearch.network import build
    from scalesearch.weights import class_names_of, load_weights, local_file, preparation_of

    custom_names = _read_class_names(names, arch.classes) if names else None
    weights = weights or weights_in_folder(model)
    if weights is None:
        raise InputError(
            "needs weights: a .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME", "--weights"
        )
    device = usable_device(device)
    network, file = build(arch), local_file(weights)
    library = load_weights(network, file, raw=raw)
    report_loaded_part(weights, network.loaded_part)
    classes = custom_names or class_names_of(arch, library, file)
    return TrainedNetwork(network, preparation_of(network.arch, library, file), classes, device)


def _build_network(arch: Arch, format_: str, weights: str | None, seed: int, replace_head: bool, raw: bool) -> Network:
    """Returns the network with the weights of a file, or with fresh ones.

    With fresh weights that go under a library's names, it has the eps of the library's network.
    """
    import torch

    from scalesearch.network import build
    from scalesearch.weights import LIBRARIES, libraries_with, load_weights, with_library_eps

    if weights is None and format_ in LIBRARIES and format_ in libraries_with(arch):
        arch = with_library_eps(arch, format_)
    torch.manual_seed(seed)
    model = build(arch)
    if weights is not None:
        load_weights(model, weights, replace_head=replace_head, raw=raw)
        report_loaded_part(weights, model.loaded_part)
    return model.eval()


@main.command()
@photo_arguments
@click.option("--top", type=click.IntRange(1), default=5, help="Number of classes per image.")
@click.option(
    "--resize", type=click.IntRange(1, 8192), help="Resize the shorter side to this many pixels before the centre crop."
)
@click.option(
    "--interpolation", type=click.Choice(["bilinear", "bicubic", "nearest", "lanczos"]), help="How images are resized."
)
@click.option("--mean", help="Mean to subtract from pixels in [0, 1], one value per channel: 0.485,0.456,0.406.")
@click.option("--std", help="Standard deviation to divide by, one value per channel.")
@device_option
@json_option
def predict(
    model: str,
    images: tuple[Path, ...],
    weights: str | None,
    raw: bool,
    resolution: Resolution | None,
    classes: int | None,
    names: Path | None,
    top: int,
    resize: int | None,
    interpolation: str | None,
    mean: str | None,
    std: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Print the most likely classes of every IMAGE, or of all images in a folder, by MODEL with trained weights.

    An .npz file may hold many images in its array `images`, with any number of channels. Images are prepared as
    they were for the weights, as far as that is known; --resize, --interpolation, --mean and --std override it.
    """
    from scalesearch.arch import sides
    from scalesearch.weights import Prediction, find, predict as predict_images
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    check_classifier(arch, "predict")
    files = find(images)
    trained = load_trained(arch, model, weights, device, raw, names)
    class_names = trained.classes
    overrides: PlainDict = {
        "resize": resize,
        "interpolation": interpolation,
        "mean": _parse_channel_values(mean, "--mean", arch.channels),
        "std": _parse_channel_values(std, "--std", arch.channels),
    }
    preprocessing = trained.preparation._replace(**{key: value for key, value in overrides.items() if value})
    if resize or interpolation:
        preprocessing = preprocessing._replace(stored=0)
    shortest = min(sides(preprocessing.crop))
    if resize is not None and resize < shortest:
        raise InputError(f"takes at least {shortest}, the side of the crop, got {resize}", "--resize")
    rows: Rows = []
    results: Rows = []
    skipped: list[Path] = []
    total = len(files.explicit) + len(files.in_folders)
    stream = predict_images(trained.network, files, preprocessing, top, trained.device)
    for result in with_bar(stream, "predicting", total):
        if not isinstance(result, Prediction):
            skipped.append(result)
            continue
        top_rows: Rows = [
            {"class": c, "name": class_names[c] if class_names else None, "probability": p} for c, p in result.top
        ]
        results.append({"image": result.image, "top": top_rows})
        rows += [{"image": result.image if rank == 0 else ""} | row for rank, row in enumerate(top_rows)]
    for path in skipped:
        click.echo(f"scalesearch: {path}: is no image that can be read; skipped", err=True)
    if as_json:
        print_json(results)
    else:
        notes = (f"{format_count(len(results), 'image')}, {len(skipped)} skipped",) if files.in_folders else ()
        print_rows([row | {"probability": format_share(row["probability"])} for row in rows], notes=notes)


def _read_class_names(path: Path, classes: int) -> list[str]:
    """Returns the class names in a text file, one per line. Raises `InputError` if they are not `classes` many."""
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as text: {error}", str(path)) from None
    if len(names) != classes:
        raise InputError(
            f"has {format_count(len(names), 'line')}, and the network {format_count(classes, 'class')}", str(path)
        )
    return names


def _parse_channel_values(text: str | None, option: str, channels: int) -> tuple[float, ...] | None:
    """Returns comma-separated numbers, one per channel, or None without `text`. Raises `InputError` for others."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    positive = " above 0" if option == "--std" else ""
    if len(values) != channels or not all(map(isfinite, values)) or (positive and min(values) <= 0):
        raise InputError(f"takes {channels} finite numbers{positive} with commas between, got {text!r}", option)
    return values


def usable_device(device: str | None) -> str:
    """Returns `device`, by default a GPU if there is one. Raises `InputError` if torch cannot use it."""
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps", "xpu"):
            raise RuntimeError("takes cpu, cuda, cuda:1, mps or xpu")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"cannot be used: {str(error).splitlines()[0]}", f"--device {device}") from None
    return device
