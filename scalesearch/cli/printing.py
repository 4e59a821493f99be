"""What the commands share: errors as one line, numbers as people write them, rows as a table or as JSON."""

from __future__ import annotations

import errno
import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, TypeVar, cast

import click

from scalesearch import yamlfile
from scalesearch.arch import Resolution
from scalesearch.errors import InputError, Interrupted, WorkFailed, format_value
from scalesearch.plain_data import PlainDict
from scalesearch.progress import use_progress

Command = TypeVar("Command", bound=Callable[..., Any])

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # not an error in the input
Rows = list[PlainDict]
LONG_SECONDS = 1.0  # work is reported if it takes longer, in seconds


def guarded_command(command: Command) -> Command:
    """Wraps a command so that errors are printed as one line, without a traceback.

    Exit codes: 2 for errors in the input and files that cannot be used, 1 for failed work and a full disk, 128
    plus the signal's number for an interruption, 0 for a closed pipe.
    """

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            with use_progress(_Progress()):
                return command(*args, **kwargs)
        except InputError as error:
            click.echo(f"scalesearch: {error}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            click.echo(f"scalesearch: {error.filename or 'file'}: {error.strerror or error}", err=True)
            sys.exit(1 if error.errno in DISK_FULL else 2)
        except (Interrupted, KeyboardInterrupt) as interruption:
            hint = (
                "; what is unfinished is saved, --resume continues it" if isinstance(interruption, Interrupted) else ""
            )
            click.echo(f"scalesearch: interrupted{hint}", err=True)
            sys.exit(128 + getattr(interruption, "signal", signal.SIGINT))
        except WorkFailed as error:
            click.echo(f"scalesearch: {error}", err=True)
            sys.exit(1)
        except (MemoryError, RuntimeError) as error:  # torch raises these for failed work
            lines = str(error).strip().splitlines() or [""]
            click.echo(f"scalesearch: {type(error).__name__}: {lines[0]}", err=True)
            sys.exit(1)

    return cast(Command, guarded)


class _Progress:
    """Reports progress of commands that take longer than a second: a bar on a terminal, elsewhere one line.

    Later work gets a further line only if it takes longer than a second by itself.
    """

    def __init__(self) -> None:
        self.started, self.announced = time.monotonic(), False

    def __call__(self, items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
        iterator, started, done = iter(items), time.monotonic() if self.announced else self.started, 0
        for item in iterator:
            yield item
            done += 1
            if time.monotonic() - started > LONG_SECONDS:
                break
        else:
            return
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True, highlight=False)
        if console.is_terminal:
            yield from track(iterator, what, total, done, console=console, transient=True)
            return
        self.announced = True
        click.echo(f"{what}: {done:,} of {total:,} so far", err=True)
        yield from iterator


def with_bar(items: Iterable[Any], what: str, total: int | None) -> Iterable[Any]:
    """Returns `items`, showing a progress bar on a terminal if there are several; elsewhere nothing is shown."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    quiet = not console.is_terminal or (total is not None and total < 2)
    return track(items, what, total=total, console=console, disable=quiet, transient=True)


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


class Sides(click.ParamType[Resolution]):
    """A resolution in pixels: 224, or 384x640 (height and width)."""

    name = "side"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        parts = str(value).lower().replace("×", "x").split("x")
        if not 1 <= len(parts) <= 2 or not all(p.isascii() and p.isdecimal() and 1 <= int(p) <= 8192 for p in parts):
            self.fail(f"takes a side from 1 to 8192, or HEIGHTxWIDTH such as 384x640, got {value!r}", param, ctx)
        return int(parts[0]) if len({*map(int, parts)}) == 1 else tuple(map(int, parts))


SIDES = Sides()


def json_option(command: Command) -> Command:
    """Adds the option --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def raw_option(command: Command) -> Command:
    """Adds the option --raw."""
    help_text = "If a file has both averaged (EMA) and raw weights, load the raw ones."
    return click.option("--raw", is_flag=True, help=help_text)(command)


def print_rows(rows: Rows, as_json: bool, notes: tuple[str, ...] = ()) -> None:
    """Prints rows as a table, or as JSON; `notes` follow a table on stderr."""
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    rows = [{key: row.get(key) for key in keys} for row in rows]
    for key in keys:
        is_numeric = all(isinstance(row[key], (int, float, type(None))) for row in rows)
        table.add_column(key, justify="right" if is_numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    # a piped table is as wide as it needs to be
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False)
    console.print(table)
    for note in notes:
        click.echo(note, err=True)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "×".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def format_share(value: float) -> str:
    """Returns a share in [0, 1] as text in percent: `12.50%`."""
    return f"{value:.2%}"


def parse_amount(text: str, place: str) -> int:
    """Returns an amount such as 600M or 1.2G as an integer. Raises `InputError`, at `place`, for anything else."""
    value = yamlfile.parse_scalar(text)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 1 <= value <= 1e18:
        raise InputError(f"takes an amount such as 600M or 1.2G, got {format_value(text)}", place)
    return round(value)


def parse_setting(text: str) -> tuple[str, Any]:
    """Returns key and parsed value of a `KEY=VALUE` argument. Raises `InputError` for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key or "\n" in text:
        raise InputError(f"takes KEY=VALUE, got {text!r}", "--set")
    return key, yamlfile.parse(f"value: {value}", "--set").data["value"]


def format_certificate(certificate: Any, study: Any) -> str:
    """Returns two lines about a study's space: its size and MACs, and the share inside the budget."""
    low, high = certificate.interval
    interval = "" if certificate.exact else f" (95 % interval {100 * low:.3g}% to {100 * high:.3g}%)"
    inside_share = f"{100 * certificate.inside:.3g}%{interval}"
    size = f"{certificate.size:,}" if isinstance(certificate.size, int) else "infinitely many"
    networks = certificate.networks
    network_part = f", {networks:,} of them networks" if networks not in (None, certificate.size) else ""
    return (
        f"space: {size} architectures{network_part}; MACs from {certificate.smallest:,} over {certificate.median:,} "
        f"(median) to {certificate.largest:,}\nbudget: {study.budget}; {inside_share} of the space is inside"
    )
