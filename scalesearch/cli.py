"""The command line: arguments and printing, one command per verb. Tables go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from scalesearch import __version__, yamlfile
from scalesearch.errors import InputError
from scalesearch.terminal import (
    Number,
    Rows,
    amount,
    certificate_lines,
    guarded_command,
    json_option,
    print_rows,
    setting,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="scalesearch")
def main() -> None:
    """Search convolutional networks and scale them into families, inside hard compute budgets.

    A MODEL is a name of the zoo (`scalesearch zoo`) or the path of an architecture's YAML file.
    """


@main.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--resolution", type=click.IntRange(1, 8192), help="Side of the input in pixels, instead of the model's own.")
@click.option("--by", type=click.Choice(["layer", "stage"]), help="One row per layer or stage.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at a time, for the memory.")
@click.option("--fvcore", is_flag=True, help="Build the network and print fvcore's own counts beside ours (imports torch).")
@json_option
@guarded_command
def cost(models: tuple[str, ...], resolution: int | None, by: str | None, batch: int, fvcore: bool, as_json: bool) -> None:
    """Parameters, MACs, activations and peak activation memory of MODELs.

    One multiply-add is one MAC; sources that quote FLOPs often mean two per MAC.
    """
    from scalesearch.counting import by_layer, by_stage, uncounted
    from scalesearch.expand import expand
    from scalesearch.loading import load

    rows: Rows = []
    left_out: set[str] = set()
    for name in models:
        arch = load(name, resolution=resolution)
        graph = expand(arch)
        elements = uncounted(graph)
        left_out |= elements.keys()
        if by:
            table = by_layer(graph) if by == "layer" else by_stage(graph)
            rows += [{"model": arch.name} | row if len(models) > 1 else row for row in table]
        else:
            rows.append(_cost_row(arch, graph, batch, fvcore) | ({"uncounted": elements} if as_json else {}))
    note = f"MACs leave out {', '.join(sorted(left_out))}." if left_out else ""
    print_rows(rows, as_json, (note,) if note else ())


def _cost_row(arch: Any, graph: Any, batch: int, fvcore: bool) -> dict[str, Any]:
    from scalesearch.counting import cost as count
    from scalesearch.memory import peak_memory

    counted = count(arch)
    row = {"name": arch.name, "resolution": arch.resolution, "params": counted.params, "macs": counted.macs, "acts": counted.acts,
           "memory_inference": peak_memory(graph, batch), "memory_training": peak_memory(graph, batch, training=True)}
    if fvcore:
        from scalesearch.measuring import fvcore_counts
        from scalesearch.network import build

        measured = fvcore_counts(build(arch), (arch.channels, arch.resolution, arch.resolution))
        row |= {"fvcore_total": measured["fvcore_total"], "fvcore_macs": measured["macs"], "fvcore_acts": measured["acts"]}
    return row


@main.command()
@click.option("--family", help="One family alone.")
@click.option("--max-macs", help="At most so many MACs; 600M and 1.2G are numbers.")
@click.option("--sort", type=click.Choice(["name", "params", "macs", "top1"]), help="Sort by a column.")
@json_option
@guarded_command
def zoo(family: str | None, max_macs: str | None, sort: str | None, as_json: bool) -> None:
    """The hand-built architectures: cost at native resolution, published ImageNet top-1 and whose figure it is."""
    from scalesearch import zoo as models
    from scalesearch.counting import cost as count
    from scalesearch.errors import unknown

    if family is not None and family not in models.FAMILIES:
        raise InputError(unknown("family", family, models.FAMILIES), "--family")
    limit = amount(max_macs, "--max-macs") if max_macs is not None else None
    rows = []
    for name in models.MODELS:
        arch = models.model(name)
        counted, published = count(arch), models.published(name)
        if (family is None or models.family_of(name) == family) and (limit is None or counted.macs <= limit):
            rows.append({"name": name, "family": models.family_of(name), "resolution": arch.resolution, "params": counted.params,
                         "macs": counted.macs, "acts": counted.acts, "top1": published.top1, "top1_resolution": published.top1_resolution, "source": published.source})
    if sort:
        rows.sort(key=lambda row: (row[sort] is not None, row[sort] or 0) if sort == "top1" else row[sort], reverse=sort == "top1")
    print_rows(rows, as_json)


@main.command()
@click.argument("model")
@click.option("--to", "target", metavar="MACS", help="Scale to so many counted MACs, as 600M.")
@click.option("--phi", type=Number(-10, 10), help="Scale by α^φ, β^φ, γ^φ under the published rounding rules.")
@click.option("--alpha", type=Number(1, 4), default=1.2, show_default=True, help="Depth multiplier per φ.")
@click.option("--beta", type=Number(1, 4), default=1.1, show_default=True, help="Width multiplier per φ.")
@click.option("--gamma", type=Number(1, 4), default=1.15, show_default=True, help="Resolution multiplier per φ.")
@click.option("--tolerance", type=Number(0, 0.5), default=0.02, show_default=True, help="How near --to must be met.")
@json_option
@guarded_command
def scale(model: str, target: str | None, phi: float | None, alpha: float, beta: float, gamma: float, tolerance: float,
          as_json: bool) -> None:
    """A scaled MODEL, as an architecture's YAML; its counted MACs go to stderr."""
    from scalesearch.counting import cost as count
    from scalesearch.loading import load
    from scalesearch.scaling import Shares, scale_to
    from scalesearch.scaling import scale as scaled_by
    from scalesearch.schema import arch_to_yaml

    if (target is None) == (phi is None):
        raise InputError("takes either --to MACS or --phi N", "scale")
    base = load(model)
    if phi is not None:
        arch, deviation = scaled_by(base, depth=alpha**phi, width=beta**phi, resolution=gamma**phi), None
    else:
        scaled = scale_to(base, amount(target, "--to"), Shares.of(alpha, beta, gamma), tolerance)
        arch, deviation = scaled.arch, scaled.deviation
        if abs(deviation) > tolerance:
            raise InputError(f"{base.name} has no network within {tolerance:.1%} of {scaled.target:,} MACs along these coefficients; "
                             f"the nearest has {scaled.macs:,} ({deviation:+.2%})", "--to")
    counted = count(arch)
    if as_json:
        click.echo(json.dumps({**arch.to_dict(), "cost": counted._asdict(), "deviation": deviation}, indent=2))
        return
    click.echo(arch_to_yaml(arch), nl=False)
    off = f", {deviation:+.2%} of the target" if deviation is not None else ""
    click.echo(f"{counted.macs:,} MACs{off}, {counted.params:,} params", err=True)


