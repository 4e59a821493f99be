"""Commands to get started: template files, and JSON Schemas for editors."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.data import data_spec
from scalesearch.cli.group import main
from scalesearch.cli.options import PATH


@main.command()
@click.argument("folder", type=PATH, default=Path())
@click.option(
    "--data",
    "data_",
    help="Data set, as for train: the study is made for it and for this machine, each choice explained.",
)
def init(folder: Path, data_: str | None) -> None:
    """Write a commented study and space into FOLDER as a starting point; existing files are not overwritten."""
    from scalesearch.study import starter_study, write_starter_files

    study = ""
    if data_ is not None:
        from scalesearch.data import absolute_source, source
        from scalesearch.network import gpu_count

        located = absolute_source(data_spec(data_, {}))
        study = starter_study(source(located), str(located), gpu_count())
    for path in write_starter_files(folder, study):
        click.echo(path)
    click.echo(f"next: scalesearch run {folder / 'study.yaml'} --dry-run", err=True)


@main.command()
@click.argument("kind", type=click.Choice(["study", "space"]))
def schema(kind: str) -> None:
    """Print the JSON Schema of study or space files, for completion and checks in editors."""
    from scalesearch.study import schema_text

    click.echo(schema_text(kind), nl=False)
