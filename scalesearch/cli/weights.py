"""Commands about networks with weights: `export` and `predict`."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

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
from scalesearch.exporting import FORMATS, WITH_BOXES
from scalesearch.plain_data import PlainDict

if TYPE_CHECKING:
    from scalesearch.api import Trained
    from scalesearch.arch import Arch, Resolution


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
    from scalesearch.api import export

    if boxes and format_ not in WITH_BOXES:
        raise InputError("is for --to onnx, --to pt2 and --to py", "--boxes")
    if out is None and format_ != "py":
        raise InputError("needs a file: give -o FILE", f"--to {format_}")
    text = export(
        model,
        format_,
        out,
        weights=weights,
        resolution=resolution,
        classes=classes,
        raw=raw,
        replace_head=replace_head,
        seed=seed,
        opset=opset,
        boxes=(confidence, iou, most) if boxes else None,
        on_loaded_part=lambda part: report_loaded_part(weights or model, part),
    )
    if out is None:
        click.echo(text, nl=False)
    elif format_ != "py":
        from scalesearch.api import weights_in_folder

        fresh = "" if weights or weights_in_folder(model) else ", fresh weights"
        click.echo(f"{out}  {out.stat().st_size / 1e6:.1f} MB{fresh}", err=True)


def open_trained(
    arch: Arch, model: str, weights: str | None, device: str | None, raw: bool, names: Path | None = None
) -> Trained:
    """Returns a network with trained weights, as `load_trained` does, and prints which part of a file was loaded.

    Args:
        arch: Its architecture.
        model: What the command names; if it is the folder of a trained network, its weights are the default.
        weights: A file, or a repository on the Hub.
        device: Where to put it; by default a GPU if there is one.
        raw: Load raw weights where a file has averaged ones too.
        names: A text file of class names, instead of those of the weights.
    """
    from scalesearch.api import NEEDS_WEIGHTS, load_trained, weights_in_folder

    class_names = _read_class_names(names, arch.classes) if names else None
    weights = weights or weights_in_folder(model)
    if weights is None:
        raise InputError(NEEDS_WEIGHTS, "--weights")
    trained = load_trained(arch, weights=weights, device=device, raw=raw, class_names=class_names, folder=model)
    report_loaded_part(weights, trained.network.loaded_part)
    return trained


def report_loaded_part(file: str | Path, loaded_part: str) -> None:
    """Prints which part of a file's weights was loaded, unless it was all of them."""
    if loaded_part:
        click.echo(f"scalesearch: {file}: took {loaded_part}", err=True)


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
    from scalesearch.api import check_classifier
    from scalesearch.arch import sides
    from scalesearch.weights import Prediction, find, predict as predict_images
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    check_classifier(arch, "predict")
    files = find(images)
    trained = open_trained(arch, model, weights, device, raw, names)
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
    stream = predict_images(trained.network, files, preprocessing, top, trained.device, trained.classes)
    for result in with_bar(stream, "predicting", total):
        if not isinstance(result, Prediction):
            skipped.append(result)
            continue
        top_rows: Rows = [{"class": c.number, "name": c.name, "probability": c.probability} for c in result.top]
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
