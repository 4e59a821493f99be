"""What the commands share: errors as one line, numbers as people write them, rows as a table or as JSON."""

from __future__ import annotations

import errno
import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from scalesearch import yamlfile
from scalesearch.cli.examples import EXAMPLES
from scalesearch.errors import InputError, Interrupted, WorkFailed, format_value
from scalesearch.plain_data import PlainDict
from scalesearch.progress import use_progress

if TYPE_CHECKING:
    from scalesearch.budget import Certificate
    from scalesearch.study import Study

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # not an error in the input
Rows = list[PlainDict]
SCORES = "test_", "top1", "ap50"  # how columns begin that stay in sight where a terminal is narrow
LONG_SECONDS = 1.0  # work is reported if it takes longer, in seconds


def exit_with(code: int, message: object) -> NoReturn:
    """Prints a message as one line on stderr and exits."""
    click.echo(f"scalesearch: {message}", err=True)
    sys.exit(code)


def exit_with_file_error(error: OSError) -> NoReturn:
    """Prints where a file could not be read or written and what to set, and exits.

    The code is 1 for a full disk and for a place that the environment decides, else 2.
    """
    import tempfile

    from scalesearch.files import cache_home

    temporary = Path(tempfile.gettempdir())
    place = Path(error.filename) if isinstance(error.filename, str) else Path("file")
    variable = ""
    if error.errno in (*DISK_FULL, errno.EACCES, errno.EROFS):
        own_folder = place == temporary or str(place).startswith(str(temporary / "scalesearch-ray"))
        variable = "SCALESEARCH_CACHE" if place.is_relative_to(cache_home()) else "TMPDIR" if own_folder else ""
    is_full = error.errno in DISK_FULL
    remedy = f"set {variable} to another folder" if variable else "make room there" if is_full else ""
    exit_with(1 if is_full or variable else 2, f"{place}: {error.strerror or error}{f'; {remedy}' if remedy else ''}")


def print_faults(error: InputError) -> None:
    """Prints every fault that an error tells as a line on stderr."""
    for fault in error.faults:
        click.echo(f"scalesearch: {fault}", err=True)


class GuardedCommand(click.Command):
    """A command whose errors are printed as lines, without a traceback.

    Exit codes: 2 for errors in the input and files that cannot be used, 1 for failed work and a full disk, 128
    plus the signal's number for an interruption, 0 for a closed pipe.
    """

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the command's examples."""
        if examples := EXAMPLES.get(self.name or ""):
            with formatter.section("Examples"):
                formatter.write("".join(f"{'':>{formatter.current_indent}}{line}\n" for line in examples))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command and exits if it fails."""
        try:
            with use_progress(_Progress()):
                return super().invoke(ctx)
        except InputError as error:
            print_faults(error)
            sys.exit(2)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            exit_with_file_error(error)
        except Interrupted as interruption:
            exit_with(128 + interruption.signal, "interrupted; what is unfinished is saved, --resume continues it")
        except KeyboardInterrupt:
            exit_with(128 + signal.SIGINT, "interrupted")
        except WorkFailed as error:
            exit_with(1, error)
        except (MemoryError, RuntimeError) as error:  # torch raises these for failed work
            lines = str(error).strip().splitlines() or [""]
            exit_with(1, f"{type(error).__name__}: {lines[0]}")


class _Progress:
    """Reports progress of commands that take longer than a second: a bar on a terminal, elsewhere one line.

    Later work gets a further line only if it takes longer than a second by itself.
    """

    def __init__(self) -> None:
        self.started, self.announced = time.monotonic(), False

    def __call__(self, items: Iterable[object], what: str, total: int) -> Iterator[Any]:
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


def with_bar(items: Iterable[object], what: str, total: int | None) -> Iterable[Any]:
    """Returns `items`, showing a progress bar on a terminal if there are several; elsewhere nothing is shown."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    quiet = not console.is_terminal or (total is not None and total < 2)
    return track(items, what, total=total, console=console, disable=quiet, transient=True)


def print_json(payload: object) -> None:
    """Prints JSON with an indent of two."""
    click.echo(json.dumps(payload, indent=2, ensure_ascii=False))


def print_rows(rows: Rows, as_json: bool = False, notes: tuple[str, ...] = ()) -> None:
    """Prints rows as a table, or as JSON; `notes` follow a table on stderr."""
    if as_json:
        print_json(rows)
        return
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.table import Table

    keys = list(dict.fromkeys(key for row in rows for key in row))
    # a piped table is as wide as it needs to be
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False)

    def table(columns: list[str]) -> Table:
        """Returns the rows with these columns."""
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for key in columns:
            is_numeric = all(isinstance(row.get(key), (int, float, type(None))) for row in rows)
            made.add_column(key, justify="right" if is_numeric else "left", no_wrap=True)
        for row in rows:
            made.add_row(*(escape(_cell(row.get(key))) for key in columns))
        return made

    def fits(columns: list[str]) -> bool:
        """Returns whether a table of these columns is no wider than the terminal."""
        measured = Measurement.get(console, console.options.update_width(10_000), table(columns))
        return measured.maximum <= console.width

    parts = _tables(keys, fits)
    if parts is None:  # nothing is cut off: a line for each cell
        width = max(map(cell_len, keys))
        for row in rows:
            click.echo("\n".join(f"{key:<{width}}  {_cell(row[key]) or 'no'}" for key in keys if key in row) + "\n")
    for part in parts or ():
        console.print(table(part))
    for note in notes:
        click.echo(note, err=True)


def _tables(keys: list[str], fits: Callable[[list[str]], bool]) -> list[list[str]] | None:
    """Returns the columns of the tables, one below the other, that fit into the terminal; None if that is not possible.

    The first has the columns that decide; each begins with the first column.
    """
    if fits(keys):
        return [keys]
    first, *others = keys
    deciding = [key for key in others if key in ("macs", "params") or key.startswith(SCORES)]
    parts: list[list[str]] = [[first]]
    for key in [*deciding, *(key for key in others if key not in deciding)]:
        if fits([*parts[-1], key]):
            parts[-1].append(key)
        elif fits([first, key]):
            parts.append([first, key])
        else:
            return None
    return parts


def _cell(value: object) -> str:
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


def format_certificate(certificate: Certificate, study: Study) -> str:
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
