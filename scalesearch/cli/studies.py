"""Commands about spaces and studies."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from scalesearch import yamlfile
from scalesearch.cli.group import main
from scalesearch.cli.printing import Rows, certificate_lines, guarded_command, json_option, print_rows, setting
from scalesearch.errors import InputError, Interrupted, inside, numbered

ELSEWHERE = 0.02  # by which scores may be off on another kind of machine


@main.command()
@click.argument("space", type=click.Path(path_type=Path))
@click.option("-n", "count_", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="BOUND",
    help="At most so many MACs as 600M, or any bound: 570M..630M, params=≤5M, memory=64MB; as often as wanted.",
)
@click.option("--device", type=click.Path(path_type=Path), help="Profile that a bound on latency is told by.")
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
@guarded_command
def sample(space: Path, count_: int, budgets: tuple[str, ...], device: Path | None, seed: int, as_json: bool) -> None:
    """Architectures out of a SPACE inside the budget, each as likely as every other; as YAML documents."""
    from random import Random

    from scalesearch.budget import Feasible
    from scalesearch.counting import cost as counted
    from scalesearch.space import arch_to_yaml, load_space

    opened, rng, budget = load_space(space), Random(seed), _budget(budgets, device)
    with yamlfile.read(space).located():
        feasible = Feasible(opened, budget)
        rows: Rows = []
        for number in range(count_):
            decisions = feasible.draw(rng)
            arch = opened._at(decisions).with_(name=f"{opened.name}-{number}")
            rows.append({**arch.to_dict(), "decisions": decisions, "cost": counted(arch)._asdict()})
            if not as_json:
                click.echo(("---\n" if number else "") + arch_to_yaml(arch), nl=False)
    if as_json:
        click.echo(json.dumps(rows, indent=2))


def _budget(bounds: tuple[str, ...], device: Path | None) -> Any:
    """The budget of `macs=600M`, `params=≤5M`, …, all of them; a bound alone is of MACs."""
    from scalesearch.budget import QUANTITIES, Budget, budget_of

    budget, told_by = Budget(), {"device": str(device)} if device else {}
    with inside("--budget"):
        for text in bounds:
            key, equals, value = text.partition("=")
            named = equals and key.strip() in QUANTITIES
            budget &= budget_of(
                {key.strip() if named else "macs": yamlfile.scalar(value.strip() if named else text), **told_by}
            )
    return budget


@main.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--budget", "budgets", multiple=True, metavar="BOUND", help="Of the spaces among the files, as for `sample`."
)
@click.option("--device", type=click.Path(path_type=Path), help="Profile that a bound on latency is told by.")
@json_option
@guarded_command
def check(files: tuple[Path, ...], budgets: tuple[str, ...], device: Path | None, as_json: bool) -> None:
    """Validate spaces and studies and print their feasibility; exit 2 and a located line for every faulty file."""
    from scalesearch.runs import check_file

    rows, faults, budget = [], 0, _budget(budgets, device)
    for file in files:
        try:
            rows.append(check_file(file, budget))
        except InputError as error:
            faults += 1
            click.echo(f"scalesearch: {error}", err=True)
    if rows:
        print_rows(rows, as_json)
    if faults:
        sys.exit(2)


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", help="The run's folder; reports/NAME without it. Or where else it is kept, as s3://bucket/run.")
@click.option("--address", help="Of a Ray cluster; without it Ray starts on this machine and stops at the end.")
@click.option(
    "--storage",
    default="",
    help="Leave the searches there as Optuna studies too: sqlite:///FILE, "
    "postgresql://…, mysql://…, journal:FILE. Runs with one database and one folder share the work.",
)
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a key of the study, as search.trials=4."
)
@click.option("--init", help="Folder of a trained network: what trials share with it they start from.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, and stop.")
@json_option
@guarded_command
def run(
    study: Path,
    out: str | None,
    address: str | None,
    storage: str,
    settings: tuple[str, ...],
    init: str | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a STUDY: search a base network, search how to scale it, train the family and its rivals, write the report.

    A STUDY is a YAML file, or the name of one that comes along: effnet_phi.
    """
    from dataclasses import asdict

    from scalesearch.runs import certified, estimate, plan
    from scalesearch.study import find_study, load_study

    study = find_study(study)
    begun = {"init": str(Path(init).resolve())} if init else {}
    loaded = load_study(study, dict(map(setting, settings)) | begun)
    certificate = certified(loaded, study)
    if not dry_run:
        told = {
            "--address": address,
            "--storage": storage,
            "--init": init,
            "--out": out or Path("reports") / loaded.name,
        }
        again = [
            "scalesearch",
            "run",
            str(study),
            *(f"--set={text}" for text in settings),
            *(part for option, value in told.items() if value for part in (option, str(value))),
            "--resume",
        ]
        _run(loaded, out, address, storage, resume, as_json, shlex.join(again))
        return
    rows = plan(loaded, certificate)
    costs = estimate(loaded, min(loaded.budget.most_macs, certificate.largest)) if certificate else None
    if certificate is None:
        print_rows(rows, as_json)
    elif as_json:
        billed = asdict(costs) if costs else None
        click.echo(json.dumps({"steps": rows, "certificate": certificate.to_dict(), "bill": billed}, indent=2))
    else:
        print_rows(rows, False)
        click.echo(certificate_lines(certificate, loaded))
        if costs:
            click.echo(f"bill: {costs}")
        if loaded.hours:
            click.echo(
                f"planned for {loaded.hours:g} h, by the pace that is measured first; what stands above is the "
                "study without that"
            )


