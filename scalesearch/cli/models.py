"""Commands about single networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scalesearch.cli.group import main
from scalesearch.cli.options import (
    CLASS_COUNT,
    PATH,
    Number,
    json_option,
    models_argument,
    resolution_option,
    strides_option,
)
from scalesearch.cli.printing import Rows, parse_amount, print_rows
from scalesearch.errors import InputError, unknown_message
from scalesearch.plain_data import PlainDict

if TYPE_CHECKING:
    from scalesearch.arch import Arch, Graph, Resolution, Strides

_own_resolution_option = resolution_option("Side of the input in pixels, or HEIGHTxWIDTH, instead of the model's own.")


@main.command()
@models_argument
@_own_resolution_option
@strides_option("native")
@click.option("--by", type=click.Choice(["layer", "stage"]), help="One row per layer or stage.")
@click.option("--batch", type=click.IntRange(1), default=1, help="Images per batch, for the memory columns.")
@click.option(
    "--fvcore", is_flag=True, help="Build the network and print fvcore's own counts beside ours (imports torch)."
)
@json_option
def cost(
    models: tuple[str, ...],
    resolution: Resolution | None,
    strides: Strides,
    by: str | None,
    batch: int,
    fvcore: bool,
    as_json: bool,
) -> None:
    """Print parameters, MACs, activations and peak activation memory of MODELs.

    One multiply-add is one MAC; sources that quote FLOPs often count two per MAC.
    """
    from scalesearch.arch import expand
    from scalesearch.counting import by_layer, by_stage, describe_fitting, elements_without_macs
    from scalesearch.zoo import load

    rows: Rows = []
    not_counted: set[str] = set()
    fitted: list[str] = []
    for number, name in enumerate(models, 1):
        arch = load(name, resolution=resolution, strides=strides)
        if resolution:
            other = load(name, resolution=resolution, strides="native" if strides == "fitted" else "fitted")
            fitted.append(describe_fitting(*((other, arch) if strides == "fitted" else (arch, other))))
        label = name if models.count(name) == 1 else f"{name} ({number})"
        graph = expand(arch)
        elements = elements_without_macs(graph)
        not_counted |= elements.keys()
        if by:
            table = by_layer(graph) if by == "layer" else by_stage(graph)
            rows += [{"model": label} | row if len(models) > 1 else row for row in table]
        else:
            rows.append(_cost_row(arch, graph, batch, fvcore) | ({"uncounted": elements} if as_json else {}))
    if by == "stage" and len(models) > 1 and not as_json:
        rows = _side_by_side(rows)
    notes = [f"MACs leave out {', '.join(sorted(not_counted))}."] if not_counted else []
    # a study's comparison and `train` fit networks by default
    notes += [text if strides == "fitted" else f"train and compare fit it: {text}" for text in fitted if text]
    print_rows(rows, as_json, tuple(notes))


def _side_by_side(rows: Rows) -> Rows:
    """Returns the stage rows of several models as one row per stage, with the models side by side."""
    columns = {key: None for row in rows for key in (row["model"], f"{row['model']} MACs")}
    names = sorted({row["name"] for row in rows}, key=_stage_order)
    by_stage: dict[str, PlainDict] = {name: {"stage": name, **columns} for name in names}
    for row in rows:
        shape = "×".join(map(str, row["shape"]))
        by_stage[row["name"]] |= {
            row["model"]: f"{row['operator']} ×{row['depth']} → {shape}",
            f"{row['model']} MACs": row["macs"],
        }
    return list(by_stage.values())


def _stage_order(name: str) -> tuple[int, int]:
    part, _, number = name.partition(".")
    return ("stem", "stages", "auxiliary", "head").index(part), int(number or 0)


def _cost_row(arch: Arch, graph: Graph, batch: int, fvcore: bool) -> PlainDict:
    from scalesearch.counting import cost as count, peak_memory

    costs = count(arch)
    row = {
        "name": arch.name,
        "resolution": arch.resolution,
        "params": costs.params,
        "macs": costs.macs,
        "acts": costs.acts,
        "memory_inference": peak_memory(graph, batch),
        "memory_training": peak_memory(graph, batch, training=True),
    }
    if fvcore:
        from scalesearch.counting import fvcore_counts
        from scalesearch.network import build

        fvcore_result = fvcore_counts(build(arch), (arch.channels, *arch.sides))
        row |= {
            "fvcore_total": fvcore_result["fvcore_total"],
            "fvcore_macs": fvcore_result["macs"],
            "fvcore_acts": fvcore_result["acts"],
        }
    return row


@main.command()
@click.option("--family", help="List only this family.")
@click.option("--max-macs", help="List only networks with at most this many MACs, such as 600M or 1.2G.")
@click.option(
    "--sort", type=click.Choice(["name", "params", "macs", "acts", "resolution", "top1"]), help="Sort by this column."
)
@json_option
def zoo(family: str | None, max_macs: str | None, sort: str | None, as_json: bool) -> None:
    """List the hand-built networks: cost at native resolution, published top-1, its data set and its source."""
    from scalesearch.counting import cost as count
    from scalesearch.zoo import FAMILIES, MODELS, family_of, model, published_figure

    if family is not None and family not in FAMILIES:
        raise InputError(unknown_message("family", family, FAMILIES), "--family")
    limit = parse_amount(max_macs, "--max-macs") if max_macs is not None else None
    rows = []
    for name in MODELS:
        arch = model(name)
        costs, figures = count(arch), published_figure(name)
        if (family is None or family_of(name) == family) and (limit is None or costs.macs <= limit):
            rows.append(
                {
                    "name": name,
                    "family": family_of(name),
                    "resolution": arch.resolution,
                    "params": costs.params,
                    "macs": costs.macs,
                    "acts": costs.acts,
                    "top1": figures.top1,
                    "data": figures.data,
                    "top1_resolution": figures.top1_resolution,
                    "source": figures.source,
                }
            )
    if sort:

        def by_data(row: PlainDict) -> tuple[bool, bool, str, float]:
            return (row["data"] is None, row["data"] != "ImageNet", row["data"], -(row["top1"] or 0))

        rows.sort(key=by_data if sort == "top1" else lambda row: row[sort])
    print_rows(rows, as_json)


@main.command()
@click.argument("model")
@_own_resolution_option
@strides_option("native")
@click.option("--classes", type=CLASS_COUNT, help="Number of classes, instead of the model's own.")
@click.option("--html", type=PATH, help="Draw the network into this HTML file instead.")
@json_option
def show(
    model: str,
    resolution: Resolution | None,
    strides: Strides,
    classes: int | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Print MODEL as a table like its paper's: operator, resolution, width, depth and cost of every stage."""
    from scalesearch.arch import format_sides
    from scalesearch.report import table, write_drawing
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes, strides=strides)
    if html is not None:
        write_drawing(arch, html)
        click.echo(html)
        return
    rows = table(arch)
    if not as_json and any(row["inputs"] for row in rows):
        rows = [row | {"inputs": ", ".join(map(str, row["inputs"]))} for row in rows]
    elif not as_json:
        rows = [{key: value for key, value in row.items() if key != "inputs"} for row in rows]
    total = [sum(row[key] for row in rows) for key in ("params", "macs")]
    print_rows(
        rows, as_json, (f"{arch.name} at {format_sides(arch.resolution)}: {total[0]:,} params, {total[1]:,} MACs",)
    )


