"""Commands about networks with weights: exporting them, predicting with them."""

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
    guarded_command,
    json_option,
    print_rows,
    raw_option,
    share,
    with_bar,
)
from scalesearch.errors import InputError, numbered

FORMS = ("py", "onnx", "safetensors", "pt2", "timm", "torchvision", "ultralytics")


@main.command(name="export")
@click.argument("model")
@click.option(
    "--to",
    "form",
    type=click.Choice(FORMS),
    required=True,
    help="A Python file that needs torch alone, ONNX, weights, torch.export's .pt2, or weights by a library's names.",
)
@click.option("--weights", help="A file of weights, or hf_hub:OWNER/NAME; fresh ones without it.")
@click.option("--resolution", type=SIDES, help="Side of the input in pixels, or HEIGHTxWIDTH.")
@click.option("--classes", type=click.IntRange(1, 1_000_000))
@raw_option
@click.option("--replace-head", is_flag=True, help="Keep a fresh last layer where the weights have other classes.")
@click.option("--opset", type=int, default=18, show_default=True, help="Of ONNX, 18 to 23.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of fresh weights.")
@click.option(
    "--boxes",
    is_flag=True,
    help="Of a detector, as ONNX, .pt2 or Python: boxes, scores and classes come out, decoded and suppressed inside.",
)
@click.option("--confidence", type=Number(0, 1), default=0.25, show_default=True, help="With --boxes.")
@click.option("--iou", type=Number(0, 1), default=0.7, show_default=True, help="With --boxes.")
@click.option("--most", type=click.IntRange(1, 1000), default=300, show_default=True, help="With --boxes, of an image.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where to; a Python file goes to stdout without it.")
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
    """MODEL as a file to use elsewhere.

    A Python file holds no weights; with --weights it has the norms' eps that they were trained with, how images are
    prepared and what classes are called.
    """
    from scalesearch.export import check_suffix, to_python
    from scalesearch.files import save_text
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    weights = weights or trained_weights(model)
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
        built = _built(arch if weights else _as_in(arch, form), weights, seed, replace_head, raw)
        if weights and form in ("onnx", "pt2", "py"):
            _say_preparation(built, weights)
        if form != "py" and out is not None:
            from scalesearch.export import write

            if threshold is not None:
                from scalesearch.network import detector

                built = detector(built, *threshold)
            write(built, form, out, opset)
            click.echo(f"{out}  {out.stat().st_size / 1e6:.1f} MB" + ("" if weights else ", fresh weights"), err=True)
            return
        source = to_python(built.arch, built.told, threshold)
    click.echo(source, nl=False) if out is None else save_text(source, out)


def _say_preparation(network: Any, weights: str) -> None:
    """What is known of a library's weights, into what the file will say of itself."""
    from scalesearch.weights import classes_of, local, preparation_of

    file = local(weights)
    classes = classes_of(network.arch, network.library, file)
    network.told.setdefault("preparation", json.dumps(preparation_of(network.arch, network.library, file)._asdict()))
    if classes:
        network.told.setdefault("classes", json.dumps(list(classes)))


def photo_arguments(command: Any) -> Any:
    """A MODEL with its weights, and the photos that it is to look at."""
    weights = (
        "A .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME; of a trained network's folder, its own."
    )
    each = (
        click.argument("model"),
        click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path)),
        click.option("--weights", help=weights),
        raw_option,
        click.option("--resolution", type=SIDES, help="Side of the input in pixels, or HEIGHTxWIDTH."),
        click.option(
            "--classes",
            type=click.IntRange(1, 1_000_000),
            help="How many the weights know, where not the model's own number.",
        ),
        click.option("--names", type=click.Path(path_type=Path), help="A text file with a class name per line."),
    )
    for one in reversed(each):
        command = one(command)
    return command


def trained_weights(model: str) -> str | None:
    """Those of a trained network's folder."""
    from scalesearch.zoo import WEIGHTS, in_folder

    found = in_folder(model, WEIGHTS)
    return None if found is None else str(found)


def own_weights(model: str, weights: str | None) -> str:
    """The weights that are named, else those of a trained network's folder. Raises `InputError` for neither."""
    found = weights or trained_weights(model)
    if found is None:
        raise InputError(
            "needs weights: a .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME", "--weights"
        )
    return found


def classifier(model: str, resolution: Any, classes: int | None, verb: str) -> Any:
    """The architecture. Raises `InputError` for one that is for something else."""
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    check_classifier(arch, verb)
    return arch


def check_classifier(arch: Any, verb: str) -> None:
    """Raises `InputError` for a network that is for something else."""
    from scalesearch.trials import task_of

    if (task := task_of(arch)).verb != "predict":
        other = f"{task.verb} finds boxes" if task.verb else f"{verb} is for classifiers"
        raise InputError(f"{arch.name} is no classifier; {other}", verb)


