"""Commands to get started: template files, and JSON Schemas for editors."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.group import main
from scalesearch.cli.options import PATH


@main.command()
@click.argument("folder", type=PATH, default=Path())
def init(folder: Path) -> None:
    """Write a commented study and space into FOLDER as a starting point; existing files are not overwritten."""
    from scalesearch.study import write_starter_files

    for path in write_starter_files(folder):
        click.echo(path)
    click.echo(f"next: scalesearch run {folder / 'study.yaml'} --dry-run", err=True)


@main.command()
@click.argument("kind", type=click.Choice(["study", "space"]))
def schema(kind: str) -> None:
    """Print the JSON Schema of study or space files, for completion and checks in editors."""
    from scalesearch.study import schema_text

    click.echo(schema_text(kind), nl=False)
