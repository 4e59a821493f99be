"""Commands about devices: latency measured, and profiles that tell it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.group import main
from scalesearch.cli.printing import SIDES, guarded_command, json_option, print_rows
from scalesearch.errors import InputError

LEAST_HELD_OUT = 3


@main.command()
@click.argument("models", metavar="MODEL_OR_SPACE...", nargs=-1, required=True)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="CPU threads of a forward pass."
)
@click.option("--batch", type=click.IntRange(1, 65536), default=1, show_default=True, help="Images of a forward pass.")
@click.option("--resolution", type=SIDES, help="Of the images, a side or HEIGHTxWIDTH; the networks' own without it.")
@click.option(
    "-n",
    "networks",
    type=click.IntRange(1, 10_000),
    default=12,
    show_default=True,
    help="Networks drawn from each space.",
)
@click.option(
    "--held-out",
    type=click.IntRange(LEAST_HELD_OUT, 10_000),
    default=6,
    show_default=True,
    help="Further networks from each space (of zoo names, the last ones given) that only test the profile.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="The profile's file, as profiles/laptop.json."
)
@json_option
@guarded_command
def profile(
    models: tuple[str, ...],
    device: str,
    threads: int,
    batch: int,
    resolution: Any,
    networks: int,
    held_out: int,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Measure the blocks of networks on this machine and save them as a profile that tells the latency of others.

    A study's budget names it: budget: {latency: 5ms, device: profiles/laptop.json}.
    """
    from rich.progress import Progress, TextColumn

    from scalesearch.network import checked_device, profile as measured

    where = checked_device(device)
    fitted, tested = _networks(models, resolution, networks, held_out, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with Progress(
        *Progress.get_default_columns(),
        TextColumn("{task.fields[name]}"),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("measuring", total=2 * len(fitted) + len(tested), name="")
        found = measured(
            fitted,
            tested,
            where,
            threads=threads,
            batch=batch,
            progress=lambda name: bar.update(task, advance=1, name=name),
        )
    found.save(out)
    row: dict[str, Any] = {
        "file": str(out),
        "device": found.device,
        "threads": threads,
        "batch": batch,
        "blocks": len(found.blocks),
        "overhead µs": found.overhead * 1e6,
        "slope": found.slope,
        "held-out networks": found.error["networks"],
        "median error": found.error["median"],
        "largest error": found.error["largest"],
        "rank correlation": found.error.get("rank_correlation"),
    }
    print_rows([row], as_json)


def _networks(models: tuple[str, ...], resolution: Any, networks: int, held_out: int, seed: int) -> tuple[list, list]:
    """The networks to measure, and those that only test."""
    from random import Random

    from scalesearch.budget import Budget, Feasible
    from scalesearch.space import load_space
    from scalesearch.zoo import load

    rng, fitted, tested, named = Random(seed), [], [], []
    for model in models:
        space = load_space(model) if model.endswith((".yaml", ".yml")) else None
        if space is None or not space.decisions:
            named.append(load(model, **({"resolution": resolution} if resolution else {})))
            continue
        if resolution:
            space = space.adapted(resolution=resolution, classes=10)
        feasible = Feasible(space, Budget())
        drawn = [space._at(feasible.draw(rng)).with_(name=f"{space.name}-{i}") for i in range(networks + held_out)]
        fitted += drawn[:networks]
        tested += drawn[networks:]
    if named and len(named) <= LEAST_HELD_OUT and not tested:
        raise InputError(
            f"needs a space, or more than {LEAST_HELD_OUT} networks: the last {LEAST_HELD_OUT} only test the profile",
            "MODEL",
        )
    cut = len(named) if tested else len(named) - LEAST_HELD_OUT
    return fitted + named[:cut], tested + named[cut:]


@main.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option(
    "--profile", "profile_", type=click.Path(path_type=Path), help="A profile whose prediction to print beside it."
)
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--batch", type=click.IntRange(1, 65536), default=1, show_default=True)
@click.option("--resolution", type=SIDES, help="Side of the input in pixels, or HEIGHTxWIDTH.")
@json_option
@guarded_command
def latency(
    models: tuple[str, ...],
    device: str,
    profile_: Path | None,
    threads: int,
    batch: int,
    resolution: Any,
    as_json: bool,
) -> None:
    """Measure the latency of MODELs on this machine: median, spread, runs, outliers left out."""
    from scalesearch.arch import expand
    from scalesearch.counting import load_profile
    from scalesearch.network import checked_device, measure_arch
    from scalesearch.zoo import load

    where, known, rows = checked_device(device), load_profile(profile_) if profile_ else None, []
    for model in models:
        arch = load(model, **({"resolution": resolution} if resolution else {}))
        found = measure_arch(arch, where, batch, threads)
        row = {
            "name": arch.name,
            "ms": found.seconds * 1e3,
            "spread": found.spread,
            "runs": found.runs,
            "outliers": found.outliers,
        }
        if known is not None:
            told = known.predict(expand(arch))
            row |= {"told ms": told * 1e3, "off": told / found.seconds - 1, "blocks known": known.known(expand(arch))}
        rows.append(row)
    print_rows(rows, as_json)
