"""What the commands share: errors as one line, amounts and numbers as people write them, rows as a table or as JSON."""

from __future__ import annotations

import errno
import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import click

from scalesearch import yamlfile
from scalesearch.errors import InputError, Interrupted, WorkFailed, shown
from scalesearch.watched import watched_by

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # no mistake in the input
Rows = list[dict[str, Any]]
LONG = 1.0  # seconds of work that are worth a line


def guarded_command(command: Callable) -> Callable:
    """User errors as one or two lines and exit code 2, failed work as one line and exit code 1."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            with watched_by(_Progress()):
                return command(*args, **kwargs)
        except InputError as error:
            click.echo(f"scalesearch: {error}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            click.echo(f"scalesearch: {error.filename or 'file'}: {error.strerror or error}", err=True)
            sys.exit(1 if error.errno in FULL else 2)
        except (Interrupted, KeyboardInterrupt) as stopped:
            saved = "; what is unfinished is saved, --resume goes on" if isinstance(stopped, Interrupted) else ""
            click.echo(f"scalesearch: interrupted{saved}", err=True)
            sys.exit(128 + getattr(stopped, "signal", signal.SIGINT))
        except WorkFailed as error:
            click.echo(f"scalesearch: {error}", err=True)
            sys.exit(1)
        except (MemoryError, RuntimeError) as error:  # torch's word for work that failed
            first = str(error).strip().splitlines() or [""]
            click.echo(f"scalesearch: {type(error).__name__}: {first[0]}", err=True)
            sys.exit(1)

    return guarded


class _Progress:
    """Once a command turns out to take long, a bar on a terminal, elsewhere a line; further lines for work that takes
    long by itself."""

    def __init__(self) -> None:
        self.began, self.said = time.monotonic(), False

    def __call__(self, items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
        rest, began, number = iter(items), time.monotonic() if self.said else self.began, 0
        for item in rest:
            yield item
            number += 1
            if time.monotonic() - began > LONG:
                break
        else:
            return
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True, highlight=False)
        if console.is_terminal:
            yield from track(rest, what, total, number, console=console, transient=True)
            return
        self.said = True
        click.echo(f"{what}: {number:,} of {total:,} so far", err=True)
        yield from rest


def with_bar(items: Iterable[Any], what: str, total: int | None) -> Iterable[Any]:
    """A bar on a terminal while `items` are gone through, where they are several; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    quiet = not console.is_terminal or (total is not None and total < 2)
    return track(items, what, total=total, console=console, disable=quiet, transient=True)


class Number(click.ParamType):
    """A finite decimal between bounds; 2% is a number."""

    name = "number"

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = yamlfile.scalar(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not self.low <= number <= self.high:
            self.fail(f"takes a number between {self.low:g} and {self.high:g}, got {value!r}", param, ctx)
        return float(number)


class Sides(click.ParamType):
    """224, or 384x640: height and width."""

    name = "side"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        parts = str(value).lower().replace("×", "x").split("x")
        if not 1 <= len(parts) <= 2 or not all(p.isascii() and p.isdecimal() and 1 <= int(p) <= 8192 for p in parts):
            self.fail(f"takes a side from 1 to 8192, or HEIGHTxWIDTH as 384x640, got {value!r}", param, ctx)
        return int(parts[0]) if len({*map(int, parts)}) == 1 else tuple(map(int, parts))


SIDES = Sides()


def json_option(command: Callable) -> Callable:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def raw_option(command: Callable) -> Callable:
    said = "Where averaged weights (EMA) lie beside others, the others."
    return click.option("--raw", is_flag=True, help=said)(command)


def print_rows(rows: Rows, as_json: bool, notes: tuple[str, ...] = ()) -> None:
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
        number = all(isinstance(row[key], (int, float, type(None))) for row in rows)
        table.add_column(key, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    # a table that is piped on is as wide as it needs to be
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


def share(value: float) -> str:
    return f"{value:.2%}"


def amount(text: str, place: str) -> int:
    value = yamlfile.scalar(text)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 1 <= value <= 1e18:
        raise InputError(f"takes an amount as 600M or 1.2G, got {shown(text)}", place)
    return round(value)


def setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key or "\n" in text:
        raise InputError(f"takes KEY=VALUE, got {text!r}", "--set")
    return key, yamlfile.parse(f"value: {value}", "--set").data["value"]


def certificate_lines(certificate: Any, study: Any) -> str:
    low, high = certificate.interval
    interval = "" if certificate.exact else f" (95 % interval {100 * low:.3g}% to {100 * high:.3g}%)"
    share = f"{100 * certificate.inside:.3g}%{interval}"
    size = f"{certificate.size:,}" if isinstance(certificate.size, int) else "infinitely many"
    networks = certificate.networks
    of_them = f", {networks:,} of them networks" if networks not in (None, certificate.size) else ""
    return (
        f"space: {size} architectures{of_them}; MACs from {certificate.smallest:,} over {certificate.median:,} "
        f"(median) to {certificate.largest:,}\nbudget: {study.budget}; {share} of the space is inside"
    )
