"""Commands about networks with weights: `export` and `predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import click

from scalesearch.cli.group import main
from scalesearch.cli.printing import (
    SIDES,
    Number,
    Rows,
    format_share,
    guarded_command,
    json_option,
    print_rows,
    raw_option,
    with_bar,
)
from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict

FORMS = ("py", "onnx", "safetensors", "pt2", "timm", "torchvision", "ultralytics")


@main.command(name="export")
@click.argument("model")
@click.option(
    "--to",
    "form",
    type=click.Choice(FORMS),
    required=True,
    help="py: Python source that needs only torch. onnx, pt2 (torch.export): network with weights. "
    "safetensors: weights. timm, torchvision, ultralytics: weights under that library's names.",
)
@click.option(
    "--weights", help="A file of weights, or hf_hub:OWNER/NAME. Default: those in MODEL's folder, else fresh ones."
)
@click.option("--resolution", type=SIDES, help="Input resolution: a side in pixels, or HEIGHTxWIDTH.")
@click.option("--classes", type=click.IntRange(1, 1_000_000), help="Number of classes, instead of the model's own.")
@raw_option
@click.option("--replace-head", is_flag=True, help="Keep a fresh head if the weights have other classes.")
@click.option("--opset", type=int, default=18, show_default=True, help="ONNX opset, 18 to 23.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of fresh weights.")
@click.option(
    "--boxes",
    is_flag=True,
    help="For a detector, as onnx, pt2 or py: include decoding and suppression; outputs are boxes, scores and classes.",
)
@click.option(
    "--confidence", type=Number(0, 1), default=0.25, show_default=True, help="With --boxes: keep higher scores."
)
@click.option("--iou", type=Number(0, 1), default=0.7, show_default=True, help="With --boxes: largest overlap.")
@click.option(
    "--most", type=click.IntRange(1, 1000), default=300, show_default=True, help="With --boxes: most boxes per image."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write. Default for a Python file: stdout.")
@guarded_command
def export_(
    model: str,
    form: str,
    weights: str | None,
    resolution: Any,
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

    A Python file holds no weights. With --weights, it has the norms' eps that they were trained with, how
    images are prepared, and the names of the classes.
    """
    from scalesearch.export import check_suffix, to_python
    from scalesearch.files import save_text
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    weights = weights or weights_in_folder(model)
    if out is not None:
        check_suffix(form, out)
    if boxes and form not in ("onnx", "pt2", "py"):
        raise InputError("is for --to onnx, --to pt2 and --to py", "--boxes")
    if out is None and form != "py":
        raise InputError("needs a file: give -o FILE", f"--to {form}")
    threshold = (confidence, iou, most) if boxes else None
    if form == "py" and weights is None:
        source = to_python(arch, boxes=threshold)
    else:
        network = _build_network(arch if weights else _with_form_eps(arch, form), weights, seed, replace_head, raw)
        if weights and form in ("onnx", "pt2", "py"):
            _add_metadata(network, weights)
        if form != "py" and out is not None:
            from scalesearch.export import write

            if threshold is not None:
                from scalesearch.network import detector

                network = detector(network, *threshold)
            write(network, form, out, opset)
            click.echo(f"{out}  {out.stat().st_size / 1e6:.1f} MB" + ("" if weights else ", fresh weights"), err=True)
            return
        source = to_python(network.arch, network.file_metadata, threshold)
    click.echo(source, nl=False) if out is None else save_text(source, out)


def _add_metadata(network: Any, weights: str) -> None:
    """Adds image preparation and class names, where they are known, to the network's metadata."""
    from scalesearch.weights import class_names_of, local_file, preparation_of

    file = local_file(weights)
    classes = class_names_of(network.arch, network.library, file)
    network.file_metadata.setdefault(
        "preparation", json.dumps(preparation_of(network.arch, network.library, file)._asdict())
    )
    if classes:
        network.file_metadata.setdefault("classes", json.dumps(list(classes)))