@main.command()
@click.argument("model")
@click.option("--to", "target", metavar="MACS", help="Scale to this many counted MACs, such as 600M.")
@click.option("--by", type=Number(1 / 4096, 4096), help="Multiply the counted MACs by this factor.")
@click.option("--phi", type=Number(-10, 10), help="Multiply the counted MACs by (α·β²·γ²)^φ; with --preset, by 2^φ.")
@click.option(
    "--preset",
    help="A named set of multipliers instead of α, β, γ: depth, width, resolution, efficientnet, fast, uniform.",
)
@click.option("--alpha", type=Number(1, 4), help="α, the depth multiplier per φ. Default without a preset: 1.2.")
@click.option("--beta", type=Number(1, 4), help="β, the width multiplier per φ. Default without a preset: 1.1.")
@click.option("--gamma", type=Number(1, 4), help="γ, the resolution multiplier per φ. Default without a preset: 1.15.")
@click.option(
    "--published",
    is_flag=True,
    help="With --phi: round as EfficientNet's authors did; the MACs are not corrected to a target.",
)
@click.option(
    "--tolerance", type=Number(0, 0.5), default=0.02, help="Largest allowed deviation from the target MACs, as a share."
)
@json_option
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
    """Scale MODEL and print it as an architecture's YAML.

    Its costs, and its deviation from the target, go to stderr.
    """
    from scalesearch.counting import cost as count
    from scalesearch.scaling import PRESETS, Shares, realised_multipliers, scale as scale_arch, scale_to
    from scalesearch.space import arch_from_dict, arch_to_yaml
    from scalesearch.zoo import load

    if sum(option is not None for option in (target, by, phi)) != 1:
        raise InputError("takes one of --to MACS, --by FACTOR and --phi N", "scale")
    if preset is not None and preset not in PRESETS:
        raise InputError(unknown_message("preset", preset, PRESETS), "--preset")
    if preset is not None and any(coefficient is not None for coefficient in (alpha, beta, gamma)):
        raise InputError("replaces --alpha, --beta and --gamma; give one or the other", "--preset")
    if published and phi is None:
        raise InputError("goes with --phi; --to and --by meet a target", "--published")
    base = load(model)
    coefficients = alpha or 1.2, beta or 1.1, gamma or 1.15
    shares = PRESETS[preset] if preset else Shares.from_coefficients(*coefficients)
    if published:
        alpha, beta, gamma = shares.multipliers(2.0) if preset else coefficients
        assert phi is not None
        factors = {
            "depth": alpha**phi,
            "width": beta**phi,
            "resolution": gamma**phi,
            "group": shares.group_multiplier(2.0**phi),
        }
        arch, deviation = scale_arch(base, **factors), None
    else:
        growth = 2.0 if preset else coefficients[0] * coefficients[1] ** 2 * coefficients[2] ** 2
        factor = (by or 1.0) if phi is None else growth**phi
        macs = parse_amount(target, "--to") if target else round(count(base).macs * factor)
        scaled = scale_to(base, macs, shares, tolerance)
        arch, deviation = scaled.arch, scaled.deviation
        if miss := scaled.miss(tolerance):
            raise InputError(
                f"{base.name} at {scaled.target:,} MACs: {miss}", "--to" if target else "--by" if by else "--phi"
            )
    arch_from_dict(arch.to_dict())  # raises if this is no valid architecture any more
    costs, base_costs = count(arch), count(base)
    depth, width, resolution = realised_multipliers(arch, base)
    row = {
        "name": arch.name,
        "resolution": arch.resolution,
        "macs": costs.macs,
        "deviation": deviation,
        "params": costs.params,
        "acts": costs.acts,
        "macs ×": costs.macs / base_costs.macs,
        "params ×": costs.params / base_costs.params,
        "acts ×": costs.acts / base_costs.acts,
        "depth ×": depth,
        "width ×": width,
        "resolution ×": resolution,
    }
    if as_json:
        click.echo(
            json.dumps({**arch.to_dict(), "cost": costs._asdict(), "deviation": deviation, "scaled": row}, indent=2)
        )
        return
    click.echo(arch_to_yaml(arch), nl=False)
    deviation_text = f", {deviation:+.2%} of the target" if deviation is not None else ""
    click.echo(
        f"{costs.macs:,} MACs{deviation_text}, {costs.params:,} params, {costs.acts:,} activations; layers × "
        f"{depth:.3g}, width × {width:.3g}, resolution × {resolution:.3g}",
        err=True,
    )
