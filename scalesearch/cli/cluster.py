"""Commands about studies that run as jobs on a Ray cluster."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.group import main
from scalesearch.cli.printing import guarded_command, json_option, print_rows, setting
from scalesearch.errors import InputError

address_option = click.option(
    "--address",
    envvar="RAY_API_SERVER_ADDRESS",
    required=True,
    metavar="http://HEAD:8265",
    help="Of the cluster's dashboard; or the environment's RAY_API_SERVER_ADDRESS.",
)


def _job(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("job")(address_option(command))


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@address_option
@click.option(
    "--out",
    default="",
    help="The run's folder as the cluster sees it; $HOME/scalesearch/NAME-TIME on its head without it.",
)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a key of the study.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--detach", is_flag=True, help="Print the job's id and don't follow it.")
@click.pass_context
@guarded_command
def submit(
    context: click.Context, study: Path, address: str, out: str, settings: tuple[str, ...], resume: bool, detach: bool
) -> None:
    """Run a STUDY as a job on a Ray cluster; it survives this terminal.

    The study goes whole, with its spaces and files given by --blocks, and so does this package; torch and Ray must be
    on the cluster, and data that is named by a path must lie there.
    """
    from scalesearch.runs import Jobs
    from scalesearch.study import find_study, load_study

    if out and not out.startswith(("/", "$")) and "://" not in out:
        raise InputError(f"takes a path from the root, as the cluster sees it, or s3://…; got {out}", "--out")
    cluster = Jobs.at(address)
    loaded = load_study(find_study(study), dict(map(setting, settings)))
    job = cluster.submit(loaded, out, (context.obj or {}).get("blocks", ()), resume)
    if detach:
        click.echo(job)
    else:
        _follow(cluster, job)


@main.command()
@address_option
@json_option
@guarded_command
def jobs(address: str, as_json: bool) -> None:
    """Studies on a Ray cluster, the newest first."""
    from scalesearch.runs import Jobs

    rows = [asdict(job) for job in Jobs.at(address).all()]
    if not as_json:

        def shown(at):
            return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else None

        rows = [row | {"started": shown(row["started"])} for row in rows]
    print_rows(rows, as_json)


@main.command()
@_job
@guarded_command
def attach(job: str, address: str) -> None:
    """Follow a JOB from its beginning; Ctrl-C lets go of it and leaves it alone."""
    from scalesearch.runs import Jobs

    cluster = Jobs.at(address)
    cluster.one(job)
    _follow(cluster, job)


def _follow(cluster: Any, job: str) -> None:
    from scalesearch.runs import check_ended_well

    where = f"--address {cluster.address}"
    click.echo(f"job      {job}; follow it again by: scalesearch attach {job} {where}", err=True)
    try:
        for line in cluster.follow(job):
            click.echo(line)
    except KeyboardInterrupt:
        click.echo(f"scalesearch: {job} goes on; attach follows it, stop ends it", err=True)
        sys.exit(130)
    check_ended_well(cluster.one(job))
    click.echo(f"results  scalesearch fetch {job} {where}", err=True)


@main.command()
@_job
@json_option
@guarded_command
def stop(job: str, address: str, as_json: bool) -> None:
    """End a JOB; what is unfinished is saved."""
    from scalesearch.runs import Jobs

    cluster = Jobs.at(address)
    cluster.one(job)
    cluster.stop(job)
    ended = cluster.one(job)
    click.echo(json.dumps(asdict(ended)) if as_json else f"{job} {ended.status.lower()}")


@main.command()
@_job
@click.option("--out", type=click.Path(path_type=Path), help="Where to; reports/STUDY without it.")
@guarded_command
def fetch(job: str, address: str, out: Path | None) -> None:
    """Bring a JOB's results home: report, family with weights, log; also in the middle of it."""
    from scalesearch.runs import Jobs, check_free

    cluster = Jobs.at(address)
    there = cluster.one(job)
    folder = out or Path("reports") / there.study
    check_free(folder)
    cluster.fetch(job, folder)
    click.echo(f"{there.status.lower():<9} {folder}")
