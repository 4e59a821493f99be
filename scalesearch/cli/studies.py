"""Commands about spaces and studies."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import click

from scalesearch import yamlfile
from scalesearch.cli.group import main
from scalesearch.cli.options import PATH, Decorator, combined, json_option, seed_option, settings_option
from scalesearch.cli.printing import (
    Rows,
    exit_with,
    exit_with_file_error,
    format_certificate,
    parse_setting,
    print_faults,
    print_json,
    print_rows,
)
from scalesearch.errors import InputError, Interrupted, errors_at, format_count, format_seconds, unknown_message

if TYPE_CHECKING:
    from scalesearch.runs import Status
    from scalesearch.study import Study

OTHER_MACHINE_TOLERANCE = 0.02  # largest deviation of a score, as a share, on another kind of machine

_ray_address_option = click.option(
    "--address", help="Address of a Ray cluster. Default: Ray runs on this machine, for this command."
)


def _budget_options(help_text: str) -> Decorator:
    return combined(
        click.option("--budget", "budgets", multiple=True, metavar="BOUND", help=help_text),
        click.option("--device", type=PATH, help="Device profile for a bound on latency."),
    )


@main.command()
@click.argument("space", type=PATH)
@click.option("-n", "count_", type=click.IntRange(1), default=1, help="Number of architectures.")
@_budget_options(
    "Upper bound on MACs, such as 600M, or any other: 570M..630M, params=≤5M, memory=64MB. Can be repeated."
)
@seed_option("Seed of the sampling.")
@json_option
def sample(space: Path, count_: int, budgets: tuple[str, ...], device: Path | None, seed: int, as_json: bool) -> None:
    """Sample architectures uniformly from a SPACE, inside the budget; printed as YAML documents."""
    from random import Random

    from scalesearch.budget import Feasible
    from scalesearch.counting import cost as count_cost
    from scalesearch.space import arch_to_yaml, load_space

    loaded_space, rng, budget = load_space(space), Random(seed), _parse_budget(budgets, device)
    with yamlfile.read(space).errors_located():
        feasible = Feasible(loaded_space, budget)
        rows: Rows = []
        for number in range(count_):
            decisions = feasible.draw(rng)
            arch = loaded_space.at_unchecked(decisions).with_(name=f"{loaded_space.name}-{number}")
            rows.append({**arch.to_dict(), "decisions": decisions, "cost": count_cost(arch)._asdict()})
            if not as_json:
                click.echo(("---\n" if number else "") + arch_to_yaml(arch), nl=False)
    if as_json:
        click.echo(json.dumps(rows, indent=2))


def _parse_budget(bounds: tuple[str, ...], device: Path | None) -> Any:
    """Returns the budget of bounds such as `params=≤5M`, all of which must hold; one without a name is on MACs."""
    from scalesearch.budget import QUANTITIES, Budget, budget_from_dict

    budget, profile_entry = Budget(), {"device": str(device)} if device else {}
    with errors_at("--budget"):
        for text in bounds:
            quantity, equals, bound = map(str.strip, text.partition("="))
            if equals and quantity.isidentifier() and quantity not in QUANTITIES:
                raise InputError(unknown_message("quantity", quantity, QUANTITIES))
            if not equals or quantity not in QUANTITIES:  # `<=600M` has an equals sign too
                quantity, bound = "macs", text
            budget &= budget_from_dict({quantity: yamlfile.parse_scalar(bound), **profile_entry})
    return budget


@main.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=PATH)
@_budget_options("Bound for the spaces among the files, as for `sample`.")
@json_option
def check(files: tuple[Path, ...], budgets: tuple[str, ...], device: Path | None, as_json: bool) -> None:
    """Check spaces and studies and print their feasibility; exit code 2 and a line with the place for every fault."""
    from scalesearch.runs import check_file

    def note(text: str) -> None:
        if sys.stderr.isatty() and not as_json:
            click.echo(text, err=True)

    rows, faults, budget = [], 0, _parse_budget(budgets, device)
    for file in files:
        try:
            rows.append(check_file(file, budget, note))
        except InputError as error:
            faults += 1
            print_faults(error)
    if rows:
        print_rows(rows, as_json)
    if faults:
        sys.exit(2)


@main.command()
@click.argument("study", type=PATH)
@click.option("--out", help="Folder of the run, or a remote one such as s3://bucket/run. Default: reports/NAME.")
@_ray_address_option
@click.option(
    "--storage",
    default="",
    show_default=False,
    help="Also store the searches as Optuna studies: sqlite:///FILE, "
    "postgresql://…, mysql://…, journal:FILE. Default: optuna.journal in the run's folder.",
)
@settings_option("Change a setting of the study, such as search.trials=4.")
@click.option("--init", help="Folder of a trained network; trials start from the weights that they share with it.")
@click.option("--resume", is_flag=True, help="Continue the run in the folder.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan and stop.")
@click.option("--open", "opens", is_flag=True, help="Open a page on this machine that fills as trials end.")
@json_option
def run(
    study: Path,
    out: str | None,
    address: str | None,
    storage: str,
    settings: tuple[str, ...],
    init: str | None,
    resume: bool,
    dry_run: bool,
    opens: bool,
    as_json: bool,
) -> None:
    """Run a STUDY: search a base network and how to scale it, train the family, write the report.

    The family is trained beside hand-built networks, for comparison. A STUDY is a YAML file, or the name of one
    that is shipped with scalesearch: effnet_phi.
    """
    from scalesearch.study import find_study, load_study

    study = find_study(study)
    init_setting = {"init": str(Path(init).resolve())} if init else {}
    loaded = load_study(study, dict(map(parse_setting, settings)) | init_setting)
    if not dry_run:
        if loaded.training is not None:
            with loaded.located():
                loaded.problem.draw(Random(0))  # raises, naming the nearest budget, if no network is inside
        options = {
            "--address": address,
            "--storage": storage,
            "--init": init,
            "--out": out or str(Path("reports") / loaded.name),
        }
        resume_command = ["scalesearch", "run", str(study), *(f"--set={text}" for text in settings)]
        for option, value in options.items():
            resume_command += [option, str(value)] if value else []
        command = shlex.join([*resume_command, "--resume"])
        if opens and "://" in (out or ""):
            raise InputError("is for a run's folder on this machine", "--open")
        with _opened_page(Path(out or Path("reports") / loaded.name)) if opens else nullcontext():
            _run(loaded, out, address, storage, resume, as_json, command)
        return
    _print_plan(loaded, as_json)


def _print_plan(loaded: Study, as_json: bool) -> None:
    """Prints what a study would train, its feasibility, and about how long it takes."""
    from scalesearch.runs import certify_study, describe_data, estimate, plan, timed_seconds

    certificate = certify_study(loaded)
    rows = plan(loaded, certificate)
    costs = estimate(loaded, min(loaded.budget.max_macs, certificate.largest)) if certificate else None
    if certificate is None:
        print_rows(rows, as_json)
    elif as_json:
        bill = asdict(costs) if costs else None
        click.echo(json.dumps({"steps": rows, "certificate": certificate.to_dict(), "bill": bill}, indent=2))
    else:
        print_rows(rows)
        click.echo(f"{sum(row['trials'] for row in rows):,} trainings in all\n{describe_data(loaded)}")
        click.echo(format_certificate(certificate, loaded))
        if costs:
            click.echo(f"bill: {costs}")
        elif (seconds := timed_seconds(loaded, min(loaded.budget.max_macs, certificate.largest))) is not None:
            click.echo(f"time: about {format_seconds(seconds)} on the cores of this machine, by a few timed steps")
        elif loaded.training is not None:
            click.echo("time: not estimated for boxes and on GPUs; the run says what is left as it goes")
        if loaded.hours:
            click.echo(
                f"planned for {loaded.hours:g} h, by a pace that is measured first; the plan above does not take "
                "that into account yet"
            )


@contextmanager
def _opened_page(folder: Path) -> Iterator[None]:
    """Opens the live page of a run as soon as its folder is there, and serves it while the block runs."""
    import webbrowser

    from scalesearch.runs import live_server

    ended = threading.Event()

    def serve() -> None:
        while not ended.wait(0.5):
            if (folder / "trials.jsonl").exists():
                with suppress(InputError), live_server(folder) as address:
                    click.echo(f"live page {address}", err=True)
                    webbrowser.open(address)
                    ended.wait()
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(
    study: Study, out: str | None, address: str | None, storage: str, resume: bool, as_json: bool, resume_command: str
) -> None:
    from scalesearch.runs import ProgressDisplay, run as run_study

    try:
        with ProgressDisplay(study) as progress:
            finished_run = run_study(study, out, address=address, resume=resume, observer=progress, storage=storage)
    except OSError as error:  # a full disk is not an error in the input
        exit_with_file_error(error)
    except (Interrupted, KeyboardInterrupt) as interruption:
        saved = "what is unfinished is saved" if isinstance(interruption, Interrupted) else "nothing finished is lost"
        signal_number = getattr(interruption, "signal", signal.SIGINT)
        exit_with(128 + signal_number, f"interrupted; {saved}; go on with: {resume_command}")
    summary = finished_run.summary
    if as_json:
        print_json(summary)
        return
    print_rows(finished_run.printed)
    for row in summary["rows"]:
        if row.get("miss"):
            click.echo(f"{row['name']}: {row['miss']}")
        if row.get("untrained"):
            click.echo(f"{row['name']} did not train: {row['untrained']}")
    if "mean" in summary:
        mean, half = summary["mean"], summary["interval"]
        interval = f" ± {half:.3g} (95 % interval over the seeds)" if half else ""
        click.echo("mean of the best scores  " + ("–" if mean is None else f"{mean:.6g}") + interval)
    place = (out or str(finished_run.folder)).rstrip("/")
    for name in ("report.html", "family", "trials.csv", "summary.json"):
        if (finished_run.folder / name).exists():
            click.echo(f"{Path(name).stem:<8} {place}/{name}")


@main.command()
@click.argument("study", type=PATH)
@click.option(
    "--recipe", is_flag=True, help="Instead, sweep the learning rate at every φ to see whether its optimum moves."
)
@click.option(
    "--out",
    help="Folder, or a remote one such as s3://bucket/run. Default: reports/NAME-fidelity or reports/NAME-rates.",
)
@_ray_address_option
@settings_option("Change a setting of the study.")
@click.option("--resume", is_flag=True, help="Continue what is in the folder.")
@json_option
def fidelity(
    study: Path,
    recipe: bool,
    out: str | None,
    address: str | None,
    settings: tuple[str, ...],
    resume: bool,
    as_json: bool,
) -> None:
    """Find out which cheaper training ranks networks like the full one, and what it costs.

    Cheaper trainings have fewer epochs, fewer images or a lower resolution. Some networks from the STUDY's
    space, inside its budget, are trained in each way. A study with `epochs: auto` chooses the fewest epochs
    whose ranking has a Spearman's ρ of 0.9 or more.
    """
    from scalesearch.runs import ProgressDisplay, run as run_study
    from scalesearch.study import find_study, load_study

    subject, measure = ("rates", "rates") if recipe else ("fidelity", "trainings")
    loaded = load_study(find_study(study), {**dict(map(parse_setting, settings)), "fidelity.measure": measure})
    folder = out or Path("reports") / f"{loaded.name}-{subject}"
    with ProgressDisplay(loaded) as progress:
        finished_run = run_study(loaded, folder, address=address, resume=resume, observer=progress)
    results = finished_run.summary[subject]
    if as_json:
        print_json(results)
    elif recipe:
        rows = [
            {
                "phi": row["phi"],
                "macs": row["macs"],
                **{f"×{rate:g}": score for rate, score in row["scores"]},
                "best": row["best"],
            }
            for row in results
        ]
        print_rows(rows)
        click.echo(finished_run.summary["rates_say"])
    else:
        rows = [
            {
                **{key: row[key] for key in ("name", "epochs", "data_share", "resolution", "networks", "price")},
                "spearman": row["ranks"]["value"],
                "low": row["ranks"]["low"],
                "high": row["ranks"]["high"],
            }
            for row in results
        ]
        print_rows(rows)
    click.echo(f"report   {out or finished_run.folder}/report.html", err=as_json)


def _serve(folder: Path, port: int) -> None:
    """Serves a run's live page until Ctrl-C."""
    import webbrowser

    from scalesearch.runs import live_server

    with live_server(folder, port) as address:
        click.echo(f"{address}  (Ctrl-C ends it)", err=True)
        webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


