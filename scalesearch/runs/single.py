"""One network trained by itself, from nothing or from weights: a folder that is a MODEL with its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from typing_extensions import TypedDict

from scalesearch.arch import Arch, Resolution, adapt, expand, format_sides
from scalesearch.counting import cost
from scalesearch.data import Source
from scalesearch.errors import InputError, Interrupted, WorkFailed, inside, numbered
from scalesearch.files import save_text
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.runs.folder import claimed, damage, trained_arch
from scalesearch.runs.images import keep_data
from scalesearch.runs.stopping import stopping
from scalesearch.space import arch_to_yaml
from scalesearch.training import Training
from scalesearch.trials import TASKS, ExecutionInfo, Job, Outcome, Place, Recipe, task_of
from scalesearch.typed_json import Natural, Number, from_json
from scalesearch.zoo import WEIGHTS

OnEpoch = Callable[[PlainMapping, int], None]  # an epoch's numbers, and how many epochs there are


@dataclass(frozen=True)
class Single:
    """What is trained: a network on images under a recipe; `weights` is where it starts from, `data` what a person said
    of the images. The network is brought to them; weights are loaded as it was.
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
    raw: bool = False  # of weights that lie beside averages of them, themselves

    @cached_property
    def adapted(self) -> Arch:
        """The network brought to the images."""
        return adapt(
            self.arch,
            resolution=self.resolution or self.source.resolution,
            classes=self.source.classes,
            channels=self.source.channels,
        )

    @property
    def document(self) -> PlainDict:
        """What names it: a folder that holds another one is left alone."""
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
    single: Single, folder: Path, resume: bool = False, on_epoch: OnEpoch = lambda numbers, epochs: None
) -> Summary:
    """Train and leave `arch.yaml`, `weights.safetensors`, `history.jsonl`, `summary.json` and `card.md` in a folder.

    With `resume` it goes on where a kill left it. Raises `InputError` where the folder holds anything else,
    `WorkFailed` where training fails, `Interrupted` where a signal has ended it, saved.
    """
    task = TASKS.get(single.source.task) or TASKS["classification"]
    task.check(single.arch, "model")
    single.recipe.frozen_levels(len(single.adapted.stages))
    with inside("recipe"):
        task.check_recipe(single.recipe)
    with claimed(folder, single.document, resume, "training"):
        if (summary := _finished(folder)) is not None:
            return summary
        keep_data(single.source, single.data, folder)
        if single.weights and not initial(folder).exists():
            loaded_part = begin(single.arch, single.weights, folder, single.raw)
            if loaded_part:
                on_epoch({"loaded_part": loaded_part}, single.recipe.epochs)
        adapted = single.adapted.with_(**(settings_of(folder) if single.weights else {}))
        epochs = single.recipe.epochs
        job = Job(
            "train",
            0,
            adapted.name,
            expand(adapted).digest,
            {},
            single.seed,
            adapted,
            cost(adapted)._asdict(),
            until=epochs,
            of=epochs,
            recipe=single.recipe,
            final=True,
            weights=WEIGHTS,
        )
        training = Training(task, single.source, adapted.sides[0], single.recipe, init=bool(single.weights))
        place = Place(folder, single.threads, single.gpu, single.save_every)
        outcome: Outcome = {}
        with stopping(folder) as stop:
            for report in training.evaluate(job, place):
                if "train_loss" in report.numbers:
                    on_epoch(report.numbers, single.recipe.epochs)
                outcome = report.outcome or outcome
        if "stopped" in outcome:
            raise Interrupted(stop.signal)
        if "scores" not in outcome:
            raise WorkFailed(f"the training of {single.arch.name} failed: {outcome['reason']}")
        return _write(single, adapted, outcome, folder)


class Summary(TypedDict):
    """What stands in `summary.json`."""

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


def _finished(folder: Path) -> Summary | None:
    """The summary of a training that came to its end and whose weights are as it left them."""
    try:
        summary = from_json(Summary, (folder / "summary.json").read_bytes())
    except (OSError, InputError):
        return None
    weights = summary["used"].get("weights", {"file": WEIGHTS})
    return summary if weights["file"] == WEIGHTS and not damage(folder, weights) else None


def initial(folder: Path) -> Path:
    return folder / "weights" / "init.safetensors"


def settings_of(folder: Path) -> PlainDict:
    """The norms' eps and the padding that the weights which trainings start from were trained with."""
    from scalesearch.weights import arch_from_metadata, file_metadata

    arch = arch_from_metadata(file_metadata(initial(folder)), str(initial(folder)))
    if arch is None:
        raise InputError("does not say of which network it is", str(initial(folder)))
    return {"norm_eps": arch.norm_eps, "padding": arch.padding}


def begin(arch: Arch, weights: str, folder: Path, raw: bool = False) -> str:
    """Lay weights of `arch` down under our names, with their preparation: what a training starts from, but for what is
    new, as a head; which of a file's several were taken, or which part of it, comes back."""
    from scalesearch.files import save_tensors
    from scalesearch.network import build
    from scalesearch.weights import load_weights, local_file, preparation_of

    model, file = build(arch), local_file(weights)
    library = load_weights(model, file, replace_head=True, raw=raw)
    prepared = preparation_of(model.weights_arch.with_(resolution=arch.resolution), library, file)._asdict()
    path = initial(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value for key, value in model.state_dict().items() if key not in model.fresh}
    save_tensors(tensors, path, {"preparation": json.dumps(prepared), "arch": json.dumps(model.arch.to_dict())})
    return model.loaded_part


def _write(single: Single, arch: Arch, outcome: Outcome, folder: Path) -> Summary:
    source, scores = single.source, outcome["scores"]
    summary: Summary = {
        "name": arch.name,
        "cost": cost(arch)._asdict(),
        "resolution": arch.resolution,
        "scores": scores,
        "weights": single.weights or None,
        "inherited": outcome["inherited"],
        "data": {
            "name": source.name,
            "origin": source.origin,
            "digest": source.digest,
            "images": dict(source.sizes),
            "classes": list(source.class_names) or source.classes,
        },
        "recipe": asdict(single.recipe),
        "seed": single.seed,
        "seconds": outcome["seconds"],
        "used": outcome["used"],
    }
    save_text(arch_to_yaml(trained_arch(folder / WEIGHTS, arch)), folder / "arch.yaml")
    save_text("".join(json.dumps(row) + "\n" for row in outcome["history"]), folder / "history.jsonl")
    save_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", folder / "summary.json")
    save_text(_card(single, arch, summary), folder / "card.md")
    for name in ("checkpoints", "weights"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return summary


def _card(single: Single, arch: Arch, summary: Summary) -> str:
    counted, source, recipe = summary["cost"], single.source, single.recipe
    scores = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in summary["scores"].items())
    part = f"from {single.weights} ({summary['inherited']:.0%} of its parameters)"
    began = part if single.weights else "from nothing"
    commands = (*task_of(arch).card_commands, "export . --to onnx -o model.onnx")
    uses = " · ".join(f"`scalesearch {command}`" for command in commands)
    return f"""# {arch.name}

Trained on {source.name} ({source.origin}), {numbered(source.sizes["train"], "image")} of
{numbered(source.classes, "class")}, {began}, for
{summary["used"]["epochs"]} of {numbered(recipe.epochs, "epoch")}, seed {single.seed}.

| | |
|---|---|
| resolution | {format_sides(arch.resolution)}, {arch.channels} channels |
| parameters | {counted["params"]:,} |
| MACs (multiply-adds, one image) | {counted["macs"]:,} |
{scores}

{uses}
"""
