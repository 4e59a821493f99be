"""The sections of Darknet's .cfg files, every value knowing its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from scalesearch.errors import InputError, shown

MOST_BYTES = 4_000_000
# Sections under all names that either fork has for them.
ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "conn": "connected",
    "max": "maxpool",
    "avg": "avgpool",
    "soft": "softmax",
    "local_avg": "local_avgpool",
    "lrn": "normalization",
    "deconv": "deconvolutional",
    "silence": "empty",
}


class Section(NamedTuple):
    """A section of the file: its name, and its keys as `(text, line)`."""

    file: str
    name: str
    line: int
    keys: dict[str, tuple[str, int]]

    def fault(self, message: str, key: str = "") -> InputError:
        """A located error at a key, or at the section's head."""
        line = self.keys[key][1] if key in self.keys else self.line
        error = InputError(f"[{self.name}]{f' {key}' if key else ''}: {message}", f"{self.file}:{line}")
        error.in_a_file = True
        return error

    def text(self, key: str, default: str) -> str:
        return self.keys[key][0] if key in self.keys else default

    def numbers(self, key: str, default: str = "") -> tuple[int, ...]:
        found = self.decimals(key, default)
        if any(not isinstance(number, int) for number in found):
            raise self.fault(f"takes whole numbers, got {shown(self.text(key, default))}", key)
        return tuple(map(int, found))

    def decimals(self, key: str, default: str = "") -> tuple[float, ...]:
        """Numbers with commas between, whole ones as such."""
        text = self.text(key, default)
        try:
            found = [float(part) for part in text.split(",") if part.strip()]
            return tuple(int(number) if number.is_integer() else number for number in found)
        except (ValueError, OverflowError):
            raise self.fault(f"takes whole numbers, got {shown(text)}", key) from None

    def number(self, key: str, default: int) -> int:
        found = self.numbers(key, str(default))
        if len(found) != 1:
            raise self.fault(f"takes one whole number, got {shown(self.text(key, ''))}", key)
        return found[0]


def read_sections(path: Path) -> list[Section]:
    """The file's sections; comments and blank lines left out."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    if len(data) > MOST_BYTES or b"\0" in data:
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
            raise InputError(f"takes [section] or key=value, got {shown(line)}", f"{path}:{number}")
    if not sections or sections[0].name != "net":
        raise InputError("a Darknet .cfg begins with [net]", f"{path}:{sections[0].line if sections else 1}")
    return sections