class Ready(NamedTuple):
    """A network with trained weights and what is known of these."""

    network: Any
    preparation: Any
    classes: Sequence[str] | None
    device: str


def say_taken(file: str | Path, taken: str) -> None:
    """Which of a file's several weights were taken, or which part of them."""
    if taken:
        click.echo(f"scalesearch: {file}: took {taken}", err=True)


def ready(arch: Any, weights: str, device: str | None, raw: bool = False) -> Ready:
    """`arch` with the weights in a file or on the Hub, for a GPU where there is one and none is named."""
    import torch

    from scalesearch.network import build
    from scalesearch.weights import classes_of, load_weights, local, preparation_of

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    network, file = build(arch), local(weights)
    library = load_weights(network, file, raw=raw)
    say_taken(weights, network.taken)
    return Ready(network, preparation_of(network.arch, library, file), classes_of(arch, library, file), device)


def _as_in(arch: Any, form: str) -> Any:
    """Fresh weights for a library belong to the eps of that library's network."""
    from scalesearch.weights import LIBRARIES, known_to, trained_with

    return trained_with(arch, form) if form in LIBRARIES and form in known_to(arch) else arch


def _built(arch: Any, weights: str | None, seed: int = 0, replace_head: bool = False, raw: bool = False) -> Any:
    """The network with the weights of a file, or with fresh ones."""
    import torch

    from scalesearch.network import build
    from scalesearch.weights import load_weights

    torch.manual_seed(seed)
    model = build(arch)
    if weights is not None:
        load_weights(model, weights, replace_head=replace_head, raw=raw)
        say_taken(weights, model.taken)
    return model.eval()


@main.command()
@photo_arguments
@click.option("--top", type=click.IntRange(1), default=5, show_default=True)
@click.option("--resize", type=click.IntRange(1, 8192), help="The shorter side before the middle is cut out.")
@click.option("--interpolation", type=click.Choice(["bilinear", "bicubic", "nearest", "lanczos"]))
@click.option("--mean", help="Subtracted from pixels in 0 … 1, a value per channel: 0.485,0.456,0.406.")
@click.option("--std", help="Divided by, as --mean.")
@click.option("--device", help="cuda, cuda:1 or cpu; a GPU where there is one.")
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
    """The likeliest classes of every IMAGE, or of all images in a folder, by MODEL with trained weights.

    An .npz file's `images` are as many, of any number of channels. Images are prepared as they were for those weights,
    as far as that is known; --resize, --interpolation, --mean and --std say otherwise.
    """
    from scalesearch.arch import sides
    from scalesearch.weights import Prediction, find, predict as predicted

    arch = classifier(model, resolution, classes, "predict")
    found = find(images)
    named = class_names_in(names, arch.classes) if names else None
    given = ready(arch, own_weights(model, weights), device, raw)
    called = named or given.classes
    said: dict[str, Any] = {
        "resize": resize,
        "interpolation": interpolation,
        "mean": _values(mean, "--mean", arch.channels),
        "std": _values(std, "--std", arch.channels),
    }
    changes = {key: value for key, value in said.items() if value} | ({"stored": 0} if resize or interpolation else {})
    preprocessing = given.preparation._replace(**changes)
    shortest = min(sides(preprocessing.crop))
    if resize is not None and resize < shortest:
        raise InputError(f"takes at least {shortest}, the side of what is cut out of it, got {resize}", "--resize")
    rows: Rows = []
    results: Rows = []
    skipped: list[Path] = []
    total = len(found.named) + len(found.in_folders)
    running = predicted(given.network, found, preprocessing, top, given.device)
    for result in with_bar(running, "predicting", total):
        if not isinstance(result, Prediction):
            skipped.append(result)
            continue
        best: Rows = [{"class": c, "name": called[c] if called else None, "probability": p} for c, p in result.top]
        results.append({"image": result.image, "top": best})
        rows += [{"image": result.image if rank == 0 else ""} | row for rank, row in enumerate(best)]
    for path in skipped:
        click.echo(f"scalesearch: {path}: is no image that can be read; skipped", err=True)
    if as_json:
        click.echo(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        notes = (f"{numbered(len(results), 'image')}, {len(skipped)} skipped",) if found.in_folders else ()
        print_rows([row | {"probability": share(row["probability"])} for row in rows], False, notes)


def class_names_in(path: Path, classes: int) -> list[str]:
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as text: {error}", str(path)) from None
    if len(names) != classes:
        raise InputError(f"has {numbered(len(names), 'line')}, and the network {numbered(classes, 'class')}", str(path))
    return names


def _values(text: str | None, option: str, channels: int) -> tuple[float, ...] | None:
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
    import torch

    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps", "xpu"):
            raise RuntimeError("takes cpu, cuda, cuda:1, mps or xpu")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"cannot be used: {str(error).splitlines()[0]}", f"--device {device}") from None
