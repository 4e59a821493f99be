"""Reading and writing YAML files of plain data, with the line of every value. The only importer of
yaml.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scalesearch.errors import InputError, as_one
from scalesearch.plain_data import PlainDict

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
UNITS = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
MAX_NUMBER_LENGTH = 24  # characters; longer ones stay text
INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
DECIMAL = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
AMOUNT = re.compile(r"([-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+))([kKMGT%])")
# Where something nests: the columns at which a line starts, and brackets that are neither in quotes nor in a comment.
NESTING = re.compile(
    r"""(?P<line>^\ *(?:[-?]\ +)*) | (?<!\S)\#[^\n]* | (?<![^\s,\[\]{}:-])
    (?:"(?:\\.|[^"\\])*" | '(?:''|[^'])*' | (?P<open>[\[{])) | (?P<close>[\]}])""",
    re.M | re.X,
)
CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}

KeyPath = tuple[str | int, ...]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass
class Document:
    """Holds the plain data of a file and the line of each of its values."""

    path: Path
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line_of(self, place: str) -> int:
        """Returns the line of a place such as `stages[2].mbconv.kernel`, or of the nearest thing around it
        that has one.
        """
        path = _key_path(place)
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    @contextmanager
    def errors_located(self) -> Iterator[None]:
        """Puts `file:line` in front of the places of the faults that the block raises, in the order of their lines."""
        try:
            yield
        except InputError as error:
            # a fault of another file comes after those of this one
            faults = sorted(error.faults, key=lambda f: math.inf if f.in_a_file else self.line_of(f.place))
            raise as_one([f.in_file(f"{self.path}:{self.line_of(f.place)}") for f in faults]) from None


def _key_path(place: str) -> KeyPath:
    """Returns the keys and indices of a place: `stages[2].width` is `("stages", 2, "width")`."""
    parts = re.findall(r"[^.\[\]]+", place)
    return tuple(int(p) if p.isascii() and p.isdecimal() and len(p) < 9 else p for p in parts)


def parse_scalar(text: str) -> Any:
    """Returns the value of an unquoted scalar: true, false, null, a whole or decimal number, `600M`, `1.2G`,
    `2%`, else the text.

    YAML 1.1's other readings (yes, on, 0o7, 1:30, dates) are not taken.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if len(text) > MAX_NUMBER_LENGTH:
        return text
    if INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if DECIMAL.fullmatch(text):
        value = float(text.replace("_", ""))
        if not math.isfinite(value):
            return text
        is_whole = "e" in text.lower() and "." not in text and value.is_integer() and abs(value) < 1e15
        return int(value) if is_whole else value
    if match := AMOUNT.fullmatch(text):
        number, unit = float(match[1].replace("_", "")), match[2]
        if unit == "%":
            return number / 100
        value = round(number * UNITS[unit], 6)
        return int(value) if value.is_integer() else value
    return text


def file_error(message: str, path: str | Path, line: int | None = None) -> InputError:
    """Returns an `InputError` about a file itself, placed at its path and, if given, the line."""
    return InputError(message).in_file(f"{path}:{line}" if line else str(path))


def read(path: str | Path) -> Document:
    """Returns the mapping in the YAML file at `path`, with its lines.

    Raises:
        InputError: Placed at file and line, for a file that is missing, empty, over 1 MiB, not UTF-8 or not
            YAML, and for tags, anchors, aliases, duplicate keys and keys that aren't text.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise file_error("is no file", path)
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise file_error(f"is {size:,} bytes; a space or study is at most {MAX_BYTES:,}", path)
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise file_error(f"is not UTF-8 text (byte {error.start})", path) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise file_error(f"cannot be read: {getattr(error, 'strerror', None) or error}", path) from None
    return parse(text, path)


def parse(text: str, path: str | Path = "text") -> Document:
    """Returns the mapping in a YAML text, with its lines; `path` is what errors call it.

    Raises:
        InputError: As `read` does.
    """
    document = Document(Path(path), None)
    _check_nesting(text, path)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            _check_event(event, path)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:  # counted here, since composing what is nested deep costs stack and time
                raise file_error(f"is nested deeper than {MAX_DEPTH} levels", path, event.start_mark.line + 1)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise file_error(f"is not YAML: {error.problem}", path, mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:
        raise file_error(f"is not YAML: {str(error).splitlines()[0]}", path) from None
    if node is None:
        raise file_error("is empty", path)
    document.data = _plain(node, (), document)
    if not isinstance(document.data, dict):
        raise file_error("must be a mapping of keys to values", path, 1)
    return document


def _check_nesting(text: str, path: str | Path) -> None:
    """Raises `InputError` for deep nesting before a parser sees it: parsers look far ahead and have limits
    of their own.
    """
    columns: list[int] = []
    brackets = 0
    for match in NESTING.finditer(text):
        if match["open"]:
            brackets += 1
        elif match["close"]:
            brackets = max(0, brackets - 1)
        elif match["line"] is not None and not brackets and text[match.end() : match.end() + 1] not in ("", "\n", "#"):
            starts = [i for i, c in enumerate(match["line"]) if c != " "] + [len(match["line"])]
            columns = [column for column in columns if column < starts[0]] + starts
        if len(columns) + brackets > MAX_DEPTH and (match["open"] or len(columns) > MAX_DEPTH):
            raise file_error(f"is nested deeper than {MAX_DEPTH} levels", path, text.count("\n", 0, match.start()) + 1)


def _check_event(event: yaml.Event, path: str | Path) -> None:
    line = event.start_mark.line + 1
    if getattr(event, "anchor", None):
        raise file_error("anchors and aliases are not taken; write the value out, or tie choices by name", path, line)
    if getattr(event, "tag", None):
        raise file_error(f"YAML tags are not taken, got {event.tag!r}; write the value without the tag", path, line)


def _plain(node: yaml.Node, path: KeyPath, document: Document) -> Any:
    line = node.start_mark.line + 1
    document.lines.setdefault(path, line)
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.style else parse_scalar(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, i), document) for i, item in enumerate(node.value)]
    data: PlainDict = {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise file_error("a key must be a word", document.path, key_line)
        if key_node.value in data:
            raise file_error(f'key "{key_node.value}" stands there twice', document.path, key_line)
        document.lines[(*path, key_node.value)] = key_line
        data[key_node.value] = _plain(value_node, (*path, key_node.value), document)
    return data


class _Writer(_Dumper):
    pass


def _text(dumper: yaml.Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="" if parse_scalar(value) == value else '"')


def _decimal(dumper: yaml.Dumper, value: float) -> yaml.ScalarNode:
    mantissa, e, exponent = repr(value).partition("e")
    text = mantissa + (".0" if e and "." not in mantissa else "") + e + exponent  # 1e-05 is a text to YAML 1.1
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Writer.add_representer(str, _text)
_Writer.add_representer(float, _decimal)


def dump(data: PlainDict) -> str:
    """Returns YAML text that `parse` reads back to equal data; innermost mappings and lists are on one
    line.
    """
    text: str = yaml.dump(data, Dumper=_Writer, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return text
