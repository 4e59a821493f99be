"""The `data` command, and data sets as commands name them."""

from __future__ import annotations

from pathlib import Path

import click

from scalesearch.cli.group import main
from scalesearch.cli.options import PATH, data_options, json_option
from scalesearch.cli.printing import print_json, print_rows
from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict, PlainMapping


def data_spec(data: str, options: PlainMapping) -> str | PlainDict:
    """Returns a data set as a study names it: the name alone, or a mapping with the options that are set.

    Raises `InputError` for the name of a data set that is also a folder here.
    """
    from scalesearch.data import check_distinct_name

    check_distinct_name(data)
    set_options = {key: value for key, value in options.items() if value is not None}
    return {"source": data, **set_options} if set_options else data


@main.command()
@click.argument("data")
@data_options
@click.option("--seed", type=int, help="Seed of the splits that are made here.")
@click.option("--html", type=PATH, help="Write a page with thumbnails to this HTML file.")
@json_option
def data(data: str, html: Path | None, as_json: bool, **dataset_options: object) -> None:
    """Check a data set: images per class and split; unreadable, rotated, duplicated and leaking images.

    DATA is a folder of class folders (with or without folders of splits above them), a CSV or parquet file or a
    folder of them, an .npz file, one of CIFAR's archives, hf:OWNER/NAME, or a name: cifar10, cifar100,
    imagenette, imagenet. Data with boxes: a folder in PASCAL VOC's layout; YOLO's data YAML or its folders
    images and labels; COCO's .json or folders. The exit code is 2 if no study could train on the data.
    """
    from scalesearch.data import SOURCES, data_set

    spec = data_spec(data, dataset_options)
    if data in SOURCES:
        raise InputError(f"is built in and needs no check: {SOURCES[data].origin}", data)
    dataset = data_set(spec)
    health = dataset.health
    if html is not None:
        from scalesearch.files import save_text
        from scalesearch.report import health_page

        save_text(health_page(dataset), html)
    if as_json:
        print_json(health.to_dict() | {"warnings": health.warnings})
    else:
        print_rows([{"class": name, **counts, "all": sum(counts.values())} for name, counts in health.classes.items()])
        box_count = f"{format_count(health.boxes['count'], 'box')} in " if health.boxes else ""
        click.echo(
            f"{box_count}{format_count(health.images, 'image')} in {format_count(len(health.classes), 'class')}; "
            + ", ".join(f"{split}: {origin}" for split, origin in health.splits.items())
        )
        for side, size in health.sizes.items():
            click.echo(f"{side:<7} {size['smallest']} … {size['largest']} pixels, median {size['median']}")
        for line in health.warnings:
            click.echo(f"! {line}")
        if not health.warnings:
            click.echo("nothing is broken, turned, doubled or missing")
    if html is not None:
        click.echo(f"page    {html}", err=True)
    dataset.check()
