"""Commands about single networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.group import main
from scalesearch.errors import InputError
from scalesearch.terminal import Number, Rows, amount, guarded_command, json_option, print_rows, share


@main.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--resolution", type=click.IntRange(1, 8192), help="Side of the input in pixels, instead of the model's own.")
@click.option("--by", type=click.Choice(["layer", "stage"]), help="One row per layer or stage.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at a time, for the memory.")
@click.option("--fvcore", is_flag=True, help="Build the network and print fvcore's own counts beside ours (imports torch).")
@json_option
@guarded_command
def cost(models: tuple[str, ...], resolution: int | None, by: str | None, batch: int, fvcore: bool, as_json: bool) -> None:
    """Parameters, MACs, activations and peak activation memory of MODELs.

    One multiply-add is one MAC; sources that quote FLOPs often mean two per MAC.
    """
    from scalesearch.counting import by_layer, by_stage, uncounted
    from scalesearch.expansion import expand
    from scalesearch.loading import load

    rows: Rows = []
    left_out: set[str] = set()
    for number, name in enumerate(models, 1):
        arch = load(name, resolution=resolution)
        called = name if models.count(name) == 1 else f"{name} ({number})"
        graph = expand(arch)
        elements = uncounted(graph)
        left_out |= elements.keys()
        if by:
            table = by_layer(graph) if by == "layer" else by_stage(graph)
            rows += [{"model": called} | row if len(models) > 1 else row for row in table]
        else:
            rows.append(_cost_row(arch, graph, batch, fvcore) | ({"uncounted": elements} if as_json else {}))
    note = f"MACs leave out {', '.join(sorted(left_out))}." if left_out else ""
    rows = _side_by_side(rows) if by == "stage" and len(models) > 1 and not as_json else rows
    print_rows(rows, as_json, (note,) if note else ())


def _side_by_side(rows: Rows) -> Rows:
    """Rows of several models' stages as one row per stage, the models beside each other."""
    found: dict[str, dict[str, Any]] = {}
    models = list(dict.fromkeys(row["model"] for row in rows))
    names = sorted(dict.fromkeys(row["name"] for row in rows), key=_stage_order)
    for name in names:
        found[name] = {"stage": name} | {key: None for model in models for key in (model, f"{model} MACs")}
    for row in rows:
        shape = "×".join(map(str, row["shape"]))
        found[row["name"]] |= {row["model"]: f"{row['operator']} ×{row['depth']} → {shape}", f"{row['model']} MACs": row["macs"]}
    return list(found.values())


def _stage_order(name: str) -> tuple[int, int]:
    part, _, number = name.partition(".")
    return ("stem", "stages", "auxiliary", "head").index(part), int(number or 0)


def _cost_row(arch: Any, graph: Any, batch: int, fvcore: bool) -> dict[str, Any]:
    from scalesearch.counting import cost as count
    from scalesearch.memory import peak_memory

    counted = count(arch)
    row = {"name": arch.name, "resolution": arch.resolution, "params": counted.params, "macs": counted.macs, "acts": counted.acts,
           "memory_inference": peak_memory(graph, batch), "memory_training": peak_memory(graph, batch, training=True)}
    if fvcore:
        from scalesearch.measuring import fvcore_counts
        from scalesearch.network import build

        measured = fvcore_counts(build(arch), (arch.channels, arch.resolution, arch.resolution))
        row |= {"fvcore_total": measured["fvcore_total"], "fvcore_macs": measured["macs"], "fvcore_acts": measured["acts"]}
    return row


@main.command()
@click.option("--family", help="One family alone.")
@click.option("--max-macs", help="At most so many MACs; 600M and 1.2G are numbers.")
@click.option("--sort", type=click.Choice(["name", "params", "macs", "acts", "resolution", "top1"]), help="Sort by a column.")
@json_option
@guarded_command
def zoo(family: str | None, max_macs: str | None, sort: str | None, as_json: bool) -> None:
    """The hand-built architectures: cost at native resolution, published ImageNet top-1 and whose figure it is."""
    from scalesearch import zoo as models
    from scalesearch.counting import cost as count
    from scalesearch.errors import unknown

    if family is not None and family not in models.FAMILIES:
        raise InputError(unknown("family", family, models.FAMILIES), "--family")
    limit = amount(max_macs, "--max-macs") if max_macs is not None else None
    rows = []
    for name in models.MODELS:
        arch = models.model(name)
        counted, published = count(arch), models.published(name)
        if (family is None or models.family_of(name) == family) and (limit is None or counted.macs <= limit):
            rows.append({"name": name, "family": models.family_of(name), "resolution": arch.resolution, "params": counted.params,
                         "macs": counted.macs, "acts": counted.acts, "top1": published.top1, "top1_resolution": published.top1_resolution, "source": published.source})
    if sort:
        rows.sort(key=lambda row: (row[sort] is not None, row[sort] or 0) if sort == "top1" else row[sort], reverse=sort == "top1")
    print_rows(rows, as_json)


