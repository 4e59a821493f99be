"""The command about data sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.group import main
from scalesearch.cli.printing import guarded_command, json_option, print_rows
from scalesearch.errors import InputError, numbered


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is said of a data set beside its name: columns, and shares of the splits that are made here."""
    for option in (
        click.option("--test", type=float, help="Share cut off for the test, where there is none.  [default: 0.15]"),
        click.option("--val", type=float, help="Share of training cut off for validation.  [default: 0.15]"),
        click.option("--label", help="Column of a table that holds the classes, where it isn't called so."),
        click.option("--image", help="Column of a table that holds paths or images, where it isn't called so."),
    ):
        command = option(command)
    return command


def told_data(data: str, said: Mapping[str, Any]) -> str | dict[str, Any]:
    """As a study tells it."""
    given = {key: value for key, value in said.items() if value is not None}
    return {"source": data, **given} if given else data


@main.command()
@click.argument("data")
@data_options
@click.option("--seed", type=int, help="Of the splits that are made here.")
@click.option("--html", type=click.Path(path_type=Path), help="Write one page with thumbnails there.")
@json_option
@guarded_command
def data(data: str, html: Path | None, as_json: bool, **said: Any) -> None:
    """The health of a data set: counts by class and split, broken, turned, doubled and leaking images.

    DATA is a folder of class folders (with or without folders of splits above them), a CSV or parquet file or a folder
    of them, an .npz file, one of CIFAR's archives, hf:OWNER/NAME, or a name: cifar10, cifar100, imagenette, imagenet.
    With boxes: a folder as PASCAL VOC has it, YOLO's data YAML or folders images and labels, COCO's .json or folders.
    Exit code 2 where no study could train on it.
    """
    from scalesearch.data import SOURCES, data_set

    if data in SOURCES:
        raise InputError(f"comes along and is known to be sound: {SOURCES[data].origin}", data)
    opened = data_set(told_data(data, said))
    health = opened.health
    if html is not None:
        from scalesearch.files import save_text
        from scalesearch.report import health_page

        save_text(health_page(opened), html)
    if as_json:
        click.echo(json.dumps(health.to_dict() | {"warnings": health.warnings}, indent=2, ensure_ascii=False))
    else:
        rows = [{"class": name, **counted, "all": sum(counted.values())} for name, counted in health.classes.items()]
        print_rows(rows, False)
        counted = f"{numbered(health.boxes['count'], 'box')} in " if health.boxes else ""
        click.echo(
            f"{counted}{numbered(health.images, 'image')} in {numbered(len(health.classes), 'class')}; "
            + ", ".join(f"{split}: {origin}" for split, origin in health.splits.items())
        )
        for side, found in health.sizes.items():
            click.echo(f"{side:<7} {found['smallest']} … {found['largest']} pixels, median {found['median']}")
        for line in health.warnings:
            click.echo(f"! {line}")
        if not health.warnings:
            click.echo("nothing is broken, turned, doubled or missing")
    if html is not None:
        click.echo(f"page    {html}", err=True)
    opened.check()
