"""What makes a better recipe: optimisers, tricks, rules that follow the network's size? Trainings side by side.

`SCALESEARCH_DATA=… python benchmarks/recipe.py optimizers` trains networks with AdamW, SGD and Muon for so many steps,
each at the best learning rate, looked for until it lies between two worse ones. `… tricks` trains them under the recipe
`cifar` and under the same with one thing changed. What is done is in `--log`, from which both go on. `… rules` sweeps
the rate over φ = 0 … 3 of one family under rules that take something from the counted graph (fan-in, residual
branches), and says by how much the best rate moves between φ = 0 and the last.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import torch
from torch import nn

import scalesearch as ss
from scalesearch.arch import Arch, adapt, expand, operators as ops
from scalesearch.data import Source, source
from scalesearch.network import Network
from scalesearch.scaling import PRESETS, scale, scale_to
from scalesearch.study.steps.rates import _top
from scalesearch.training import muon
from scalesearch.training.optimizing import build_schedule, rate_factor
from scalesearch.training.trainer import Trainer, TrainingFailed
from scalesearch.trials.recipe import RECIPES, Recipe

FAMILY = Path(__file__).parent.parent / "reports" / "cifar10_phi_cpu.phi0.yaml"
RATES = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the recipe's
MULTIPLES = (0.125, 64.0)  # of an optimiser's usual rate, within which the best is looked for
FAN_IN, BRANCHES = 64, 4  # of a network, or filter, that a rule leaves at the recipe's rate


def by_fan_in(trainer: Trainer) -> None:
    """A weight's rate falls with the root of its fan-in: the share by which it changes is then one for all widths."""
    rows = [
        {**group, "params": [weight], "lr": group["lr"] * math.sqrt(FAN_IN / weight[0].numel())}
        if weight.dim() > 1
        else {**group, "params": [weight]}
        for group in trainer.optimizer.param_groups
        for weight in group["params"]
    ]
    trainer.optimizer = type(trainer.optimizer)(rows, lr=trainer.recipe.learning_rate)


def by_depth(trainer: Trainer) -> None:
    """All rates fall with the root of the number of residual branches."""
    share = math.sqrt(BRANCHES / max(1, len(list(branches(trainer.model)))))
    for group in trainer.optimizer.param_groups:
        group["lr"] *= share


def small_branches(trainer: Trainer) -> None:
    """Residual branches begin as small as the root of their number asks for (Zhang et al. 2019), by their last norm."""
    last = list(branches(trainer.model))
    for norm in last:
        nn.init.constant_(norm.weight, 1 / math.sqrt(len(last)))


def branches(model: Network) -> Iterator[nn.Module]:
    """The last norm of every residual branch."""
    for i, stage in enumerate(expand(model.arch).stages):
        for j, block in enumerate(stage):
            for layer in block.layers:
                if isinstance(layer.op, ops.Add):
                    ends = [end for end in map(block_end(block), layer.inputs) if end is not None]
                    yield from (model.stages[i][j].get_submodule(end) for end in ends[:1])


def block_end(block: Any) -> Callable[[int], str | None]:
    """From a layer back to the norm that it only passes on; None where that is something else."""

    def back(index: int) -> str | None:
        while index >= 0 and isinstance(block.layers[index].op, ops.DropPath):
            index = block.layers[index].inputs[0]
        return block.layers[index].name if index >= 0 and isinstance(block.layers[index].op, ops.Norm) else None

    return back


def slower_rest(trainer: Trainer) -> None:
    """Head, biases and norms learn at a quarter of the rate of the filters."""
    for group in trainer.optimizer.param_groups:
        group["lr"] *= 1.0 if group["matrices"] else 0.25


def few_iterations(trainer: Trainer) -> None:
    """Muon takes three Newton–Schulz iterations in place of five."""
    muon.STEPS = 3