@main.command()
@click.argument("model")
@click.option("--resolution", type=click.IntRange(1, 8192), help="Side of the input in pixels, instead of the model's own.")
@click.option("--classes", type=click.IntRange(1, 1_000_000))
@click.option("--html", type=click.Path(path_type=Path), help="Draw it into this HTML file.")
@json_option
@guarded_command
def show(model: str, resolution: int | None, classes: int | None, html: Path | None, as_json: bool) -> None:
    """MODEL as its paper's table: what every stage does, at which resolution, how wide, how often, and what it costs."""
    from scalesearch.loading import load
    from scalesearch.report.architecture import table, write_drawing

    arch = load(model, resolution=resolution, classes=classes)
    if html is not None:
        write_drawing(arch, html)
        click.echo(html)
        return
    rows = table(arch)
    if not as_json:
        wired = any(row["inputs"] for row in rows)
        rows = [{key: ", ".join(map(str, value)) if key == "inputs" else value for key, value in row.items()
                 if key != "inputs" or wired} for row in rows]  # fmt: skip
    total = [sum(row[key] for row in rows) for key in ("params", "macs")]
    print_rows(rows, as_json, (f"{arch.name} at {arch.resolution}×{arch.resolution}: {total[0]:,} params, {total[1]:,} MACs",))


@main.command()
@click.argument("model")
@click.option("--to", "target", metavar="MACS", help="Scale to so many counted MACs, as 600M.")
@click.option("--phi", type=Number(-10, 10), help="Scale by α^φ, β^φ, γ^φ under the published rounding rules.")
@click.option("--alpha", type=Number(1, 4), default=1.2, show_default=True, help="Depth multiplier per φ.")
@click.option("--beta", type=Number(1, 4), default=1.1, show_default=True, help="Width multiplier per φ.")
@click.option("--gamma", type=Number(1, 4), default=1.15, show_default=True, help="Resolution multiplier per φ.")
@click.option("--tolerance", type=Number(0, 0.5), default=0.02, show_default=True, help="How near --to must be met.")
@json_option
@guarded_command
def scale(model: str, target: str | None, phi: float | None, alpha: float, beta: float, gamma: float, tolerance: float,
          as_json: bool) -> None:
    """A scaled MODEL, as an architecture's YAML; its counted MACs go to stderr."""
    from scalesearch.counting import cost as count
    from scalesearch.loading import load
    from scalesearch.scaling import Shares, scale_to
    from scalesearch.scaling import scale as scaled_by
    from scalesearch.schema import arch_from_dict, arch_to_yaml

    if (target is None) == (phi is None):
        raise InputError("takes either --to MACS or --phi N", "scale")
    base = load(model)
    if phi is not None:
        arch, deviation = scaled_by(base, depth=alpha**phi, width=beta**phi, resolution=gamma**phi), None
        arch_from_dict(arch.to_dict())  # still within what an architecture may be
    else:
        scaled = scale_to(base, amount(target, "--to"), Shares.of(alpha, beta, gamma), tolerance)
        arch, deviation = scaled.arch, scaled.deviation
        if abs(deviation) > tolerance:
            raise InputError(f"{base.name} has no network within {tolerance:.1%} of {scaled.target:,} MACs along these coefficients; "
                             f"the nearest has {scaled.macs:,} ({deviation:+.2%})", "--to")
    counted = count(arch)
    if as_json:
        click.echo(json.dumps({**arch.to_dict(), "cost": counted._asdict(), "deviation": deviation}, indent=2))
        return
    click.echo(arch_to_yaml(arch), nl=False)
    off = f", {deviation:+.2%} of the target" if deviation is not None else ""
    click.echo(f"{counted.macs:,} MACs{off}, {counted.params:,} params", err=True)


FORMS = ("py", "onnx", "safetensors", "pt2", "timm", "torchvision", "ultralytics")


@main.command(name="export")
@click.argument("model")
@click.option("--to", "form", type=click.Choice(FORMS), required=True,
              help="A Python file that needs torch alone, ONNX, weights, torch.export's .pt2, or weights by a library's names.")
@click.option("--weights", help="A file of weights, or hf_hub:OWNER/NAME; fresh ones without it.")
@click.option("--resolution", type=click.IntRange(1, 8192))
@click.option("--classes", type=click.IntRange(1, 1_000_000))
@click.option("--replace-head", is_flag=True, help="Keep a fresh last layer where the weights have other classes.")
@click.option("--opset", type=int, default=18, show_default=True, help="Of ONNX, 18 to 23.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of fresh weights.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where to; a Python file goes to stdout without it.")
@guarded_command
def export_(model: str, form: str, weights: str | None, resolution: int | None, classes: int | None, replace_head: bool,
            opset: int, seed: int, out: Path | None) -> None:
    """MODEL as a file to use elsewhere.

    A Python file holds no weights; with --weights it has the norms' eps that they were trained with.
    """
    from scalesearch.export import save_text, to_python
    from scalesearch.loading import load

    arch = load(model, resolution=resolution, classes=classes)
    if out is None and form != "py":
        raise InputError("needs a file: give -o FILE", f"--to {form}")
    if form == "py" and weights is None:
        source = to_python(arch)
    else:
        built = _built(arch if weights else _as_in(arch, form), weights, seed, replace_head)
        if form != "py":
            from scalesearch.export import write

            write(built, form, out, opset)
            click.echo(f"{out}  {out.stat().st_size / 1e6:.1f} MB" + ("" if weights else ", fresh weights"), err=True)
            return
        source = to_python(built.arch)
    click.echo(source, nl=False) if out is None else save_text(source, out)


