"""The training of one network by itself, from scratch or from weights; its folder is a MODEL with
weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict

from scalesearch.arch import Arch, Resolution, Strides, adapt, expand, format_sides
from scalesearch.counting import cost, describe_fitting
from scalesearch.data import Source, drawing_uri
from scalesearch.errors import InputError, Interrupted, WorkFailed, errors_at, format_count, format_seconds
from scalesearch.files import save_text
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.report import HardShot, TrainingInfo, recipe_text, training_page
from scalesearch.runs.folder import claim_folder, describe_damage, trained_arch
from scalesearch.runs.images import prepare_data
from scalesearch.runs.stopping import stop_on_signals
from scalesearch.space import arch_to_yaml
from scalesearch.study import read_class_results
from scalesearch.training import Training
from scalesearch.trials import TASKS, ExecutionInfo, Job, Outcome, Place, Recipe, format_score, task_of
from scalesearch.typed_json import Natural, Number, from_json
from scalesearch.zoo import WEIGHTS

SHOT_SIDE = 96  # pixels of the longer side of images on the page
OnEpoch = Callable[[PlainMapping, int], None]  # takes an epoch's numbers, and the number of epochs


@dataclass(frozen=True)
class TrainingSpec:
    """What a training of one network is made of.

    Attributes:
        arch: The network as it is loaded; it is adapted to the images.
        source: The images.
        data: The user's description of the images, as in a study's `data` section.
        recipe: How the network is trained.
        weights: The file of weights to start from; empty for a training from scratch.
        seed: Of the random numbers.
        threads: CPU threads to compute with.
        gpu: Whether a GPU is used.
        save_every: Seconds between two saves of the training's state.
        resolution: Pixels of a side, or height and width; by default those of the images.
        raw: Whether a file's weights themselves are taken if it holds averages of them too.
        strides: `fitted` lowers the network's earliest strides where images are small; `native` keeps them.
    """

    arch: Arch
    source: Source
    data: PlainDict | str
    recipe: Recipe
    weights: str = ""
    seed: int = 0
    threads: int = 1
    gpu: bool = False
    save_every: float = 30.0
    resolution: Resolution | None = None
    raw: bool = False
    strides: Strides = "fitted"

    @cached_property
    def adapted(self) -> Arch:
        """Returns the network adapted to the images: resolution, classes, channels and strides."""
        return self._adapted(self.strides)

    @property
    def native(self) -> Arch:
        """Returns the network adapted to the images, with the strides of `arch`."""
        return self._adapted("native")

    def _adapted(self, strides: Strides) -> Arch:
        resolution, source = self.resolution or self.source.resolution, self.source
        return adapt(
            self.arch,
            resolution=resolution,
            classes=source.classes,
            channels=source.channels,
            strides=strides,
        )

    @property
    def document(self) -> PlainDict:
        """Returns what identifies the training; the folder of another one is refused."""
        raw = {"raw": True} if self.raw else {}
        return {
            "name": self.arch.name,
            "network": expand(self.adapted).digest,
            "data": self.data,
            "weights": self.weights,
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            **raw,
        }


def train(
    spec: TrainingSpec,
    folder: Path,
    resume: bool = False,
    on_epoch: OnEpoch = lambda numbers, epochs: None,
    on_loaded_part: Callable[[str], None] = lambda part: None,
    on_start: Callable[[], None] = lambda: None,
) -> Summary:
    """Trains one network and writes `arch.yaml`, `weights.safetensors`, `history.jsonl`, `summary.json`, `card.md`
    and `report.html`.

    Args:
        spec: What is trained.
        folder: Where the files are written.
        resume: Whether a training in the folder that was interrupted goes on; a finished one is returned as
            it is.
        on_epoch: Called with the numbers of every epoch.
        on_loaded_part: Called with the part of the weights' file that was loaded, where it has several.
        on_start: Called when all was found right and the training begins.

    Raises:
        InputError: If the folder holds anything else.
        WorkFailed: If the training fails.
        Interrupted: If a signal has ended it, after it was saved.
    """
    task = TASKS.get(spec.source.task) or TASKS["classification"]
    task.check(spec.arch, "model")
    spec.recipe.frozen_levels(len(spec.adapted.stages))
    with errors_at("recipe"):
        task.check_recipe(spec.recipe)
    with claim_folder(folder, spec.document, resume, "training"):
        if (summary := _finished_summary(folder)) is not None:
            return summary
        prepare_data(spec.source, spec.data, folder)
        if spec.weights and not init_weights_path(folder).exists():
            classes = spec.source.class_names
            for loaded_part in save_init_weights(spec.arch, spec.weights, folder, spec.raw, classes, spec.seed):
                on_loaded_part(loaded_part)
        adapted = spec.adapted.with_(**(init_settings(folder) if spec.weights else {}))
        epochs = spec.recipe.epochs
        job = Job(
            "train",
            0,
            adapted.name,
            expand(adapted).digest,
            {},
            spec.seed,
            adapted,
            cost(adapted)._asdict(),
            until=epochs,
            of=epochs,
            recipe=spec.recipe,
            final=True,
            weights=WEIGHTS,
        )
        training = Training(task, spec.source, adapted.sides[0], spec.recipe, init=bool(spec.weights))
        place = Place(folder, spec.threads, spec.gpu, spec.save_every)
        outcome: Outcome = {}
        on_start()
        with stop_on_signals(folder) as stop:
            for report in training.evaluate(job, place):
                if "train_loss" in report.numbers:
                    on_epoch(report.numbers, spec.recipe.epochs)
                outcome = report.outcome or outcome
        if "stopped" in outcome:
            raise Interrupted(stop.signal)
        if "scores" not in outcome:
            raise WorkFailed(f"the training of {spec.arch.name} failed: {outcome['reason']}")
        return _write(spec, adapted, outcome, folder)


class Summary(TypedDict):
    """The content of `summary.json`."""

    name: str
    cost: dict[str, Natural]
    resolution: Natural | tuple[Natural, Natural]
    scores: dict[str, Number]
    weights: str | None
    inherited: Number
    data: PlainDict
    recipe: PlainDict
    seed: Natural
    seconds: Number
    used: ExecutionInfo
    untrained: NotRequired[str]


def _finished_summary(folder: Path) -> Summary | None:
    """Returns the summary of a training that has ended and whose weights are unchanged, else None."""
    try:
        summary = from_json(Summary, (folder / "summary.json").read_bytes())
    except (OSError, InputError):
        return None
    weights = summary["used"].get("weights", {"file": WEIGHTS})
    return summary if weights["file"] == WEIGHTS and not describe_damage(folder, weights) else None


def init_weights_path(folder: Path) -> Path:
    """Returns the file, in a run's folder, with the weights that trainings start from."""
    return folder / "weights" / "init.safetensors"