AS_IT_IS = "as it is"
RULES: dict[str, Callable[[Trainer], None]] = {
    AS_IT_IS: lambda trainer: None,
    "rate ∝ 1/√fan-in": by_fan_in,
    "rate ∝ 1/√branches": by_depth,
    "branches begin at 1/√branches": small_branches,
    "head, biases and norms at a quarter of the rate": slower_rest,
    "three Newton–Schulz iterations": few_iterations,
}
CHANGES: dict[str, dict[str, Any]] = {  # of the recipe, one at a time
    "half the rate": {"learning_rate": 0.5},
    "twice the rate": {"learning_rate": 2.0},
    "a cosine after a warm-up over 15 %": {"schedule": "cosine", "warmup": 0.15},
    "statistics of norms not measured again": {"norm_images": 0},
    "no averaged weights": {"ema_span": 0.0},
    "from 60 % of the resolution": {"progressive": 0.6},
    "shifts by 4 pixels, a rectangle erased": {"shift": 0.125, "erase": 0.25},
    "gradients not clipped": {"clip_norm": 0.0},
    "half the batch, twice the steps": {"batch_size": 0.5},
    "SGD at 0.2": {"optimizer": "sgd", "learning_rate": 10.0, "weight_decay": 5e-4, "clip_norm": 5.0},
    "AdamW at 0.006": {"optimizer": "adamw", "learning_rate": 0.3},
}
SCALED_KEYS = "learning_rate", "batch_size"  # changes of these are factors


class Training(NamedTuple):
    """One, as another process takes it."""

    arch: Arch
    data: str
    recipe: Recipe
    seed: int
    rule: str = AS_IT_IS


def trained(one: Training) -> tuple[float, float]:
    """Validation accuracy at the end (0 where the training fails), and its seconds."""
    torch.set_num_threads(1)
    trainer = Trainer(one.arch, source(one.data), one.recipe, one.seed)
    RULES[one.rule](trainer)
    for group in trainer.optimizer.param_groups:
        group["lr"] /= rate_factor(0, trainer.steps, one.recipe.warmup, one.recipe.schedule)  # of the schedule before
        group.pop("initial_lr", None)
    trainer.schedule = build_schedule(trainer.optimizer, one.recipe, trainer.steps, len(trainer.arch.stages) + 2)
    try:
        while not trainer.done:
            trainer.run_epoch()
    except TrainingFailed:
        return 0.0, trainer.seconds
    return trainer.scores("val")["val_accuracy"], trainer.seconds


def all_of(trainings: Iterable[Training], processes: int) -> dict[Training, tuple[float, float]]:
    """Every training's outcome; a dot for each that ends."""
    wanted, found = list(trainings), {}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for training, outcome in zip(wanted, pool.imap(trained, wanted, chunksize=1), strict=True):
            found[training] = outcome
            print(".", end="", flush=True)
    print()
    return found


def interval(scores: list[float]) -> str:
    spread = f" ± {stdev(scores) * 100:.1f}" if len(scores) > 1 else ""
    return f"{mean(scores) * 100:.1f}{spread}"


class Done:
    """Trainings by key with their accuracy and seconds, kept in a file of JSON lines from which a sweep goes on."""

    def __init__(self, path: Path, processes: int):
        self.path, self.processes = path, processes
        lines = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
        self.found = {tuple(line["key"]): (line["score"], line["cpu"]) for line in lines}

    def fill(self, wanted: dict[tuple, Training]) -> None:
        """Runs those that are not there; a dot for each that ends."""
        missing = {key: training for key, training in wanted.items() if key not in self.found}
        with multiprocessing.get_context("spawn").Pool(self.processes) as pool, open(self.path, "a") as file:
            outcomes = pool.imap(trained, missing.values(), chunksize=1)
            for key, (score, seconds) in zip(missing, outcomes, strict=True):
                self.found[key] = score, seconds
                file.write(json.dumps({"key": key, "score": score, "cpu": round(seconds, 1)}) + "\n")
                file.flush()
                print(".", end="", flush=True)


