"""The arguments and options that commands share, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scalesearch import yamlfile

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

PATH = click.Path(path_type=Path)
CLASS_COUNT = click.IntRange(1, 1_000_000)


class Number(click.ParamType[float]):
    """A finite number between two bounds; 2% is a number."""

    name = "number"

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = yamlfile.parse_scalar(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not self.low <= number <= self.high:
            self.fail(f"takes a number between {self.low:g} and {self.high:g}, got {value!r}", param, ctx)
        return float(number)


class Sides(click.ParamType[int | tuple[int, int]]):
    """A resolution in pixels: 224, or 384x640 (height and width)."""

    name = "side"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        parts = str(value).lower().replace("×", "x").split("x")
        if not 1 <= len(parts) <= 2 or not all(p.isascii() and p.isdecimal() and 1 <= int(p) <= 8192 for p in parts):
            self.fail(f"takes a side from 1 to 8192, or HEIGHTxWIDTH such as 384x640, got {value!r}", param, ctx)
        return int(parts[0]) if len({*map(int, parts)}) == 1 else tuple(map(int, parts))


def combined(*decorators: Decorator) -> Decorator:
    """Returns a decorator that adds several arguments and options, which the help lists in this order."""

    def add_all(command: Command) -> Command:
        """Adds the arguments and options to a command."""
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add_all


def resolution_option(help_text: str) -> Decorator:
    """Returns the option --resolution; what it does by default differs between commands."""
    return click.option("--resolution", type=Sides(), help=help_text)


def strides_option(default: str) -> Decorator:
    """Returns the option --strides; its default differs between commands."""
    return click.option(
        "--strides",
        type=click.Choice(["fitted", "native"]),
        default=default,
        help="native keeps MODEL's strides; fitted lowers the earliest until the last map has 2×2 pixels or more.",
    )


def seed_option(help_text: str, most: int = 2**63 - 1) -> Decorator:
    """Returns the option --seed, a whole number of at most 63 bits, as generators of random numbers take it."""
    return click.option("--seed", type=click.IntRange(0, most), default=0, help=help_text)


def settings_option(help_text: str) -> Decorator:
    """Returns the option --set, whose values `parse_setting` takes."""
    return click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help=help_text)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
models_argument = click.argument("models", metavar="MODEL...", nargs=-1, required=True)
device_option = click.option("--device", help="cuda, cuda:1 or cpu. Default: a GPU if there is one.")
raw_option = click.option(
    "--raw", is_flag=True, help="If a file has both averaged (EMA) and raw weights, load the raw ones."
)
trained_weights_options = combined(
    click.option(
        "--weights",
        help="A .safetensors, .pth or Darknet .weights file, or hf_hub:OWNER/NAME. Default: those in MODEL's folder.",
    ),
    raw_option,
)
weights_classes_option = click.option(
    "--classes", type=CLASS_COUNT, help="Number of classes of the weights, if not the model's own."
)
names_option = click.option("--names", type=PATH, help="Text file with one class name per line.")
# of commands that look at photos: a MODEL with its weights, and the images
photo_arguments = combined(
    click.argument("model"),
    click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=PATH),
    trained_weights_options,
    resolution_option("Input resolution: a side in pixels, or HEIGHTxWIDTH."),
    weights_classes_option,
    names_option,
)
# of a data set: its columns, and the shares of splits that are made here
data_options = combined(
    click.option("--image", help="Column of a table that holds paths or images, if its name does not tell."),
    click.option("--label", help="Column of a table that holds the classes, if its name does not tell."),
    click.option(
        "--val",
        type=float,
        help="Share of the training images for validation, if the data has no such split.  [default: 0.15]",
    ),
    click.option(
        "--test",
        type=float,
        help="Share of the images to set aside for testing, if the data has no test split.  [default: 0.15]",
    ),
)