def init_settings(folder: Path) -> PlainDict:
    """Returns the `norm_eps` and the `padding` that the weights which trainings start from were trained
    with.
    """
    from scalesearch.weights import arch_from_metadata, file_metadata

    arch = arch_from_metadata(file_metadata(init_weights_path(folder)), str(init_weights_path(folder)))
    if arch is None:
        raise InputError("does not say of which network it is", str(init_weights_path(folder)))
    return {"norm_eps": arch.norm_eps, "padding": arch.padding}


def save_init_weights(
    arch: Arch, weights: str, folder: Path, raw: bool = False, classes: Sequence[str] = (), seed: int = 0
) -> list[str]:
    """Writes weights of `arch` into a run's folder, under our names and with their preparation, for trainings to
    start from.

    Tensors that the file lacks, as those of a new head, are left out. Rows of a head are those of classes of the same
    name.

    Args:
        arch: The network that the weights are of.
        weights: Their file, or its name on the Hub.
        folder: The run's folder.
        raw: Whether a file's weights themselves are taken if it holds averages of them too.
        classes: The names of the data's classes; empty if it has none.
        seed: Of the head's rows for classes that the weights do not know.

    Returns:
        What was taken, where it is not simply all of the file: which of several sets of weights or which part of it,
        and which rows of the head.
    """
    from scalesearch.files import save_tensors
    from scalesearch.network import build
    from scalesearch.weights import class_names_of, head_rows, load_weights, local_file, preparation_of

    model, file = build(arch), local_file(weights)
    library = load_weights(model, file, replace_head=True, raw=raw)
    prepared = preparation_of(model.weights_arch.with_(resolution=arch.resolution), library, file)._asdict()
    path = init_weights_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value for key, value in model.state_dict().items() if key not in model.fresh}
    rows = head_rows(model, class_names_of(model.weights_arch, library, file), classes, seed)
    tensors |= {key: tensor for key, tensor in rows.tensors.items() if key in tensors}
    save_tensors(tensors, path, {"preparation": json.dumps(prepared), "arch": json.dumps(model.arch.to_dict())})
    return [text for text in (model.loaded_part, rows.origin if rows.tensors else "") if text]


