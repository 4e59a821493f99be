"""Commands about devices: measured latency, and profiles that predict it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scalesearch.cli.group import main
from scalesearch.cli.options import PATH, json_option, models_argument, resolution_option, seed_option
from scalesearch.cli.printing import print_rows
from scalesearch.errors import InputError
from scalesearch.plain_data import PlainDict

if TYPE_CHECKING:
    from scalesearch.arch import Arch, Resolution

LEAST_HELD_OUT = 3


@main.command()
@click.argument("models", metavar="MODEL_OR_SPACE...", nargs=-1, required=True)
@click.option("--device", default="cpu", help="cpu or cuda.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, help="CPU threads per forward pass.")
@click.option("--batch", type=click.IntRange(1, 65536), default=1, help="Images per forward pass.")
@resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH. Default: each network's own.")
@click.option("-n", "networks", type=click.IntRange(1, 10_000), default=12, help="Networks drawn from each space.")
@click.option(
    "--held-out",
    type=click.IntRange(LEAST_HELD_OUT, 10_000),
    default=6,
    help="More networks drawn from each space, which only test the profile. Without a space, the last 3 MODELs do.",
)
@seed_option("Seed for drawing networks.")
@click.option("-o", "--out", type=PATH, required=True, help="File for the profile, such as profiles/laptop.json.")
@json_option
def profile(
    models: tuple[str, ...],
    device: str,
    threads: int,
    batch: int,
    resolution: Resolution | None,
    networks: int,
    held_out: int,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Measure blocks of networks on this machine and save a profile that predicts other networks' latency.

    A study uses it in its budget: budget: {latency: 5ms, device: profiles/laptop.json}.
    """
    from rich.progress import Progress, TextColumn

    from scalesearch.network import device_from_name, profile as measure_profile

    target = device_from_name(device)
    fitted, tested = _networks(models, resolution, networks, held_out, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[name]}"))
    with Progress(*columns, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("measuring", total=2 * len(fitted) + len(tested), name="")
        result = measure_profile(
            fitted,
            tested,
            target,
            threads=threads,
            batch=batch,
            progress=lambda name: bar.update(task, advance=1, name=name),
        )
    result.save(out)
    row: PlainDict = {
        "file": str(out),
        "device": result.device,
        "threads": threads,
        "batch": batch,
        "blocks": len(result.blocks),
        "overhead µs": result.overhead * 1e6,
        "slope": result.slope,
        "held-out networks": result.error["networks"],
        "median error": result.error["median"],
        "largest error": result.error["largest"],
        "rank correlation": result.error.get("rank_correlation"),
    }
    print_rows([row], as_json)


def _networks(
    models: tuple[str, ...], resolution: Resolution | None, networks: int, held_out: int, seed: int
) -> tuple[list[Arch], list[Arch]]:
    """Returns the networks to fit the profile to, and those that only test it."""
    from random import Random

    from scalesearch.budget import Budget, Feasible
    from scalesearch.space import load_space
    from scalesearch.zoo import load

    rng, fitted, tested, individual = Random(seed), [], [], []
    for model in models:
        space = load_space(model) if model.endswith((".yaml", ".yml")) else None
        if space is None or not space.decisions:
            individual.append(load(model, resolution=resolution))
            continue
        if resolution:
            space = space.adapted(resolution=resolution)
        feasible = Feasible(space, Budget())
        drawn = [
            space.at_unchecked(feasible.draw(rng)).with_(name=f"{space.name}-{i}") for i in range(networks + held_out)
        ]
        fitted += drawn[:networks]
        tested += drawn[networks:]
    if individual and len(individual) <= LEAST_HELD_OUT and not tested:
        raise InputError(
            f"needs a space, or more than {LEAST_HELD_OUT} networks: the last {LEAST_HELD_OUT} only test the profile",
            "MODEL",
        )
    split = len(individual) if tested else len(individual) - LEAST_HELD_OUT
    return fitted + individual[:split], tested + individual[split:]


@main.command()
@models_argument
@click.option("--device", default="cpu", help="cpu or cuda.")
@click.option("--profile", "profile_", type=PATH, help="Also print what this profile predicts.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, help="CPU threads per pass.")
@click.option("--batch", type=click.IntRange(1, 65536), default=1, help="Images per pass.")
@resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH. Default: each network's own.")
@json_option
def latency(
    models: tuple[str, ...],
    device: str,
    profile_: Path | None,
    threads: int,
    batch: int,
    resolution: Resolution | None,
    as_json: bool,
) -> None:
    """Measure the latency of MODELs on this machine: median, spread, number of runs and of excluded outliers."""
    from scalesearch.arch import expand
    from scalesearch.counting import load_profile
    from scalesearch.network import device_from_name, measure_arch
    from scalesearch.zoo import load

    target, block_profile, rows = device_from_name(device), load_profile(profile_) if profile_ else None, []
    for model in models:
        arch = load(model, resolution=resolution)
        measured = measure_arch(arch, target, batch, threads)
        row = {
            "name": arch.name,
            "ms": measured.seconds * 1e3,
            "spread": measured.spread,
            "runs": measured.runs,
            "outliers": measured.outliers,
        }
        if block_profile is not None:
            predicted = block_profile.predict(expand(arch))
            row |= {
                "predicted ms": predicted * 1e3,
                "error": predicted / measured.seconds - 1,
                "measured blocks": block_profile.measured_share(expand(arch)),
            }
        rows.append(row)
    print_rows(rows, as_json)
