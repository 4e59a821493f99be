"""Commands that train one network, and score one that is trained."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.data import data_options, told_data
from scalesearch.cli.group import main
from scalesearch.cli.printing import SIDES, guarded_command, json_option, print_rows, raw_option, setting, share
from scalesearch.cli.weights import check_classifier, check_device, own_weights, ready, say_taken
from scalesearch.errors import InputError

SMALL = 64  # pixels up to which images are trained on as CIFAR's are


@main.command()
@click.argument("model")
@click.option(
    "--data",
    "data_",
    required=True,
    help="A folder of class folders, a table, an archive, a name, hf:…; "
    "photos with boxes as `scalesearch data` takes them.",
)
@data_options
@click.option("--out", type=click.Path(path_type=Path), help="The network's folder; trained/NAME without it.")
@click.option(
    "--weights",
    help="To start from: our own, a library's, or hf_hub:OWNER/NAME; the head is replaced where classes differ.",
)
@raw_option
@click.option("--freeze-until", metavar="STAGE", help="Stages up to this one (stem, stages.2) don't learn.")
@click.option(
    "--recipe",
    help="quick, cifar, imagenet, finetune or detect; detect for boxes, finetune with weights, "
    "else by the images' size.",
)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a key of the recipe, as epochs=5.")
@click.option("--resolution", type=SIDES, help="Side of the input in pixels, or HEIGHTxWIDTH; the data's without it.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", help="cuda or cpu; a GPU where there is one.")
@click.option(
    "--save-every",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds after which it is saved on the way, for --resume.",
)
@click.option("--resume", is_flag=True, help="Go on with the training in the folder.")
@json_option
@guarded_command
def train(
    model: str,
    data_: str,
    out: Path | None,
    weights: str | None,
    raw: bool,
    freeze_until: str | None,
    recipe: str | None,
    settings: tuple[str, ...],
    resolution: Any,
    seed: int,
    device: str | None,
    save_every: float,
    resume: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Train MODEL on images, from nothing or from weights.

    The folder it leaves is a MODEL with its weights: predict, evaluate, export and cost take it.
    """
    import torch

    from scalesearch.arch import sides
    from scalesearch.data import located, source
    from scalesearch.machine import cores
    from scalesearch.runs import Single, train as trained
    from scalesearch.study import recipe_of
    from scalesearch.trials import TASKS
    from scalesearch.zoo import load

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cuda", "cpu"):
        raise InputError(f"takes cuda or cpu, got {device}", "--device")
    check_device(device)
    told = located(told_data(data_, said))
    facts = source(told)
    side = resolution or facts.resolution
    arch = load(model)
    usual = "finetune" if weights else "cifar" if min(sides(side)) <= SMALL else "imagenet"
    base = recipe or (TASKS[facts.task].recipe if facts.task in TASKS else "") or usual
    changes = dict(map(setting, settings)) | ({"freeze_until": freeze_until} if freeze_until else {})
    single = Single(
        arch,
        source(told, side),
        told,
        recipe_of({"base": base, **changes}),
        weights or "",
        seed,
        cores(),
        device == "cuda",
        save_every,
        side,
        raw,
    )
    folder = out or Path("trained") / arch.name
    began, done = time.monotonic(), list[int]()

    def show(numbers: Mapping[str, Any], epochs: int) -> None:
        if "taken" in numbers:
            say_taken(weights or "", numbers["taken"])
            return
        done.append(numbers["epoch"])  # after a kill not from the first one on
        left = (time.monotonic() - began) / len(done) * (epochs - numbers["epoch"])
        scores = "".join(
            f", {key.replace('_', ' ')} {value:.4g}" for key, value in numbers.items() if key.startswith("val_")
        )
        remaining = f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left" if left else ""
        click.echo(f"epoch {numbers['epoch']}/{epochs}: loss {numbers['train_loss']:.4g}{scores}{remaining}", err=True)

    summary = trained(single, folder, resume, show)
    if as_json:
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    print_rows([{"name": summary["name"], **summary["cost"], **summary["scores"]}], False)
    click.echo(f"network {folder}")


def kept_splits(model: Path) -> Path | None:
    """Returns the splits that a trained network's folder was made with: its own, or those of the run that it is in."""
    if not model.is_dir():
        return None
    folders = (model, *model.resolve().parents[1:2])  # a network lies in RUN/family/NAME
    return next((path for folder in folders if (path := folder / "splits.parquet").exists()), None)


@main.command()
@click.argument("model")
@click.option("--data", "data_", required=True, help="As for train.")
@data_options
@click.option(
    "--weights",
    help="A .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME; of a trained network's folder, its own.",
)
@raw_option
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--resolution", type=SIDES, help="Side of the input in pixels, or HEIGHTxWIDTH, not the model's own.")
@click.option("--classes", type=click.IntRange(1, 1_000_000), help="How many the weights know, where not the model's.")
@click.option("--device", help="cuda or cpu; a GPU where there is one.")
@json_option
@guarded_command
def evaluate(
    model: str,
    data_: str,
    weights: str | None,
    raw: bool,
    split: str,
    resolution: Any,
    classes: int | None,
    device: str | None,
    as_json: bool,
    **said: Any,
) -> None:
    """How well MODEL with trained weights, ours or a library's, knows the images of a split.

    Images are prepared as for `predict` or `detect`. Classes are matched by their names where weights and data have
    them. Of detectors it is COCO's average precision, and the confidence that suits each class best.
    """
    from scalesearch.data import examples
    from scalesearch.trials import task_of
    from scalesearch.weights import evaluate as evaluated, evaluate_boxes
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    finds_boxes = task_of(arch).labels == "boxes"
    if not finds_boxes:
        check_classifier(arch, "evaluate")
    given = ready(arch, own_weights(model, weights), device, raw)
    shown = examples(told_data(data_, said), split, kept_splits(Path(model)))
    if finds_boxes:
        _say_boxes(
            arch.name,
            split,
            evaluate_boxes(given.network, shown, given.preparation, given.classes, given.device),
            as_json,
        )
        return
    if shown.boxes is not None:
        raise InputError("has boxes, and the network takes whole images", shown.origin)
    found = evaluated(given.network, shown, given.preparation, given.classes, given.device)
    row = {"name": arch.name, "split": split, **found._asdict()}
    if as_json:
        click.echo(json.dumps(row, indent=2))
    else:
        print_rows([row | {"top1": share(found.top1), "top5": share(found.top5)}], False)


def _say_boxes(name: str, split: str, found: Any, as_json: bool) -> None:
    row = {"name": name, "split": split, **found._asdict()}
    if as_json:
        click.echo(json.dumps(row, indent=2, ensure_ascii=False))
        return
    shares = {key: share(value) for key, value in row.items() if isinstance(value, float)}
    print_rows([{key: value for key, value in (row | shares).items() if key != "by_class"}], False)
    print_rows(
        [
            {
                "class": label,
                "ap50": share(told["ap50"]),
                "confidence": round(told["threshold"], 3),
                "precision": share(told["precision"]),
                "recall": share(told["recall"]),
                "f1": share(told["f1"]),
            }
            for label, told in found.by_class.items()
        ],
        False,
    )