def _write(spec: TrainingSpec, arch: Arch, outcome: Outcome, folder: Path) -> Summary:
    source, scores = spec.source, outcome["scores"]
    summary: Summary = {
        "name": arch.name,
        "cost": cost(arch)._asdict(),
        "resolution": arch.resolution,
        "scores": scores,
        "weights": spec.weights or None,
        "inherited": outcome["inherited"],
        "data": {
            "name": source.name,
            "origin": source.origin,
            "digest": source.digest,
            "images": dict(source.sizes),
            "classes": list(source.class_names) or source.classes,
        },
        "recipe": asdict(spec.recipe),
        "seed": spec.seed,
        "seconds": outcome["seconds"],
        "used": outcome["used"],
        "untrained": outcome.get("untrained", ""),
    }
    save_text(arch_to_yaml(trained_arch(folder / WEIGHTS, arch)), folder / "arch.yaml")
    save_text("".join(json.dumps(row) + "\n" for row in outcome["history"]), folder / "history.jsonl")
    save_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", folder / "summary.json")
    save_text(_card(spec, arch, summary), folder / "card.md")
    save_text(training_page(_page_info(spec, arch, summary, outcome["history"], folder)), folder / "report.html")
    for name in ("checkpoints", "weights"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return summary


def _page_info(
    spec: TrainingSpec, arch: Arch, summary: Summary, history: Sequence[PlainDict], folder: Path
) -> TrainingInfo:
    """Returns what the training's page shows: its curves, its results class by class, and images."""
    from scalesearch.network import build
    from scalesearch.training import Normalisation, hardest_images, training_batch
    from scalesearch.weights import load_weights, preparation_of

    task = task_of(arch)
    tested, scores = task.tested.key, summary["scores"]
    score = f"{format_score(scores[tested], task.percent)} test {task.score}" if tested in scores else "trained"
    images = format_count(spec.source.sizes["train"], "image")
    lead = f"{score} after {format_count(summary['used']['epochs'], 'epoch')} of {images} of {spec.source.name}."
    results = next(iter(read_class_results(folder, "train", [arch.name])), None)
    hard: list[HardShot] = []
    device = "cuda" if spec.gpu else "cpu"
    if task.labels == "classes" and spec.source.sizes.get("test"):
        network = build(arch)
        library = load_weights(network, folder / WEIGHTS)
        prepared = preparation_of(network.arch, library, folder / WEIGHTS)
        names = spec.source.class_names or tuple(map(str, range(spec.source.classes)))
        found = hardest_images(network, spec.source, Normalisation(prepared.mean, prepared.std), device)
        hard = [
            HardShot(drawing_uri(pixels, (), SHOT_SIDE), names[actual], names[predicted], probability)
            for pixels, actual, predicted, probability in found
        ]
    batch = training_batch(spec.source, arch, spec.recipe, task, spec.seed)
    facts = [
        ("data", f"{spec.source.name}: {spec.source.origin}"),
        ("start", f"weights {spec.weights}" if spec.weights else "from nothing"),
        ("recipe", recipe_text(asdict(spec.recipe), spec.source.mirror)),
        ("seed", str(spec.seed)),
        ("time", format_seconds(max(1.0, summary["seconds"]))),
        ("cost", f"{summary['cost']['macs']:,} MACs, {summary['cost']['params']:,} parameters"),
    ]
    shots = [drawing_uri(pixels, (), SHOT_SIDE) for pixels in batch]
    untrained = summary.get("untrained", "")
    return TrainingInfo(
        arch.name, lead, history, facts, task.percent, task.searched.key, results, shots, hard, untrained
    )


def _card(spec: TrainingSpec, arch: Arch, summary: Summary) -> str:
    counts, source, recipe = summary["cost"], spec.source, spec.recipe
    scores = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in summary["scores"].items())
    from_weights = f"from {spec.weights} ({summary['inherited']:.0%} of its parameters)"
    start = from_weights if spec.weights else "from nothing"
    commands = (*task_of(arch).card_commands, "export . --to onnx -o model.onnx")
    fitting = describe_fitting(spec.native, arch)
    untrained = f"The network did not train: {summary['untrained']}.\n\n" if summary.get("untrained") else ""
    fitted = f"Strides are fitted to the images. {fitting}.\n\n" if fitting else ""
    command_line = " · ".join(f"`scalesearch {command}`" for command in commands)
    return f"""# {arch.name}

Trained on {source.name} ({source.origin}), {format_count(source.sizes["train"], "image")} of
{format_count(source.classes, "class")}, {start}, for
{summary["used"]["epochs"]} of {format_count(recipe.epochs, "epoch")}, seed {spec.seed}.

| | |
|---|---|
| resolution | {format_sides(arch.resolution)}, {arch.channels} channels |
| parameters | {counts["params"]:,} |
| MACs (multiply-adds, one image) | {counts["macs"]:,} |
{scores}

{untrained}{fitted}{command_line}
"""
