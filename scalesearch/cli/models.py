"""Commands about single networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.group import main
from scalesearch.cli.printing import SIDES, Number, Rows, amount, guarded_command, json_option, print_rows
from scalesearch.errors import InputError, unknown


@main.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--resolution", type=SIDES, help="Side of the input in pixels, or HEIGHTxWIDTH, instead of the model's own."
)
@click.option("--by", type=click.Choice(["layer", "stage"]), help="One row per layer or stage.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at a time, for the memory.")
@click.option(
    "--fvcore", is_flag=True, help="Build the network and print fvcore's own counts beside ours (imports torch)."
)
@json_option
@guarded_command
def cost(models: tuple[str, ...], resolution: Any, by: str | None, batch: int, fvcore: bool, as_json: bool) -> None:
    """Parameters, MACs, activations and peak activation memory of MODELs.

    One multiply-add is one MAC; sources that quote FLOPs often mean two per MAC.
    """
    from scalesearch.arch import expand
    from scalesearch.counting import by_layer, by_stage, uncounted
    from scalesearch.zoo import load

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
        found[row["name"]] |= {
            row["model"]: f"{row['operator']} ×{row['depth']} → {shape}",
            f"{row['model']} MACs": row["macs"],
        }
    return list(found.values())


def _stage_order(name: str) -> tuple[int, int]:
    part, _, number = name.partition(".")
    return ("stem", "stages", "auxiliary", "head").index(part), int(number or 0)


def _cost_row(arch: Any, graph: Any, batch: int, fvcore: bool) -> dict[str, Any]:
    from scalesearch.counting import cost as count, peak_memory

    counted = count(arch)
    row = {
        "name": arch.name,
        "resolution": arch.resolution,
        "params": counted.params,
        "macs": counted.macs,
        "acts": counted.acts,
        "memory_inference": peak_memory(graph, batch),
        "memory_training": peak_memory(graph, batch, training=True),
    }
    if fvcore:
        from scalesearch.counting import fvcore_counts
        from scalesearch.network import build

        measured = fvcore_counts(build(arch), (arch.channels, *arch.sides))
        row |= {
            "fvcore_total": measured["fvcore_total"],
            "fvcore_macs": measured["macs"],
            "fvcore_acts": measured["acts"],
        }
    return row


@main.command()
@click.option("--family", help="One family alone.")
@click.option("--max-macs", help="At most so many MACs; 600M and 1.2G are numbers.")
@click.option(
    "--sort", type=click.Choice(["name", "params", "macs", "acts", "resolution", "top1"]), help="Sort by a column."
)
@json_option
@guarded_command
def zoo(family: str | None, max_macs: str | None, sort: str | None, as_json: bool) -> None:
    """The hand-built architectures: cost at native resolution, published top-1, on which data, whose figure it is."""
    from scalesearch.counting import cost as count
    from scalesearch.errors import unknown
    from scalesearch.zoo import FAMILIES, MODELS, family_of, model, published

    if family is not None and family not in FAMILIES:
        raise InputError(unknown("family", family, FAMILIES), "--family")
    limit = amount(max_macs, "--max-macs") if max_macs is not None else None
    rows = []
    for name in MODELS:
        arch = model(name)
        counted, figures = count(arch), published(name)
        if (family is None or family_of(name) == family) and (limit is None or counted.macs <= limit):
            rows.append(
                {
                    "name": name,
                    "family": family_of(name),
                    "resolution": arch.resolution,
                    "params": counted.params,
                    "macs": counted.macs,
                    "acts": counted.acts,
                    "top1": figures.top1,
                    "data": figures.data,
                    "top1_resolution": figures.top1_resolution,
                    "source": figures.source,
                }
            )
    if sort:

        def by_data(row):
            return (row["data"] is None, row["data"] != "ImageNet", row["data"], -(row["top1"] or 0))

        rows.sort(key=by_data if sort == "top1" else lambda row: row[sort])
    print_rows(rows, as_json)


@main.command()
@click.argument("model")
@click.option(
    "--resolution", type=SIDES, help="Side of the input in pixels, or HEIGHTxWIDTH, instead of the model's own."
)
@click.option("--classes", type=click.IntRange(1, 1_000_000))
@click.option("--html", type=click.Path(path_type=Path), help="Draw it into this HTML file.")
@json_option
@guarded_command
def show(model: str, resolution: Any, classes: int | None, html: Path | None, as_json: bool) -> None:
    """MODEL as its paper's table: what every stage does, at which resolution, how wide, how often, at what cost."""
    from scalesearch.arch import sized
    from scalesearch.report import table, write_drawing
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    if html is not None:
        write_drawing(arch, html)
        click.echo(html)
        return
    rows = table(arch)
    if not as_json:
        wired = any(row["inputs"] for row in rows)
        rows = [
            {
                key: ", ".join(map(str, value)) if key == "inputs" else value
                for key, value in row.items()
                if key != "inputs" or wired
            }
            for row in rows
        ]
    total = [sum(row[key] for row in rows) for key in ("params", "macs")]
    print_rows(rows, as_json, (f"{arch.name} at {sized(arch.resolution)}: {total[0]:,} params, {total[1]:,} MACs",))


