"""Errors that the package raises for its user, and helpers that word their messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

MAX_LISTED = 12  # names that a message lists; of more only the likeliest


class InputError(ValueError):
    """Says that the input is wrong: where, which rule it breaks, what came, and what would work, in one or two
    lines.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str, place: str = ""):
        message, place = _plain(message), _plain(place)
        super().__init__(f"{place}: {message}" if place else message)
        self.message, self.place, self.in_a_file = message, place, False

    @property
    def faults(self) -> tuple[InputError, ...]:
        """Returns the faults that it tells: itself alone, or each of several."""
        return (self,)

    def in_file(self, place: str) -> InputError:
        """Returns this error with `place`, such as `file.yaml:14`, in front; one that names a file already is
        returned as it is.
        """
        if self.in_a_file:
            return self
        error = InputError(self.message, f"{place}: {self.place}" if self.place else place)
        error.in_a_file = True
        return error

    def inside(self, place: str) -> InputError:
        """Returns this error with `place` in front of its own: `stages[2]` before `width` is `stages[2].width`. One
        that names a file already is returned as it is.
        """
        if self.in_a_file or not place:
            return self
        inner, joint = self.place, "."
        if not inner or inner.startswith("["):
            joint = ""
        elif "/" in inner:  # a file's path
            joint = ": "
        return InputError(self.message, f"{place}{joint}{inner}")


class SeveralFaults(InputError):
    """Tells several faults, a line each; `message` and `place` are the first one's."""

    def __init__(self, faults: Sequence[InputError]):
        ValueError.__init__(self, "\n".join(map(str, faults)))
        first = faults[0]
        self.message, self.place, self.in_a_file = first.message, first.place, first.in_a_file
        self._faults = tuple(faults)

    @property
    def faults(self) -> tuple[InputError, ...]:
        """Returns each of them."""
        return self._faults

    def in_file(self, place: str) -> InputError:
        """Returns them with `place` in front of each."""
        return as_one([fault.in_file(place) for fault in self._faults])

    def inside(self, place: str) -> InputError:
        """Returns them with `place` in front of each one's own."""
        return as_one([fault.inside(place) for fault in self._faults])


def as_one(faults: Iterable[InputError]) -> InputError:
    """Returns one error for a sequence of at least one; each distinct one is told once."""
    distinct = list({str(fault): fault for error in faults for fault in error.faults}.values())
    return distinct[0] if len(distinct) == 1 else SeveralFaults(distinct)


class Faults:
    """Collects the faults of parts that can be read independently, so that all are told, not the first alone.

    ```
    faults = Faults()
    for item in items:
        with faults.part():
            read(item)
    faults.check()
    ```
    """

    def __init__(self) -> None:
        self._found: list[InputError] = []

    @contextmanager
    def part(self, place: str = "") -> Iterator[None]:
        """Keeps an `InputError` that the block raises, with `place` in front; the block is left, not the caller."""
        try:
            yield
        except InputError as error:
            self._found += [fault.inside(place) for fault in error.faults]

    def check(self) -> None:
        """Raises what was found, if anything."""
        if self._found:
            raise as_one(self._found)


@contextmanager
def errors_at(place: str) -> Iterator[None]:
    """Puts `place` in front of the place of an `InputError` that the block raises: `stages[2]` before
    `width` is `stages[2].width`.
    """
    try:
        yield
    except InputError as error:
        raise as_one([fault.inside(place) for fault in error.faults]) from None


def _plain(text: str) -> str:
    """Returns `text` on one line of at most about 700 characters, without characters that a terminal would
    act on.
    """
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= 700 else printable[:340] + " … " + printable[-340:]


def format_value(value: object) -> str:
    """Returns the `repr` of a value, shortened to about 80 characters, for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:60] + " … " + text[-15:]


def format_short(count: float) -> str:
    """Returns a large number in at most three digits: `147k`, `11.7M`, `5M`; below 1,000 as it is."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(count) >= 0.9995 * size:
            return f"{count / size:.3g}{unit}"
    return f"{count:g}"


def format_count(count: int, singular: str) -> str:
    """Returns a count with its noun in the right number: `1 image`, `2,000 boxes`."""
    return f"{count:,} {singular}" + ("" if count == 1 else "es" if singular.endswith(("s", "x")) else "s")


def format_seconds(seconds: float) -> str:
    """Returns a time as people say it: `40 s`, `12 min`, `3.5 h`."""
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def check_kind(value: object, kinds: type | tuple[type, ...], expected: str, place: str) -> None:
    """Raises `InputError`, at `place`, if `value` is none of `kinds`; `expected` says in words what is taken.

    An empty text is refused too, since a path that is empty would be the working folder.
    """
    if not isinstance(value, kinds):
        got = format_value(value) if isinstance(value, (str, int, float)) else type(value).__name__
        raise InputError(f"takes {expected}, got {got}", place)
    if isinstance(value, str) and not value:
        raise InputError(f"takes {expected}, got an empty text", place)


def suggestion(word: object, names: Iterable[str]) -> str:
    """Returns ` Did you mean "…"?` with the name that is most like `word`; nothing if none is like it."""
    close = difflib.get_close_matches(str(word), list(names), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


def unknown_message(what: str, word: object, names: Iterable[str]) -> str:
    """Returns the message for a name that isn't among `names`: `unknown block "mbcnv"; takes …. Did you
    mean "mbconv"?` Of more than a dozen names only those most like it are listed, the likeliest first.
    """
    names = list(names)
    return f'unknown {what} "{word}"{_known_names(word, names)}'


def _known_names(word: object, names: Sequence[str]) -> str:
    """Returns the end of a message about an unknown name: what is known, and the likeliest of it."""
    if len(names) <= MAX_LISTED:
        return f"; takes {', '.join(names)}.{suggestion(word, names)}"
    alike = difflib.get_close_matches(str(word), names, n=6, cutoff=0.4) or names[:6]
    return f".{suggestion(word, names)} There are {len(names)}, such as {', '.join(alike)}."


def check_known(what: str, keys: Iterable[str], names: Collection[str]) -> None:
    """Raises `InputError`, placed at the key, for a key that isn't among `names`; `what` is what the message calls
    it.
    """
    unknown = [key for key in keys if key not in names]
    if unknown:
        raise as_one([InputError(f"unknown {what}{_known_names(key, list(names))}", str(key)) for key in unknown])


def check_distinct(values: Sequence[object], place: str) -> None:
    """Raises `InputError`, placed at the item, if a value is in a list twice."""
    for i, value in enumerate(values):
        if value in values[:i]:
            raise InputError(f"{value} stands there twice", f"{place}[{i}]")


class Interrupted(Exception):
    """Says that a signal has ended the work, after everything unfinished was saved.

    The command line exits with 128 plus the signal's number.
    """

    def __init__(self, signal: int):
        super().__init__(f"interrupted by signal {signal}")
        self.signal = signal


class WorkFailed(RuntimeError):
    """Says that the work cannot go on though the input is right; the message says why.

    The command line exits with code 1.
    """