def _run(
    study: Any, out: str | None, address: str | None, storage: str, resume: bool, as_json: bool, again: str
) -> None:
    from scalesearch.runs import ProgressDisplay, run as run_study

    progress = ProgressDisplay(study)
    try:
        with progress:
            finished = run_study(study, out, address=address, resume=resume, observer=progress, storage=storage)
    except OSError as error:  # a full disk is no mistake in the input
        click.echo(f"scalesearch: {error}", err=True)
        sys.exit(1)
    except (Interrupted, KeyboardInterrupt) as stopped:
        saved = "what is unfinished is saved" if isinstance(stopped, Interrupted) else "nothing finished is lost"
        click.echo(f"scalesearch: interrupted; {saved}; go on with: {again}", err=True)
        sys.exit(128 + getattr(stopped, "signal", signal.SIGINT))
    if as_json:
        click.echo(json.dumps(finished.summary, indent=2, ensure_ascii=False))
        return
    rows = finished.summary["rows"]
    print_rows(finished.printed, False)
    for row in rows:
        if row.get("miss"):
            click.echo(f"{row['name']}: {row['miss']}")
    if "mean" in finished.summary:
        mean, half = finished.summary["mean"], finished.summary["interval"]
        click.echo("mean     " + ("–" if mean is None else f"{mean:.6g}") + (f" ± {half:.3g}" if half else ""))
    place = (out or str(finished.folder)).rstrip("/")
    for what, name in (
        ("report", "report.html"),
        ("family", "family"),
        ("trials", "trials.csv"),
        ("summary", "summary.json"),
    ):
        if (finished.folder / name).exists():
            click.echo(f"{what:<8} {place}/{name}")


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--recipe", is_flag=True, help="Sweep the learning rate at every φ instead: does its optimum move?")
@click.option("--out", help="The folder, or where else it is kept; reports/NAME-fidelity or -rates without it.")
@click.option("--address", help="Of a Ray cluster; without it Ray starts on this machine and stops at the end.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a key of the study.")
@click.option("--resume", is_flag=True, help="Go on with what is in the folder.")
@json_option
@guarded_command
def fidelity(
    study: Path,
    recipe: bool,
    out: str | None,
    address: str | None,
    settings: tuple[str, ...],
    resume: bool,
    as_json: bool,
) -> None:
    """Which cheaper training (epochs, images, resolution) ranks a STUDY's networks like the full one, and its price.

    Some networks of the space inside the budget are trained each way. A study that says `epochs: auto` takes the fewest
    epochs with Spearman's ρ of 0.9 or more by itself.
    """
    from scalesearch.runs import ProgressDisplay, run as run_study
    from scalesearch.study import find_study, load_study

    measure = "rates" if recipe else "trainings"
    loaded = load_study(find_study(study), {**dict(map(setting, settings)), "fidelity.measure": measure})
    progress = ProgressDisplay(loaded)
    with progress:
        done = run_study(
            loaded,
            out or Path("reports") / f"{loaded.name}-{'rates' if recipe else 'fidelity'}",
            address=address,
            resume=resume,
            observer=progress,
        )
    if as_json:
        click.echo(json.dumps(done.summary["rates" if recipe else "fidelity"], indent=2, ensure_ascii=False))
    elif recipe:
        print_rows(
            [
                {
                    "phi": row["phi"],
                    "macs": row["macs"],
                    **{f"×{rate:g}": score for rate, score in row["scores"]},
                    "best": row["best"],
                }
                for row in done.summary["rates"]
            ],
            False,
        )
        click.echo(done.summary["rates_say"])
    else:
        print_rows(
            [
                {
                    **{key: row[key] for key in ("name", "epochs", "data_share", "resolution", "networks", "price")},
                    "spearman": row["ranks"]["value"],
                    "low": row["ranks"]["low"],
                    "high": row["ranks"]["high"],
                }
                for row in done.summary["fidelity"]
            ],
            False,
        )
    click.echo(f"report   {out or done.folder}/report.html", err=as_json)


