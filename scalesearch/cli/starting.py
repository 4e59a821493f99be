"""Commands to start from: files of one's own, and schemas for editors."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.group import main
from scalesearch.cli.printing import guarded_command


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@guarded_command
def init(folder: Path) -> None:
    """Write a commented study and space to start from into FOLDER; nothing that exists is written over."""
    from scalesearch.study import start_in

    for path in start_in(folder):
        click.echo(path)
    click.echo(f"now: scalesearch run {folder / 'study.yaml'} --dry-run", err=True)


@main.command()
@click.argument("kind", type=click.Choice(["study", "space"]))
@guarded_command
def schema(kind: str) -> None:
    """The JSON Schema of study or space files, which editors complete and check with."""
    from scalesearch.study import schema_text

    click.echo(schema_text(kind), nl=False)