def photo_arguments(command: Any) -> Any:
    """Adds the arguments of commands that look at photos: a MODEL with its weights, and the images."""
    weights_help = (
        "A .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME. Default: those in MODEL's folder."
    )
    options = (
        click.argument("model"),
        click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path)),
        click.option("--weights", help=weights_help),
        raw_option,
        click.option("--resolution", type=SIDES, help="Input resolution: a side in pixels, or HEIGHTxWIDTH."),
        click.option(
            "--classes",
            type=click.IntRange(1, 1_000_000),
            help="Number of classes of the weights, if not the model's own.",
        ),
        click.option("--names", type=click.Path(path_type=Path), help="Text file with one class name per line."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def weights_in_folder(model: str) -> str | None:
    """Returns the weights in the folder of a trained network, or None if `model` is no such folder."""
    from scalesearch.zoo import WEIGHTS, find_in_folder

    path = find_in_folder(model, WEIGHTS)
    return None if path is None else str(path)


def required_weights(model: str, weights: str | None) -> str:
    """Returns `weights`, or those in the folder of a trained network. Raises `InputError` if there are neither."""
    path = weights or weights_in_folder(model)
    if path is None:
        raise InputError(
            "needs weights: a .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME", "--weights"
        )
    return path


def load_classifier(model: str, resolution: Any, classes: int | None, verb: str) -> Any:
    """Returns the architecture of a classifier. Raises `InputError` for other kinds of networks."""
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    check_classifier(arch, verb)
    return arch


def check_classifier(arch: Any, verb: str) -> None:
    """Raises `InputError`, at the command `verb`, if `arch` is no classifier."""
    from scalesearch.trials import task_of

    if (task := task_of(arch)).verb != "predict":
        other = f"{task.verb} finds boxes" if task.verb else f"{verb} is for classifiers"
        raise InputError(f"{arch.name} is no classifier; {other}", verb)


class TrainedNetwork(NamedTuple):
    """A network with trained weights, how its images are prepared, its class names if known, and its device."""

    network: Any
    preparation: Any
    classes: Sequence[str] | None
    device: str


def report_loaded_part(file: str | Path, loaded_part: str) -> None:
    """Prints which part of a file's weights was loaded, unless it was all of them."""
    if loaded_part:
        click.echo(f"scalesearch: {file}: took {loaded_part}", err=True)


def load_trained(arch: Any, weights: str, device: str | None, raw: bool = False) -> TrainedNetwork:
    """Returns `arch` with the weights of a file or the Hub; the default device is a GPU if there is one."""
    import torch

    from scalesearch.network import build
    from scalesearch.weights import class_names_of, load_weights, local_file, preparation_of

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    network, file = build(arch), local_file(weights)
    library = load_weights(network, file, raw=raw)
    report_loaded_part(weights, network.loaded_part)
    return TrainedNetwork(
        network, preparation_of(network.arch, library, file), class_names_of(arch, library, file), device
    )


def _with_form_eps(arch: Any, form: str) -> Any:
    """Returns `arch` with the eps of the library's network, if fresh weights are exported under a library's names."""
    from scalesearch.weights import LIBRARIES, libraries_with, with_library_eps

    return with_library_eps(arch, form) if form in LIBRARIES and form in libraries_with(arch) else arch


def _build_network(arch: Any, weights: str | None, seed: int = 0, replace_head: bool = False, raw: bool = False) -> Any:
    """Returns the network with the weights of a file, or with fresh ones."""
    import torch

    from scalesearch.network import build
    from scalesearch.weights import load_weights

    torch.manual_seed(seed)
    model = build(arch)
    if weights is not None:
        load_weights(model, weights, replace_head=replace_head, raw=raw)
        report_loaded_part(weights, model.loaded_part)
    return model.eval()


@main.command()
@photo_arguments
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Number of classes per image.")
@click.option(
    "--resize", type=click.IntRange(1, 8192), help="Resize the shorter side to this many pixels before the centre crop."
)
@click.option(
    "--interpolation", type=click.Choice(["bilinear", "bicubic", "nearest", "lanczos"]), help="How images are resized."
)
@click.option("--mean", help="Mean to subtract from pixels in [0, 1], one value per channel: 0.485,0.456,0.406.")
@click.option("--std", help="Standard deviation to divide by, one value per channel.")
@click.option("--device", help="cuda, cuda:1 or cpu. Default: a GPU if there is one.")
@json_option
@guarded_command
def predict(
    model: str,
    images: tuple[Path, ...],
    weights: str | None,
    raw: bool,
    resolution: Any,
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

    An .npz file's `images` may be many, with any number of channels. Images are prepared as they were for the
    weights, as far as that is known; --resize, --interpolation, --mean and --std override it.
    """
    from scalesearch.arch import sides
    from scalesearch.weights import Prediction, find, predict as predict_images

    arch = load_classifier(model, resolution, classes, "predict")
    files = find(images)
    custom_names = read_class_names(names, arch.classes) if names else None
    trained = load_trained(arch, required_weights(model, weights), device, raw)
    class_names = custom_names or trained.classes
    overrides: PlainDict = {
        "resize": resize,
        "interpolation": interpolation,
        "mean": _parse_channel_values(mean, "--mean", arch.channels),
        "std": _parse_channel_values(std, "--std", arch.channels),
    }
    changes = {key: value for key, value in overrides.items() if value} | (
        {"stored": 0} if resize or interpolation else {}
    )
    preprocessing = trained.preparation._replace(**changes)
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
        click.echo(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        notes = (f"{format_count(len(results), 'image')}, {len(skipped)} skipped",) if files.in_folders else ()
        print_rows([row | {"probability": format_share(row["probability"])} for row in rows], False, notes)


def read_class_names(path: Path, classes: int) -> list[str]:
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


def check_device(device: str) -> None:
    """Raises `InputError` if torch cannot use `device`."""
    import torch

    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps", "xpu"):
            raise RuntimeError("takes cpu, cuda, cuda:1, mps or xpu")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"cannot be used: {str(error).splitlines()[0]}", f"--device {device}") from None
