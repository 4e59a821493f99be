"""Commands for studies that run as jobs on a Ray cluster."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.group import main
from scalesearch.cli.options import PATH, combined, json_option, settings_option
from scalesearch.cli.printing import exit_with, parse_setting, print_rows
from scalesearch.errors import InputError

address_option = click.option(
    "--address",
    envvar="RAY_API_SERVER_ADDRESS",
    required=True,
    metavar="http://HEAD:8265",
    help="Address of the cluster's dashboard. Default: the environment variable RAY_API_SERVER_ADDRESS.",
)


_job_arguments = combined(click.argument("job"), address_option)


@main.command()
@click.argument("study", type=PATH)
@address_option
@click.option(
    "--out",
    default="",
    show_default=False,
    help="Folder of the run on the cluster. Default: $HOME/scalesearch/NAME-TIME on the head node.",
)
@settings_option("Change a setting of the study.")
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--detach", is_flag=True, help="Print the job's id and return without following it.")
@click.pass_context
def submit(
    context: click.Context, study: Path, address: str, out: str, settings: tuple[str, ...], resume: bool, detach: bool
) -> None:
    """Run a STUDY as a job on a Ray cluster; it keeps running if this terminal closes.

    The study is sent with its spaces, the files given by --blocks, and this package. The cluster must have
    torch and Ray installed, and data named by a path must be there.
    """
    from scalesearch.runs import ClusterJobs
    from scalesearch.study import find_study, load_study

    if out and not out.startswith(("/", "$")) and "://" not in out:
        raise InputError(f"takes an absolute path on the cluster, or s3://…; got {out}", "--out")
    cluster = ClusterJobs.connect(address)
    loaded = load_study(find_study(study), dict(map(parse_setting, settings)))
    job = cluster.submit(loaded, out, (context.obj or {}).get("blocks", ()), resume)
    if detach:
        click.echo(job)
    else:
        _follow(cluster, job)


@main.command()
@address_option
@json_option
def jobs(address: str, as_json: bool) -> None:
    """List the studies on a Ray cluster, newest first."""
    from scalesearch.runs import ClusterJobs

    rows = [asdict(job) for job in ClusterJobs.connect(address).newest_first()]
    if not as_json:
        for row in rows:
            row["started"] = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started"])) if row["started"] else None
    print_rows(rows, as_json)


@main.command()
@_job_arguments
def attach(job: str, address: str) -> None:
    """Follow the output of a JOB from its beginning; Ctrl-C stops following, the job keeps running."""
    from scalesearch.runs import ClusterJobs

    cluster = ClusterJobs.connect(address)
    cluster.get(job)
    _follow(cluster, job)


def _follow(cluster: Any, job: str) -> None:
    from scalesearch.runs import check_ended_well

    address_argument = f"--address {cluster.address}"
    click.echo(f"job      {job}; to follow it again: scalesearch attach {job} {address_argument}", err=True)
    try:
        for line in cluster.follow(job):
            click.echo(line)
    except KeyboardInterrupt:
        exit_with(130, f"{job} keeps running; attach follows it, stop ends it")
    check_ended_well(cluster.get(job))
    click.echo(f"results  scalesearch fetch {job} {address_argument}", err=True)


@main.command()
@_job_arguments
@json_option
def stop(job: str, address: str, as_json: bool) -> None:
    """Stop a JOB; unfinished work is saved."""
    from scalesearch.runs import ClusterJobs

    cluster = ClusterJobs.connect(address)
    cluster.get(job)
    cluster.stop(job)
    job_info = cluster.get(job)
    click.echo(json.dumps(asdict(job_info)) if as_json else f"{job} {job_info.status.lower()}")


@main.command()
@_job_arguments
@click.option("--out", type=PATH, help="Folder to download into. Default: reports/STUDY.")
def fetch(job: str, address: str, out: Path | None) -> None:
    """Download the results of a JOB: report, family with weights, log; also while it is running."""
    from scalesearch.runs import ClusterJobs, check_free

    cluster = ClusterJobs.connect(address)
    job_info = cluster.get(job)
    folder = out or Path("reports") / job_info.study
    check_free(folder)
    cluster.fetch(job, folder)
    click.echo(f"{job_info.status.lower():<9} {folder}")