@main.command()
@click.argument("folder", metavar="RUN")
@click.option(
    "--watch",
    type=click.FloatRange(0.2),
    is_flag=False,
    flag_value=2.0,
    metavar="SECONDS",
    help="Print it again every so many seconds (2 if none are given), until the run ends.",
)
@json_option
def status(folder: str, watch: float | None, as_json: bool) -> None:
    """Print how far a RUN has come: its step, trials, best score, time left, and what is being trained where.

    The run itself is not touched; it may be going on, have ended or have been stopped.
    """
    from scalesearch.runs import local_copy, run_status

    while True:
        with local_copy(folder) as local_folder:
            current = run_status(local_folder, folder)
        if as_json:
            print_json(current.to_dict())
        else:
            _print_status(current)
        if watch is None or current.state != "running":
            return
        time.sleep(watch)


def _print_status(current: Status) -> None:
    parts = [f"{current.done:,} of {current.planned:,} trials"]
    parts += [f"{current.failed:,} failed"] if current.failed else []
    parts += [f"best {current.best}"] if current.best else []
    ended = current.state == "finished"
    parts += [format_seconds(current.seconds) + ("" if ended else " so far")] if current.seconds else []
    parts += [f"{current.left} left"] if current.left else []
    click.echo(f"{current.name}: {current.state}{'' if ended else f', {current.step}'}; {', '.join(parts)}")
    rows: Rows = [
        {
            "running": trial.name,
            "epoch": f"{trial.epoch:g} of {trial.epochs:g}",
            "train loss": trial.train_loss,
            "for": format_seconds(max(1.0, time.time() - trial.since)),
            "worker": trial.worker or None,
        }
        for trial in current.running
    ]
    if rows:
        print_rows(rows)