def _as_in(arch: Any, form: str) -> Any:
    """Fresh weights for a library belong to the eps of that library's network."""
    from scalesearch.weights.peers import LIBRARIES, known_to, trained_with

    return trained_with(arch, form) if form in LIBRARIES and form in known_to(arch) else arch


def _built(arch: Any, weights: str | None, seed: int = 0, replace_head: bool = False) -> Any:
    """The network with the weights of a file, or with fresh ones."""
    import torch

    from scalesearch.network import build
    from scalesearch.weights import load_weights

    torch.manual_seed(seed)
    model = build(arch)
    if weights is not None:
        load_weights(model, weights, replace_head=replace_head)
    return model.eval()


@main.command()
@click.argument("model")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--weights", required=True, help="A .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME.")
@click.option("--resolution", type=click.IntRange(1, 8192), help="Side of the input in pixels.")
@click.option("--classes", type=click.IntRange(1, 1_000_000), help="How many the weights know, where not the model's own number.")
@click.option("--names", type=click.Path(path_type=Path), help="A text file with a class name per line.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True)
@click.option("--resize", type=click.IntRange(1, 8192), help="The shorter side before the middle is cut out.")
@click.option("--interpolation", type=click.Choice(["bilinear", "bicubic", "nearest", "lanczos"]))
@click.option("--mean", help="Subtracted from pixels in 0 … 1, a value per channel: 0.485,0.456,0.406.")
@click.option("--std", help="Divided by, as --mean.")
@click.option("--device", help="cuda, cuda:1 or cpu; a GPU where there is one.")
@json_option
@guarded_command
def predict(model: str, images: tuple[Path, ...], weights: str, resolution: int | None, classes: int | None, names: Path | None,
            top: int, resize: int | None, interpolation: str | None, mean: str | None, std: str | None, device: str | None,
            as_json: bool) -> None:
    """The likeliest classes of every IMAGE, or of all images in a folder, by MODEL with trained weights.

    Images are prepared as they were for those weights, as far as that is known; --resize, --interpolation, --mean and --std
    say otherwise.
    """
    import torch
    from rich.console import Console
    from rich.progress import track

    from scalesearch.blocks import BLOCKS
    from scalesearch.loading import load
    from scalesearch.network import build
    from scalesearch.predicting import Prediction, find
    from scalesearch.predicting import predict as predicted
    from scalesearch.weights import load_weights
    from scalesearch.weights.files import local
    from scalesearch.zoo import class_names, preparing

    arch = load(model, resolution=resolution, classes=classes)
    if BLOCKS[arch.head.kind].task != "classification":
        raise InputError(f"{arch.name} is a detector; predict is for classifiers", "predict")
    found = find(images)
    named = _names(names, arch.classes) if names else None
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    _check_device(device)
    built = build(arch)
    library = load_weights(built, weights)
    called = named or class_names(arch, library)
    said = {"resize": resize, "interpolation": interpolation, "mean": _values(mean, "--mean", arch.channels),
            "std": _values(std, "--std", arch.channels)}  # fmt: skip
    preprocessing = preparing(arch, library, local(weights))._replace(**{key: value for key, value in said.items() if value})
    rows, results, skipped = [], [], []
    total = len(found.named) + len(found.in_folders)
    console = Console(stderr=True)
    running = predicted(built, found, preprocessing, top, device)
    for result in track(running, "predicting", total=total, console=console, disable=not console.is_terminal or total < 2, transient=True):
        if not isinstance(result, Prediction):
            skipped.append(result)
            continue
        best = [{"class": c, "name": called[c] if called else None, "probability": p} for c, p in result.top]
        results.append({"image": str(result.image), "top": best})
        rows += [{"image": str(result.image) if rank == 0 else ""} | row for rank, row in enumerate(best)]
    for path in skipped:
        click.echo(f"scalesearch: {path}: is no image that can be read; skipped", err=True)
    if as_json:
        click.echo(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        notes = (f"{len(results)} images, {len(skipped)} skipped",) if found.in_folders else ()
        print_rows([row | {"probability": share(row["probability"])} for row in rows], False, notes)


def _names(path: Path, classes: int) -> list[str]:
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as text: {error}", str(path)) from None
    if len(names) != classes:
        raise InputError(f"has {len(names)} lines, and the network {classes} classes", str(path))
    return names


def _values(text: str | None, option: str, channels: int) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != channels or (option == "--std" and min(values, default=0) <= 0):
        raise InputError(f"takes {channels} numbers with commas between{' above 0' if option == '--std' else ''}, got {text!r}", option)
    return values


def _check_device(device: str) -> None:
    import torch

    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps", "xpu"):
            raise RuntimeError("takes cpu, cuda, cuda:1, mps or xpu")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"cannot be used: {str(error).splitlines()[0]}", f"--device {device}") from None