def optimizers(data: Source, recipe: Recipe, networks: list[str], steps: int, seeds: int, done: Done) -> None:
    """Doubles or halves every optimiser's rate until the best lies inside; then trains the other seeds at that rate."""
    share = min(1.0, steps * recipe.batch_size / recipe.epochs / data.sizes["train"])
    adamw = replace(recipe, data_share=share, optimizer="adamw", learning_rate=3e-3, weight_decay=0.05, clip_norm=1.0)
    sgd = replace(adamw, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4, clip_norm=5.0)
    ways = {"adamw": adamw, "sgd": sgd, "muon": replace(adamw, optimizer="muon")}
    side = data.size or data.resolution
    archs = {
        name: adapt(ss.load(name), resolution=side, classes=data.classes, channels=data.channels) for name in networks
    }
    cells = [(name, way) for name in networks for way in ways]

    def key(cell: tuple[str, str], multiple: float, seed: int) -> tuple:
        return cell[1], multiple, Path(cell[0]).stem, seed, steps, recipe.batch_size

    def rate(cell: tuple[str, str], multiple: float) -> float:
        return ways[cell[1]].learning_rate * multiple

    def fill(wanted: Iterable[tuple[tuple[str, str], float, int]]) -> None:
        recipes = {(cell, m, seed): replace(ways[cell[1]], learning_rate=rate(cell, m)) for cell, m, seed in wanted}
        done.fill({key(*each): Training(archs[each[0][0]], data.name, r, each[2]) for each, r in recipes.items()})

    def best(cell: tuple[str, str]) -> float:
        return max(tried[cell], key=lambda multiple: done.found[key(cell, multiple, 0)][0])

    tried = {cell: [2.0, 4.0, 8.0] for cell in cells}
    open_cells = cells
    while open_cells:
        fill((cell, multiple, 0) for cell in open_cells for multiple in tried[cell])
        open_cells = [cell for cell in open_cells if _widen(tried[cell], best(cell))]
    fill((cell, best(cell), seed) for cell in cells for seed in range(1, seeds))
    print(f"\n\n{steps:,} steps of {recipe.batch_size}\n")
    print("| network | optimiser | rates tried | best | accuracy, % | seconds |")
    print("|---|---|---|---|---|---|")
    for cell in cells:
        outcomes = [done.found[key(cell, best(cell), seed)] for seed in range(seeds)]
        accuracy, seconds = interval([score for score, _ in outcomes]), mean(seconds for _, seconds in outcomes)
        low, high = rate(cell, tried[cell][0]), rate(cell, tried[cell][-1])
        row = f"{low:g} to {high:g} | {rate(cell, best(cell)):g} | {accuracy} | {seconds:.0f}"
        print(f"| {Path(cell[0]).stem} | {cell[1]} | {row} |")


def _widen(multiples: list[float], best: float) -> bool:
    """Adds a multiple beyond the best where that is an end; returns False where the best lies inside."""
    if best == multiples[0] > min(MULTIPLES):
        multiples.insert(0, best / 2)
    elif best == multiples[-1] < max(MULTIPLES):
        multiples.append(best * 2)
    else:
        return False
    return True


def tricks(data: Source, recipe: Recipe, networks: list[str], steps: int, seeds: int, done: Done) -> None:
    """Trains every network under the recipe, and with one thing changed at a time; prints the gain of each."""
    side = data.size or data.resolution
    archs = {
        name: adapt(ss.load(name), resolution=side, classes=data.classes, channels=data.channels) for name in networks
    }

    def changed(name: str) -> tuple[Recipe, str]:
        changes = {
            key: type(getattr(recipe, key))(getattr(recipe, key) * value) if key in SCALED_KEYS else value
            for key, value in CHANGES.get(name, {}).items()
        }
        whole = replace(recipe, **changes)
        epochs = max(1, math.ceil(steps * recipe.batch_size / data.sizes["train"]))
        share = min(1.0, steps * recipe.batch_size / epochs / data.sizes["train"])
        return replace(whole, epochs=epochs, data_share=share), name if name in RULES else AS_IT_IS

    names = [AS_IT_IS, *CHANGES, *(name for name in RULES if name != AS_IT_IS)]
    keys = {
        (trick, network, seed): (trick, Path(network).stem, seed, steps, recipe.batch_size, recipe.learning_rate)
        for trick in names
        for network in networks
        for seed in range(seeds)
    }
    done.fill(
        {
            key: Training(archs[network], data.name, changed(trick)[0], seed, changed(trick)[1])
            for (trick, network, seed), key in keys.items()
        }
    )
    print(f"\n\n{steps:,} steps of {recipe.batch_size}\n")
    print(f"| what | {' | '.join(Path(network).stem for network in networks)} | seconds |")
    print("|---" * (len(networks) + 2) + "|")
    for trick in names:
        found = {n: [done.found[keys[trick, n, seed]] for seed in range(seeds)] for n in networks}
        plain = {n: [done.found[keys[AS_IT_IS, n, seed]] for seed in range(seeds)] for n in networks}
        cells = [
            interval([score for score, _ in found[n]])
            if trick == AS_IT_IS
            else f"{100 * (mean(s for s, _ in found[n]) - mean(s for s, _ in plain[n])):+.1f}"
            for n in networks
        ]
        seconds = mean(cpu for outcomes in found.values() for _, cpu in outcomes)
        print(f"| {trick} | {' | '.join(cells)} | {seconds:.0f} |")