@main.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(), help="The page of several runs.  [default: runs.html]")
@click.option("--live", is_flag=True, help="Instead, serve a page on this machine that fills as trials end.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, show_default=False, help="With --live: the port.")
@json_option
def report(folders: tuple[str, ...], out: str | None, live: bool, port: int, as_json: bool) -> None:
    """Write the report of a RUN again; also while the run is in progress.

    Several runs of the same data are set beside each other on one page, with means over them. With --live nothing is
    written: the page is read-only and may be opened and closed as often as one likes; Ctrl-C ends it.
    """
    if port and not live:
        raise InputError("is for --live", "--port")
    if live:
        if len(folders) > 1:
            raise InputError("is for one run", "--live")
        _serve(Path(folders[0]), port)
        return
    from scalesearch.runs import local_copy, open_run, read_run, write_report

    if len(folders) == 1:
        if out is not None:
            raise InputError("is for several runs; the report of one is written into its folder", "--out")
        with local_copy(folders[0], write_back=True) as local_folder:
            summary = write_report(open_run(local_folder, folders[0]), local_folder)
        if as_json:
            print_json(summary)
        click.echo(f"{folders[0].rstrip('/')}/report.html", err=as_json)
        return
    from scalesearch.files import save_text
    from scalesearch.report import side_by_side, table_rows

    infos = {}
    for folder in folders:
        name = folder.rstrip("/")
        if name in infos:
            raise InputError("is given twice", folder)
        with local_copy(folder) as local_folder:
            infos[name] = read_run(local_folder, folder)
    page = side_by_side(infos)
    path = Path(out or "runs.html")
    save_text(page, path)
    if as_json:
        print_json(table_rows(infos))
    else:
        print_rows(list(table_rows(infos)))
    click.echo(f"report   {path}", err=as_json)


@main.command()
@click.argument("folder", metavar="RUN")
@click.option("-n", "count", type=click.IntRange(1), default=3, help="Number of trials to train again.")
@seed_option("Seed for choosing these trials.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    help="Largest allowed deviation of a score.  [default: 0 on the kind of machine that the run used, else 0.02]",
)
@json_option
def verify(folder: str, count: int, seed: int, tolerance: float | None, as_json: bool) -> None:
    """Check that a RUN can be reproduced.

    All its trials are derived again from its seeds, and some are trained again. The exit code is 1 if a
    network, a recipe or a score differs from the log.
    """
    from scalesearch.progress import with_progress
    from scalesearch.runs import Verification, local_copy

    with local_copy(folder) as local_folder:
        proof = Verification.of(local_folder)
        allowed = tolerance if tolerance is not None else 0.0 if proof.same_machine else OTHER_MACHINE_TOLERANCE
        jobs = proof.sample(count, seed)
        verdicts = list(with_progress(proof.retrain(jobs, allowed), "training again", len(jobs)))
    faults = [f"{v.name}, seed {v.seed}: {v.fault}" for v in verdicts if v.fault]
    faults += [f"{name}: would not have been tried with this study's seeds" for name in proof.foreign_trials]
    if as_json:
        print_json(
            {
                "trials": len(proof.log),
                "strangers": proof.foreign_trials,
                "tolerance": allowed,
                "same_machine": proof.same_machine,
                "again": [asdict(v) for v in verdicts],
                "verified": not faults,
            }
        )
    else:
        rows = [
            {"name": v.name, "step": v.step, "seed": v.seed, "network": v.network, "recipe": v.recipe, "off": v.off}
            for v in verdicts
        ]
        print_rows(rows)
        matching = len(proof.log) - len(proof.foreign_trials)
        click.echo(
            f"{matching} of {format_count(len(proof.log), 'trial')} follow from the study's seeds; "
            f"{len(verdicts)} trained again (tolerance {allowed:g})"
        )
    for line in faults:
        click.echo(f"scalesearch: {line}", err=True)
    if faults:
        sys.exit(1)