@main.command()
@click.argument("space", type=click.Path(path_type=Path))
@click.option("-n", "count_", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option("--budget", help="At most so many MACs, as 600M.")
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
@guarded_command
def sample(space: Path, count_: int, budget: str | None, seed: int, as_json: bool) -> None:
    """Architectures out of a SPACE, each as likely as every other; as YAML documents."""
    from random import Random

    from scalesearch.counting import cost as count
    from scalesearch.feasibility import certify
    from scalesearch.schema import arch_to_yaml, load_space
    from scalesearch.study import Budget

    opened, rng = load_space(space), Random(seed)
    bound = Budget(macs=amount(budget, "--budget")) if budget is not None else Budget()
    with yamlfile.read(space).located():
        certify(opened, bound)
    rows: Rows = []
    while len(rows) < count_:
        decisions, arch = opened.sample(rng)
        counted = count(arch)
        if not bound.broken_by(counted):
            arch = arch.with_(name=f"{opened.name}-{len(rows)}")
            rows.append({**arch.to_dict(), "decisions": decisions, "cost": counted._asdict()})
            if not as_json:
                click.echo(("---\n" if len(rows) > 1 else "") + arch_to_yaml(arch), nl=False)
    if as_json:
        click.echo(json.dumps(rows, indent=2))


@main.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@guarded_command
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Validate spaces and studies and print their feasibility; exit 2 and a located line for every faulty file."""
    from scalesearch.checking import check_file

    rows, faults = [], 0
    for file in files:
        try:
            rows.append(check_file(file))
        except InputError as error:
            faults += 1
            click.echo(f"scalesearch: {error}", err=True)
    if rows:
        print_rows(rows, as_json)
    if faults:
        sys.exit(2)


@main.command(name="export")
@click.argument("model")
@click.option("--to", "form", type=click.Choice(["py", "safetensors"]), required=True, help="A standalone Python file, or weights.")
@click.option("--resolution", type=click.IntRange(1, 8192))
@click.option("--classes", type=click.IntRange(1, 1_000_000))
@click.option("--seed", type=int, default=0, show_default=True, help="Of the initial weights, for safetensors.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where to; a Python file goes to stdout without it.")
@guarded_command
def export_(model: str, form: str, resolution: int | None, classes: int | None, seed: int, out: Path | None) -> None:
    """MODEL as a Python file that needs torch alone, or its initial weights as safetensors."""
    from scalesearch.export import save_weights, to_python
    from scalesearch.loading import load

    arch = load(model, resolution=resolution, classes=classes)
    if form == "py":
        source = to_python(arch)
        click.echo(source, nl=False) if out is None else out.write_text(source, encoding="utf-8")
        return
    if out is None:
        raise InputError("weights need a file: give -o FILE.safetensors", "--to safetensors")
    import torch

    from scalesearch.network import build

    torch.manual_seed(seed)
    save_weights(build(arch).state_dict(), out)


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder; reports/NAME without it.")
@click.option("--address", help="Of a Ray cluster; without it Ray starts on this machine and stops at the end.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a key of the study, as search.trials=4.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, and stop.")
@json_option
@guarded_command
def run(study: Path, out: Path | None, address: str | None, settings: tuple[str, ...], resume: bool, dry_run: bool,
        as_json: bool) -> None:
    """Run a STUDY: search a base network, search how to scale it, train the family and its rivals, write the report."""
    from scalesearch.checking import certified, plan
    from scalesearch.study import load_study

    loaded = load_study(study, dict(map(setting, settings)))
    certificate = certified(loaded, study)
    if dry_run:
        rows = plan(loaded, certificate)
        if as_json:
            click.echo(json.dumps({"steps": rows, "certificate": certificate.to_dict()}, indent=2))
        else:
            print_rows(rows, False)
            click.echo(certificate_lines(certificate, loaded))
        return
    _run(loaded, out, address, resume, as_json)


def _run(study: Any, out: Path | None, address: str | None, resume: bool, as_json: bool) -> None:
    from scalesearch.driver import StudyFailed
    from scalesearch.loop import run as run_study
    from scalesearch.progress import Progress

    progress = Progress(study)
    try:
        with progress:
            finished = run_study(study, out, address=address, resume=resume, observer=progress)
    except (StudyFailed, OSError) as error:  # a full disk is no mistake in the input
        click.echo(f"scalesearch: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("scalesearch: interrupted; nothing finished is lost, --resume goes on", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(finished.summary, indent=2, ensure_ascii=False))
        return
    keys = ("name", "kind", "resolution", "params", "macs", "deviation", "val_accuracy", "test_accuracy", "on_front_macs")
    print_rows([{key: row[key] for key in keys} for row in finished.summary["rows"]], False)
    folder = finished.folder
    click.echo(f"report   {folder / 'report.html'}\nfamily   {folder / 'family'}\ntrials   {folder / 'trials.csv'}\n"
               f"summary  {folder / 'summary.json'}")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@guarded_command
def report(folder: Path) -> None:
    """Write the report of a run's FOLDER again, also while it runs."""
    from scalesearch.driver import Driver
    from scalesearch.emit import seconds_spent, write_report
    from scalesearch.study import TrialLog, load_study

    if not (folder / "study.yaml").exists():
        raise InputError("is no run's folder: it has no study.yaml", str(folder))
    study = load_study(folder / "study.yaml")
    log = TrialLog(folder / "trials.jsonl", repair=False)
    write_report(Driver(study, log), folder, seconds_spent(folder))
    click.echo(folder / "report.html")