def rules(
    data: Source, recipe: Recipe, side: int, rates: list[float], chosen: list[str], seeds: int, processes: int
) -> None:
    """Of each rule: the best rate at every φ and how far it moves, and the accuracy there."""
    small = adapt(ss.load(str(FAMILY)), resolution=side, classes=data.classes, channels=data.channels)
    base = scale(small, depth=2, width=0.5)
    family = [
        base,
        *(scale_to(base, round(ss.cost(base).macs * 2**phi), PRESETS["efficientnet"], 0.03).arch for phi in (1, 2, 3)),
    ]

    def one(arch, rule, rate, seed):
        return Training(arch, data.name, replace(recipe, learning_rate=recipe.learning_rate * rate), seed, rule)

    found = all_of(
        (
            one(arch, rule, rate, seed)
            for rule in chosen
            for arch in family[::-1]
            for rate in rates
            for seed in range(seeds)
        ),
        processes,
    )
    print(f"\n| rule | {' | '.join(f'φ = {phi}: best rate, accuracy' for phi in range(len(family)))} | moves by |")
    print("|---" * (len(family) + 2) + "|")
    for rule in chosen:
        cells, tops = [], []
        for arch in family:
            scores = [(rate, mean(found[one(arch, rule, rate, seed)][0] for seed in range(seeds))) for rate in rates]
            best = max(range(len(rates)), key=lambda i: scores[i][1])
            top = _top(scores, best)
            tops.append(math.log2(rates[best]) if top is None else top)
            cells.append(f"×{2 ** tops[-1]:.2g}{' (an end)' if top is None else ''}, {scores[best][1]:.1%}")
        print(f"| {rule} | {' | '.join(cells)} | ×{2 ** (max(tops) - min(tops)):.2g} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["optimizers", "tricks", "rules"])
    parser.add_argument("--data", default="cifar10", help="a name, a path, a Hub id")
    parser.add_argument("--recipe", default="cifar", choices=RECIPES, help="what all else is taken from")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.04, help="of the training images, of `rules`")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=[str(FAMILY), "shufflenet_v2_x0_5_cifar", "resnet20_cifar"])
    parser.add_argument("--steps", type=int, default=1_000, help="of a training of `optimizers` and `tricks`")
    parser.add_argument("--batch", type=int, default=64, help="of `optimizers` and `tricks`")
    parser.add_argument("--log", type=Path, default=Path("reports") / "recipe.jsonl", help="of both")
    parser.add_argument("--rules", nargs="+", type=int, default=range(len(RULES)), help="by number, from 0")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="of `rules`, times the recipe's")
    parser.add_argument("--side", type=int, default=16, help="resolution of φ = 0 of `rules`, in pixels")
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time, a thread each")
    payload = parser.parse_args()
    recipe = replace(RECIPES[payload.recipe], epochs=payload.epochs, data_share=payload.share, batch_size=32)
    data = source(payload.data)
    print(f"{data.name}: {payload.share:.0%} of the training images, {payload.epochs} epochs, recipe {payload.recipe}")
    if payload.what != "rules":
        recipe = replace(recipe, batch_size=payload.batch)
        done = Done(payload.log, payload.processes)
        run = optimizers if payload.what == "optimizers" else tricks
        run(data, recipe, payload.networks, payload.steps, payload.seeds, done)
    else:
        rules(
            data,
            recipe,
            payload.side,
            payload.rates,
            [list(RULES)[i] for i in payload.rules],
            payload.seeds,
            payload.processes,
        )


if __name__ == "__main__":
    main()
