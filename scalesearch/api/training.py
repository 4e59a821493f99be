"""The training of one network by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from scalesearch.api.trained import DATA_WANTED, MODEL_WANTED, Trained, load_trained, usable_device
from scalesearch.arch import Arch, Resolution, Strides, sides
from scalesearch.data import absolute_source, source
from scalesearch.errors import check_kind
from scalesearch.machine import cores
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.runs import Summary, TrainingSpec, train as train_network
from scalesearch.signature import Rule, Sides, check_arguments, fields_of
from scalesearch.study import parse_recipe
from scalesearch.trials import TASKS
from scalesearch.zoo import load

MOST_THREADS = 1_024
SMALL_SIDE = 64  # pixels of a side up to which the default recipe is CIFAR's


@dataclass(frozen=True)
class Training:
    """The outcome of `train`.

    Attributes:
        folder: The folder of the network, which every function here takes as a model.
        summary: The content of its `summary.json`.
    """

    folder: Path
    summary: Summary

    @property
    def scores(self) -> dict[str, float]:
        """Returns the scores by name: shares in [0, 1], losses in nats."""
        return dict(self.summary["scores"])

    @cached_property
    def history(self) -> list[PlainDict]:
        """Returns the numbers of every epoch: its losses, and the scores of those that were validated."""
        return [json.loads(line) for line in (self.folder / "history.jsonl").read_text("utf-8").splitlines()]

    def trained(self, device: str | None = None) -> Trained:
        """Returns the network with its weights."""
        return load_trained(self.folder, device=device)

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in self.scores.items())
        return f"<Training {self.summary['name']} in {self.folder}: {scores}>"


def default_recipe(task: str, resolution: Resolution, from_weights: bool) -> str:
    """Returns the name of the recipe that a training has if none is named.

    It is the task's own; else `finetune` from weights, `cifar` for images of up to 64 pixels, and `imagenet`.
    """
    own = TASKS[task].recipe if task in TASKS else ""
    return own or ("finetune" if from_weights else "cifar" if min(sides(resolution)) <= SMALL_SIDE else "imagenet")


def _own_arguments(
    *,
    resolution: Sides | None,
    strides: Literal["fitted", "native"],
    seed: Annotated[int, Rule(low=0, high=2**31)],
    device: Literal["cuda", "cpu"] | None,
    threads: Annotated[int, Rule(low=1, high=MOST_THREADS)] | None,
    save_every: Annotated[float, Rule(low=0, high=1e6)],
) -> None:
    """Declares arguments of `train` with their rules."""


def train(
    model: str | Path | Arch,
    data: str | Path | PlainMapping,
    out: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    recipe: str | None = None,
    resolution: Resolution | None = None,
    strides: Strides = "fitted",
    seed: int = 0,
    device: str | None = None,
    threads: int | None = None,
    raw: bool = False,
    resume: bool = False,
    save_every: float = 30.0,
    on_start: Callable[[TrainingSpec], None] = lambda spec: None,
    on_epoch: Callable[[PlainMapping, int], None] = lambda numbers, epochs: None,
    on_loaded_part: Callable[[str], None] = lambda part: None,
    settings: PlainMapping | None = None,
    **changes: str | float | None,
) -> Training:
    """Trains one network on images, from nothing or from weights, and leaves it in a folder.

    Args:
        model: A name of the zoo, an architecture or its file, a Darknet .cfg; its head gets the data's classes.
        data: A path or a name, or a mapping as a study's `data` section.
        out: The folder of the network; `trained/NAME` by default.
        weights: A file of weights to start from, or `hf_hub:OWNER/NAME`.
        recipe: The recipe's name; see `default_recipe`.
        resolution: Input resolution in pixels, a side or height and width; the data's by default.
        strides: `fitted` lowers the earliest strides where images are small; `native` keeps them.
        seed: The seed of all random numbers.
        device: `cuda` or `cpu`; by default a GPU if there is one.
        threads: CPU threads; by default all cores that the process may use.
        raw: Start from raw weights where the file has averaged ones too.
        resume: Whether a training in the folder that was interrupted goes on.
        save_every: Seconds between two saves of the training's state.
        on_start: Called when all was found right and the training begins.
        on_epoch: Called with the numbers of every epoch, and how many there are to be.
        on_loaded_part: Called with the part of the weights' file that was loaded, where it has several.
        settings: Changes of the recipe as a mapping.
        changes: Changes of the recipe by name, such as `epochs=10` and `learning_rate=0.01`.

    Raises:
        InputError: If an argument cannot be used, or the folder holds anything else.
        WorkFailed: If the training fails.
        Interrupted: If a signal has ended it, after it was saved.

    Example: `ss.train("mobilenet_v3_small", "photos/", epochs=10).scores`
    """
    check_kind(model, (str, Path, Arch), MODEL_WANTED, "model")
    check_kind(data, (str, Path, Mapping), DATA_WANTED, "data")
    if out is not None:
        check_kind(out, (str, Path), "a path", "out")
    if settings is not None:
        check_kind(settings, Mapping, "a mapping of settings of the recipe", "settings")
    own = {"resolution": resolution, "strides": strides, "seed": seed, "device": device, "threads": threads}
    check_arguments("a training", fields_of(_own_arguments), own | {"save_every": save_every})
    config: PlainDict | str = {**data} if isinstance(data, Mapping) else str(data)
    located_data = absolute_source(config)
    facts = source(located_data)
    side = facts.resolution if resolution is None else resolution
    base = recipe or default_recipe(facts.task, side, weights is not None)
    spec = TrainingSpec(
        model if isinstance(model, Arch) else load(model),
        source(located_data, side),
        located_data,
        parse_recipe({"base": base, **(settings or {}), **changes}),
        weights=str(weights or ""),
        seed=seed,
        threads=cores() if threads is None else threads,
        gpu=usable_device(device) == "cuda",
        save_every=save_every,
        resolution=side,
        raw=raw,
        strides=strides,
    )
    folder = Path(out) if out else Path("trained") / spec.arch.name
    return Training(
        folder, train_network(spec, folder, resume, on_epoch, on_loaded_part, on_start=lambda: on_start(spec))
    )
