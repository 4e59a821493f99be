"""Commands to get started: template files, and JSON Schemas for editors."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.data import data_spec
from scalesearch.cli.group import main
from scalesearch.cli.options import PATH, json_option
from scalesearch.cli.printing import print_json
from scalesearch.errors import InputError


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
@click.option(
    "--explain",
    "key",
    metavar="KEY",
    help="Instead, explain a key of a study, or a section: recipe.mixup, scale, epochs; all for every key.",
)
@click.option("--table", "of_table", is_flag=True, help="With --explain: the keys of a study that searches a table.")
@json_option
def schema(kind: str, key: str | None, of_table: bool, as_json: bool) -> None:
    """Print the JSON Schema of study or space files, for completion and checks in editors.

    With --explain, print what a key takes, its default and its meaning.
    """
    from scalesearch.study import explain, schema_text, study_keys

    if key is not None:
        if kind != "study":
            raise InputError("is for studies; a space's keys are those of its blocks", "--explain")
        of = "table" if of_table else "training"
        keys = study_keys(of) if key == "all" else explain(key, of)
        if as_json:
            print_json([k._asdict() for k in keys])
            return
        for entry in keys:
            click.echo(f"{entry.path}: {entry.takes}; default {entry.default}\n    {entry.meaning}")
        return

    click.echo(schema_text(kind), nl=False)