@main.command()
@click.argument("model")
@click.option("--to", "target", metavar="MACS", help="Scale to so many counted MACs, as 600M.")
@click.option("--by", type=Number(1 / 4096, 4096), help="Scale to so many times the counted MACs.")
@click.option(
    "--phi", type=Number(-10, 10), help="Scale to (α·β²·γ²)^φ times the counted MACs; by presets to 2^φ times."
)
@click.option(
    "--preset", help="Instead of α, β, γ: depth, width, resolution, efficientnet, fast (Dollár's dWr) or uniform."
)
@click.option("--alpha", type=Number(1, 4), help="Depth multiplier per φ; 1.2 without a preset.")
@click.option("--beta", type=Number(1, 4), help="Width multiplier per φ; 1.1 without a preset.")
@click.option("--gamma", type=Number(1, 4), help="Resolution multiplier per φ; 1.15 without a preset.")
@click.option(
    "--published", is_flag=True, help="With --phi: round as EfficientNet's authors did and take the MACs as they come."
)
@click.option(
    "--tolerance", type=Number(0, 0.5), default=0.02, show_default=True, help="How near the MACs must be met."
)
@json_option
@guarded_command
def scale(
    model: str,
    target: str | None,
    by: float | None,
    phi: float | None,
    preset: str | None,
    alpha: float | None,
    beta: float | None,
    gamma: float | None,
    published: bool,
    tolerance: float,
    as_json: bool,
) -> None:
    """A scaled MODEL, as an architecture's YAML; what it counts, and how far from what was asked, goes to stderr."""
    from scalesearch.counting import cost as count
    from scalesearch.scaling import PRESETS, Shares, realised, scale as scaled_by, scale_to
    from scalesearch.space import arch_from_dict, arch_to_yaml
    from scalesearch.zoo import load

    if sum(way is not None for way in (target, by, phi)) != 1:
        raise InputError("takes one of --to MACS, --by FACTOR and --phi N", "scale")
    if preset is not None and preset not in PRESETS:
        raise InputError(unknown("preset", preset, PRESETS), "--preset")
    if preset is not None and any(c is not None for c in (alpha, beta, gamma)):
        raise InputError("stands instead of --alpha, --beta and --gamma; takes either", "--preset")
    if published and phi is None:
        raise InputError("goes with --phi; --to and --by meet a target", "--published")
    base = load(model)
    coefficients = alpha or 1.2, beta or 1.1, gamma or 1.15
    shares = PRESETS[preset] if preset else Shares.of(*coefficients)
    if published:
        alpha, beta, gamma = shares.multipliers(2.0) if preset else coefficients
        assert phi is not None
        grown = {"depth": alpha**phi, "width": beta**phi, "resolution": gamma**phi, "group": shares.of_groups(2.0**phi)}
        arch, deviation = scaled_by(base, **grown), None
    else:
        growth = 2.0 if preset else coefficients[0] * coefficients[1] ** 2 * coefficients[2] ** 2
        factor = (by or 1.0) if phi is None else growth**phi
        macs = amount(target, "--to") if target else round(count(base).macs * factor)
        scaled = scale_to(base, macs, shares, tolerance)
        arch, deviation = scaled.arch, scaled.deviation
        if miss := scaled.miss(tolerance):
            raise InputError(
                f"{base.name} at {scaled.target:,} MACs: {miss}", "--to" if target else "--by" if by else "--phi"
            )
    arch_from_dict(arch.to_dict())  # still within what an architecture may be
    counted, before = count(arch), count(base)
    depth, width, resolution = realised(arch, base)
    row = {
        "name": arch.name,
        "resolution": arch.resolution,
        "macs": counted.macs,
        "deviation": deviation,
        "params": counted.params,
        "acts": counted.acts,
        "macs ×": counted.macs / before.macs,
        "params ×": counted.params / before.params,
        "acts ×": counted.acts / before.acts,
        "depth ×": depth,
        "width ×": width,
        "resolution ×": resolution,
    }
    if as_json:
        click.echo(
            json.dumps({**arch.to_dict(), "cost": counted._asdict(), "deviation": deviation, "scaled": row}, indent=2)
        )
        return
    click.echo(arch_to_yaml(arch), nl=False)
    off = f", {deviation:+.2%} of the target" if deviation is not None else ""
    click.echo(
        f"{counted.macs:,} MACs{off}, {counted.params:,} params, {counted.acts:,} activations; layers × "
        f"{depth:.3g}, width × {width:.3g}, resolution × {resolution:.3g}",
        err=True,
    )
