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
    data_options,
    device_option,
    json_option,
    raw_option,
    resolution_option,
    settings_option,
    trained_weights_options,
    weights_classes_option,
)
from scalesearch.cli.printing import format_share, parse_setting, print_json, print_rows
from scalesearch.cli.weights import check_classifier, load_trained, report_loaded_part, usable_device
from scalesearch.errors import InputError
from scalesearch.plain_data import PlainMapping

if TYPE_CHECKING:
    from scalesearch.arch import Resolution

SMALL_SIDE = 64  # pixels of a side up to which the default recipe is CIFAR's


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
@settings_option("Change a setting of the recipe, such as epochs=5.")
@resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH. Default: the data's.")
@click.option("--seed", type=int, default=0, help="Seed of the training.")
@click.option("--device", help="cuda or cpu. Default: a GPU if there is one.")
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
    settings: tuple[str, ...],
    resolution: Resolution | None,
    seed: int,
    device: str | None,
    save_every: float,
    resume: bool,
    as_json: bool,
    **dataset_options: Any,
) -> None:
    """Train MODEL on images, from scratch or from given weights.

    The output folder can be used as a MODEL with its weights by predict, detect, evaluate, export and cost.
    """
    from scalesearch.arch import sides
    from scalesearch.data import absolute_source, source
    from scalesearch.machine import cores
    from scalesearch.runs import TrainingSpec, train as train_network
    from scalesearch.study import parse_recipe
    from scalesearch.trials import TASKS
    from scalesearch.zoo import load

    if device and device not in ("cuda", "cpu"):
        raise InputError(f"takes cuda or cpu, got {device}", "--device")
    device = usable_device(device)
    located_data = absolute_source(data_spec(data_, dataset_options))
    facts = source(located_data)
    side = resolution or facts.resolution
    arch = load(model)
    default_recipe = "finetune" if weights else "cifar" if min(sides(side)) <= SMALL_SIDE else "imagenet"
    base = recipe or (TASKS[facts.task].recipe if facts.task in TASKS else "") or default_recipe
    changes = dict(map(parse_setting, settings)) | ({"freeze_until": freeze_until} if freeze_until else {})
    single = TrainingSpec(
        arch,
        source(located_data, side),
        located_data,
        parse_recipe({"base": base, **changes}),
        weights or "",
        seed,
        cores(),
        device == "cuda",
        save_every,
        side,
        raw,
    )
    folder = out or Path("trained") / arch.name
    started, epochs_done = time.monotonic(), list[int]()

    def show(numbers: PlainMapping, epochs: int) -> None:
        if "loaded_part" in numbers:
            report_loaded_part(weights or "", numbers["loaded_part"])
            return
        epochs_done.append(numbers["epoch"])  # a resumed training does not begin with the first epoch
        seconds_left = (time.monotonic() - started) / len(epochs_done) * (epochs - numbers["epoch"])
        scores = "".join(
            f", {key.replace('_', ' ')} {value:.4g}" for key, value in numbers.items() if key.startswith("val_")
        )
        time_left = f"{seconds_left / 60:.0f} min" if seconds_left > 90 else f"{seconds_left:.0f} s"
        remaining = f", about {time_left} left" if seconds_left else ""
        click.echo(f"epoch {numbers['epoch']}/{epochs}: loss {numbers['train_loss']:.4g}{scores}{remaining}", err=True)

    summary = train_network(single, folder, resume, show)
    if as_json:
        print_json(summary)
    else:
        print_rows([{"name": summary["name"], **summary["cost"], **summary["scores"]}])
        click.echo(f"network {folder}")


def kept_splits(model: Path) -> Path | None:
    """Returns the splits that a trained network's folder was made with: its own, or those of the run that it is in."""
    if not model.is_dir():
        return None
    folders = (model, *model.resolve().parents[1:2])  # a network lies in RUN/family/NAME
    return next((path for folder in folders if (path := folder / "splits.parquet").exists()), None)


@main.command()
@click.argument("model")
@click.option("--data", "data_", required=True, help="Data set, as for train.")
@data_options
@trained_weights_options
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test")
@resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH, instead of the model's own.")
@weights_classes_option
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
    device: str | None,
    as_json: bool,
    **dataset_options: Any,
) -> None:
    """Score MODEL with trained weights, ours or a library's, on the images of a split.

    Images are prepared as for `predict` or `detect`. Classes are matched by name if both weights and data have
    names. Detectors are scored by COCO's average precision, with the best confidence threshold of each class.
    """
    from scalesearch.data import examples
    from scalesearch.trials import task_of
    from scalesearch.weights import evaluate as evaluate_classifier, evaluate_boxes
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    finds_boxes = task_of(arch).labels == "boxes"
    if not finds_boxes:
        check_classifier(arch, "evaluate")
    trained = load_trained(arch, model, weights, device, raw)
    split_examples = examples(data_spec(data_, dataset_options), split, kept_splits(Path(model)))
    if split_examples.boxes is not None and not finds_boxes:
        raise InputError("has boxes, and the network takes whole images", split_examples.origin)
    score = evaluate_boxes if finds_boxes else evaluate_classifier
    scores = score(trained.network, split_examples, trained.preparation, trained.classes, trained.device)
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
