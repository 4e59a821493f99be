"""The one error a user's mistake raises, and the words it is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """The input is wrong: place, rule, what came, what would work, in one or two lines.

    The command line prints it without a traceback and leaves with exit code 2.
    """

    def __init__(self, message: str, place: str = ""):
        message, place = _plain(message), _plain(place)
        super().__init__(f"{place}: {message}" if place else message)
        self.message, self.place, self.in_a_file = message, place, False

    def in_file(self, place: str) -> InputError:
        """The same error with `file.yaml:14` in front of `stages[2].width`; said once, it stays."""
        if self.in_a_file:
            return self
        error = InputError(self.message, f"{place}: {self.place}" if self.place else place)
        error.in_a_file = True
        return error


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Puts `place` in front of the place of an `InputError` raised inside."""
    try:
        yield
    except InputError as error:
        if error.in_a_file:
            raise
        inner = error.place
        joined = place + (inner if inner.startswith("[") or not inner else "." + inner) if place else inner
        raise InputError(error.message, joined) from None


def _plain(text: str) -> str:
    """`text` on one line of bounded length, with nothing in it that a terminal obeys."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= 700 else printable[:340] + " … " + printable[-340:]


def shown(value: object) -> str:
    """What came, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:60] + " … " + text[-15:]


def numbered(count: int, one: str) -> str:
    """`1 image`, `2,000 boxes`."""
    return f"{count:,} {one}" + ("" if count == 1 else "es" if one.endswith(("s", "x")) else "s")


def nearest(word: object, known: Iterable[str]) -> str:
    """` Did you mean "…"?` for the known word closest to `word`, or nothing where none is close."""
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


def unknown(what: str, word: object, known: Iterable[str]) -> str:
    """`unknown block "mbcnv"; one of …. Did you mean "mbconv"?`"""
    known = list(known)
    return f'unknown {what} "{word}"; takes {", ".join(known)}.{nearest(word, known)}'


def distinct(values: Sequence[object], place: str) -> None:
    """Raises `InputError` where a value stands twice in a list."""
    for i, value in enumerate(values):
        if value in values[:i]:
            raise InputError(f"{value} stands there twice", f"{place}[{i}]")


class Interrupted(Exception):
    """A signal has asked the work to end, and it has, with all that is unfinished saved. Exit code 128 + the signal."""

    def __init__(self, signal: int):
        super().__init__(f"interrupted by signal {signal}")
        self.signal = signal


class WorkFailed(RuntimeError):
    """The work cannot go on, through no fault of the input; the message says why. Exit code 1."""
