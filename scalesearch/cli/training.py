"""Commands that train one network, and that score a trained one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scalesearch.cli.data import data_spec
from scalesearch.cli.group import main
from scalesearch.cli.options import (
    PATH,
    Number,
    data_options,
    device_option,
    json_option,
    names_option,
    raw_option,
    resolution_option,
    seed_option,
    settings_option,
    strides_option,
    trained_weights_options,
    weights_classes_option,
)
from scalesearch.cli.printing import format_share, parse_setting, print_json, print_rows
from scalesearch.cli.weights import open_trained, report_loaded_part
from scalesearch.errors import InputError, format_seconds
from scalesearch.plain_data import PlainMapping

if TYPE_CHECKING:
    from scalesearch.arch import Resolution, Strides
    from scalesearch.runs import TrainingSpec


class _EpochPrinter:
    """Prints a line for every epoch of a training, with its losses and scores and the time left."""

    def __init__(self) -> None:
        self.ends = [time.monotonic()]  # of the epochs; a resumed training does not begin with the first one

    def __call__(self, numbers: PlainMapping, epochs: int) -> None:
        self.ends.append(time.monotonic())
        measured = self.ends[1:] if len(self.ends) > 2 else self.ends  # the first one also loads and warms up
        seconds = (measured[-1] - measured[0]) / (len(measured) - 1) * (epochs - numbers["epoch"])
        scores = "".join(
            f", {key.replace('_', ' ')} {value:.4g}" for key, value in numbers.items() if key.startswith("val_")
        )
        remaining = f", about {format_seconds(seconds)} left" if seconds else ""
        click.echo(f"epoch {numbers['epoch']}/{epochs}: loss {numbers['train_loss']:.4g}{scores}{remaining}", err=True)


@main.command()
@click.argument("model")
@click.option(
    "--data",
    "data_",
    required=True,
    help="Data set: a folder of class folders, a table, an archive, a built-in name, hf:OWNER/NAME, "
    "or photos with boxes; see `scalesearch data --help`.",
)
@data_options
@click.option("--out", type=PATH, help="Folder for the network. Default: trained/NAME.")
@click.option(
    "--weights",
    help="Weights to start from: a file, ours or a library's, or hf_hub:OWNER/NAME. A head with other classes is new.",
)
@raw_option
@click.option(
    "--freeze-until", metavar="STAGE", help="Don't train the stages up to and including this one (stem, stages.2)."
)
@click.option(
    "--recipe",
    help="quick, cifar, imagenet, finetune or detect. Default: detect for boxes, finetune with --weights, "
    "else cifar for small images and imagenet for others.",
)
@click.option("--epochs", type=click.IntRange(1), help="Epochs, instead of the recipe's.")
@click.option("--batch", type=click.IntRange(1), help="Images in a batch, instead of the recipe's.")
@click.option("--lr", type=Number(1e-12, 1e12), help="Largest learning rate, instead of the recipe's.")
@settings_option("Change another setting of the recipe, such as label_smoothing=0.1.")
@resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH. Default: the data's.")
@strides_option("fitted")
@seed_option("Seed of the training.", 2**31)  # as a study's
@click.option("--device", help="cuda or cpu. Default: a GPU if there is one.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), help="CPU threads. Default: all cores that the process may use."
)
@click.option("--save-every", type=float, default=30.0, help="Seconds between saves during the training, for --resume.")
@click.option("--resume", is_flag=True, help="Continue the training in the folder.")
@json_option
def train(
    model: str,
    data_: str,
    out: Path | None,
    weights: str | None,
    raw: bool,
    freeze_until: str | None,
    recipe: str | None,
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    settings: tuple[str, ...],
    resolution: Resolution | None,
    strides: Strides,
    seed: int,
    device: str | None,
    threads: int | None,
    save_every: float,
    resume: bool,
    as_json: bool,
    **dataset_options: Any,
) -> None:
    """Train MODEL on images, from scratch or from given weights.

    The output folder can be used as a MODEL with its weights by predict, detect, evaluate, export and cost.
    """
    from scalesearch.api import train as train_network
    from scalesearch.counting import describe_fitting
    from scalesearch.machine import busy_cores, cores

    if device and device not in ("cuda", "cpu"):
        raise InputError(f"takes cuda or cpu, got {device}", "--device")
    options = {"epochs": epochs, "batch_size": batch, "learning_rate": lr, "freeze_until": freeze_until}

    def announce(spec: TrainingSpec) -> None:
        if fitting := describe_fitting(spec.native, spec.adapted):
            click.echo(f"{fitting} (--strides native keeps them)", err=True)
        if threads is None and not spec.gpu and (busy := busy_cores()) >= 0.5:
            click.echo(f"other work takes {busy:.1f} of {cores()} cores; --threads 1 may be faster", err=True)

    trained = train_network(
        model,
        data_spec(data_, dataset_options),
        out,
        weights=weights,
        recipe=recipe,
        resolution=resolution,
        strides=strides,
        seed=seed,
        device=device,
        threads=threads,
        raw=raw,
        resume=resume,
        save_every=save_every,
        on_start=announce,
        on_epoch=_EpochPrinter(),
        on_loaded_part=lambda part: report_loaded_part(weights or "", part),
        settings=dict(map(parse_setting, settings)) | {key: v for key, v in options.items() if v is not None},
    )
    summary, folder = trained.summary, trained.folder
    if summary.get("untrained"):
        click.echo(f"{summary['name']} did not train: {summary['untrained']}", err=True)
    if as_json:
        print_json(summary)
    else:
        print_rows([{"name": summary["name"], **summary["cost"], **summary["scores"]}])
        click.echo(f"network {folder}\nreport  {folder}/report.html")


@main.command()
@click.argument("model")
@click.option("--data", "data_", required=True, help="Data set, as for train.")
@data_options
@trained_weights_options
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test")
@resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH, instead of the model's own.")
@weights_classes_option
@names_option
@device_option
@json_option
def evaluate(
    model: str,
    data_: str,
    weights: str | None,
    raw: bool,
    split: str,
    resolution: Resolution | None,
    classes: int | None,
    names: Path | None,
    device: str | None,
    as_json: bool,
    **dataset_options: Any,
) -> None:
    """Score MODEL with trained weights, ours or a library's, on the images of a split.

    Images are prepared as for `predict` or `detect`. Classes are matched by name if both weights and data have
    names. Detectors are scored by COCO's average precision, with the best confidence threshold of each class.
    """
    from scalesearch.api import check_labels, evaluate as score
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    finds_boxes = check_labels(arch)
    trained = open_trained(arch, model, weights, device, raw, names)
    scores = score(trained, data_spec(data_, dataset_options), split)
    if scores.matched_by == "number":
        click.echo("classes are matched by number: network and data have no names in common", err=True)
    row = {"name": arch.name, "split": split, **scores._asdict()}
    if as_json:
        print_json(row)
        return
    by_class = row.pop("by_class", {})
    shares = {key: format_share(value) for key, value in row.items() if isinstance(value, float) and key != "loss"}
    print_rows([row | shares])
    if finds_boxes:
        class_rows = [
            {
                "class": label,
                "ap50": format_share(class_scores["ap50"]),
                "confidence": round(class_scores["threshold"], 3),
                "precision": format_share(class_scores["precision"]),
                "recall": format_share(class_scores["recall"]),
                "f1": format_share(class_scores["f1"]),
            }
            for label, class_scores in by_class.items()
        ]
        print_rows(class_rows)