@main.command()
@click.argument("folder")
@guarded_command
def report(folder: str) -> None:
    """Write the report of a run's FOLDER again, also while it runs."""
    from scalesearch.runs import check_run, kept_source, local_copy, write_report
    from scalesearch.study import Driver, load_study
    from scalesearch.trials import TrialLog

    with local_copy(folder, write_back=True) as here:
        if not (here / "study.yaml").exists():
            raise InputError("is no run's folder: it has no study.yaml", folder)
        check_run(here)
        log = TrialLog(here / "trials.jsonl", repair=False)
        study = load_study(here / "study.yaml", known_data=kept_source(here))
        write_report(Driver(study, log), here)
    click.echo(f"{folder.rstrip('/')}/report.html")


@main.command()
@click.argument("folder", metavar="RUN")
@click.option("-n", "count", type=click.IntRange(1), default=3, show_default=True, help="How many trials.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of which ones.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    help="By which scores may be off.  [default: 0 on the kind of machine that it ran on, else 0.02]",
)
@json_option
@guarded_command
def verify(folder: str, count: int, seed: int, tolerance: float | None, as_json: bool) -> None:
    """Whether a RUN comes out again: all its trials are decided anew from its seeds, some trained anew.

    Exit code 1 where a network, a recipe or a score is not what the log says.
    """
    from dataclasses import asdict

    from scalesearch.runs import Verification, local_copy
    from scalesearch.watched import watched

    with local_copy(folder) as here:
        proof = Verification.of(here)
        allowed = tolerance if tolerance is not None else 0.0 if proof.same_machine else ELSEWHERE
        jobs = proof.sample(count, seed)
        verdicts = list(watched(proof.again(jobs, allowed), "training again", len(jobs)))
    faults = [f"{v.name}, seed {v.seed}: {v.fault}" for v in verdicts if v.fault]
    faults += [f"{name}: is not what the study's seeds lead to" for name in proof.strangers]
    told = {
        "trials": len(proof.log),
        "strangers": proof.strangers,
        "tolerance": allowed,
        "same_machine": proof.same_machine,
        "again": [asdict(v) for v in verdicts],
        "verified": not faults,
    }
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        print_rows(
            [
                {"name": v.name, "step": v.step, "seed": v.seed, "network": v.network, "recipe": v.recipe, "off": v.off}
                for v in verdicts
            ],
            False,
        )
        right = len(proof.log) - len(proof.strangers)
        click.echo(
            f"{right} of {numbered(len(proof.log), 'trial')} are what the study's seeds lead to; "
            f"{len(verdicts)} trained again, to within {allowed:g}"
        )
    for line in faults:
        click.echo(f"scalesearch: {line}", err=True)
    if faults:
        sys.exit(1)
