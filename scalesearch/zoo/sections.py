"""Reads Darknet's .cfg files into sections, in which every value keeps its line number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from scalesearch import yamlfile
from scalesearch.errors import InputError, format_value
from scalesearch.plain_data import PlainMapping

MAX_BYTES = 4_000_000
KEYS: PlainMapping = yamlfile.read(Path(__file__).with_name("darknet_keys.yaml")).data
# Darknet's other names of sections, by pjreddie's and by AlexeyAB's fork, and the names used here.
ALIASES: dict[str, str] = KEYS["aliases"]


class Section(NamedTuple):
    """Holds a section of the file: its name and line, and its keys as `(text, line)`."""

    file: str
    name: str
    line: int
    keys: dict[str, tuple[str, int]]

    def fault(self, message: str, key: str = "") -> InputError:
        """Returns an error placed at the line of `key`, or at the section's head where it lacks that key."""
        line = self.keys[key][1] if key in self.keys else self.line
        error = InputError(f"[{self.name}]{f' {key}' if key else ''}: {message}", f"{self.file}:{line}")
        error.in_a_file = True
        return error

    def text(self, key: str, default: str) -> str:
        """Returns the text at `key`, or `default`."""
        return self.keys[key][0] if key in self.keys else default

    def numbers(self, key: str, default: str = "") -> tuple[int, ...]:
        """Returns the comma-separated whole numbers at `key`, or those in `default`.

        Raises:
            InputError: If one is no whole number.
        """
        values = self.decimals(key, default)
        if any(not isinstance(number, int) for number in values):
            raise self.fault(f"takes whole numbers, got {format_value(self.text(key, default))}", key)
        return tuple(map(int, values))

    def decimals(self, key: str, default: str = "") -> tuple[float, ...]:
        """Returns the comma-separated numbers at `key`, or those in `default`; whole ones as int.

        Raises:
            InputError: If one is no number.
        """
        text = self.text(key, default)
        try:
            values = [float(part) for part in text.split(",") if part.strip()]
            return tuple(int(number) if number.is_integer() else number for number in values)
        except (ValueError, OverflowError):
            raise self.fault(f"takes whole numbers, got {format_value(text)}", key) from None

    def number(self, key: str, default: int) -> int:
        """Returns the whole number at `key`, or `default`.

        Raises:
            InputError: If there is not exactly one.
        """
        values = self.numbers(key, str(default))
        if len(values) != 1:
            raise self.fault(f"takes one whole number, got {format_value(self.text(key, ''))}", key)
        return values[0]


def read_sections(path: Path) -> list[Section]:
    """Returns the sections of a .cfg file in order, without comments and blank lines; the first is [net].

    Raises:
        InputError: If the file cannot be read or is no Darknet .cfg.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    if len(data) > MAX_BYTES or b"\0" in data:
        raise InputError("is no Darknet .cfg: it is a text of sections such as [net] and [convolutional]", str(path))
    sections: list[Section] = []
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    for number, raw in enumerate(text.split("\n"), 1):  # splitlines knows ends of lines that Darknet doesn't
        line = re.split(r"[#;]", raw, maxsplit=1)[0].strip()
        head = re.fullmatch(r"\[\s*(.+?)\s*\]", line)
        key, equals, value = line.partition("=")
        if head:
            name = ALIASES.get(head[1].lower(), head[1].lower())
            sections.append(Section(str(path), name, number, {}))
        elif equals and sections:
            sections[-1].keys.setdefault(key.strip(), (value.strip(), number))  # Darknet takes the first of two
        elif line:
            raise InputError(f"takes [section] or key=value, got {format_value(line)}", f"{path}:{number}")
    if not sections or sections[0].name != "net":
        raise InputError("a Darknet .cfg begins with [net]", f"{path}:{sections[0].line if sections else 1}")
    return sections
