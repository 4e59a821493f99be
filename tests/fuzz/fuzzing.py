"""What comes of the files that a stranger may bring: each kind, and the command that is asked of it."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import inputs

from scalesearch.cli import main

LONGEST = 2.0  # seconds that an input may take before it has to say so


class Outcome(NamedTuple):
    """Of one input: how the command ended, what it said, and how long it took."""

    exit: int
    message: str
    seconds: float

    @property
    def fault(self) -> str:
        """What is wrong with it, in words; nothing where it is as promised."""
        is_fault = self.exit not in (0, 2) or "Traceback" in self.message
        return f"exit code {self.exit}: {self.message}" if is_fault else ""

    @property
    def silent(self) -> bool:
        """Whether it took longer than it may without a word."""
        return self.seconds > LONGEST and " so far" not in self.message


def command(*arguments: str) -> Outcome:
    """What a command does with an input, in this process."""
    began = time.monotonic()
    done = CliRunner().invoke(main, arguments)
    broken = done.exception is not None and not isinstance(done.exception, SystemExit)
    message = f"Traceback: {done.exception!r}" if broken else done.stderr.strip()
    return Outcome(done.exit_code, message, time.monotonic() - began)


def _file(name: str, make: Callable[[random.Random], bytes], *asked: str) -> Callable:
    """A kind of which an input is one file; of the command's words `@name` is a path in its folder."""

    def laid(dice: random.Random, folder: Path) -> tuple[str, ...]:
        (folder / name).write_bytes(make(dice))
        return tuple(str(folder / word.removeprefix("@")) if word.startswith("@") else word for word in asked)

    return laid


KINDS: dict[str, Callable[[random.Random, Path], tuple[str, ...]]] = {
    "arch": _file("arch.yaml", inputs.yaml_of(inputs.ARCHS), "cost", "@arch.yaml"),
    "space": _file("space.yaml", inputs.yaml_of(inputs.SPACES), "check", "@space.yaml"),
    "study": _file("study.yaml", inputs.study, "run", "@study.yaml", "--dry-run", "--out", "@run"),
    "cfg": _file("net.cfg", inputs.cfg, "cost", "@net.cfg"),
    "weights": inputs.weights,
    "image": inputs.image,
    "boxes": inputs.boxes,
    "run": inputs.run,
}


def tried(kind: str, number: int, folder: Path) -> Outcome:
    """The `number`th input of a kind, and what comes of it."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        return command(*KINDS[kind](random.Random(f"{kind}-{number}"), Path(made)))
