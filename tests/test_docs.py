"""Every code block of the pages is run, in the page's order and in an empty folder, and its shown output compared.

A block of `sh` is run by bash, one of `python` in this process; one of `yaml` with a `title` is written to that file,
another is only read. A block of `text` after a command is its output: its lines must come in their order, with other
numbers; `…` stands for any lines. A block after `<!-- not run: REASON -->` is not run.

`python tests/test_docs.py PAGE` prints what the blocks of a page print today.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "docs/index.md",
    "docs/coming-from.md",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs" / "tutorials").glob("*.md")),
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs" / "guides").glob("*.md")),
]
FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n)?^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$",
    re.M | re.S,
)


@dataclass
class Block:
    """A fenced block: its language, the file that it is, its text, and whether it is left out."""

    kind: str
    title: str
    body: str
    skipped: bool
    line: int


def blocks(page: str) -> Iterator[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text[: match.start("kind")].count("\n") + 1
        yield Block(match["kind"], match["title"] or "", match["body"], bool(match["skip"]), line)


def runs(page: str, folder: Path) -> Iterator[tuple[Block, str, Block | None]]:
    """Yields every block that is run, what it printed, and the block with the output that the page shows."""
    found = list(blocks(page))
    names: dict[str, object] = {"__name__": "docs"}
    command = folder.parent / "bin" / "scalesearch"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m scalesearch "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    for block, following in zip(found, [*found[1:], None]):
        if block.skipped or block.kind == "text":
            continue
        printed = ""
        if block.kind == "yaml":
            yaml.safe_load(block.body)
            if block.title:
                (folder / block.title).write_text(block.body, encoding="utf-8")
            continue
        if block.kind == "sh":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.body],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
                check=False,
            )
            printed = done.stdout
            assert done.returncode == 0, f"{page}:{block.line} ends with {done.returncode}\n{printed}"
        elif block.kind == "python":
            output, code = io.StringIO(), compile(block.body, f"{page}:{block.line}", "exec")
            with contextlib.chdir(folder), contextlib.redirect_stdout(output):
                exec(code, names)
            printed = output.getvalue()
        yield block, printed, following if following is not None and following.kind == "text" else None


def plain(line: str) -> str:
    """A line without what differs between machines: numbers, times, and how wide columns are."""
    numbers = re.sub(r"[\d][\d,.:]*", "#", re.sub(r"[\s─]+", " ", line))
    return re.sub(r"# (s|min|h)\b", "# s", numbers).strip()


def missing_line(expected: str, printed: str) -> str:
    """The first line of the shown output that does not follow in what was printed; empty if none."""
    actual = iter([plain(line) for line in printed.splitlines()])
    for line in expected.splitlines():
        wanted = plain(line)
        wanted = wanted.removesuffix("…")  # the rest of the line is left out
        if wanted and not any(printed_line.startswith(wanted) for printed_line in actual):
            return line
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_is_what_happens(page, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    for block, printed, shown in runs(page, folder):
        if shown is not None:
            line = missing_line(shown.body, printed)
            assert not line, (
                f"{page}:{shown.line}: {line!r} is not printed by the block at line {block.line}:\n{printed}"
            )


def test_blocks_that_are_not_run_say_why():
    for page in PAGES:
        for block in blocks(page):
            assert block.kind in ("sh", "python", "yaml", "text"), f"{page}:{block.line}: {block.kind}"


if __name__ == "__main__":
    import tempfile

    sys.path.insert(0, str(ROOT))

    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as temporary:
            work = Path(temporary) / "work"
            work.mkdir()
            for block, printed, _ in runs(name, work):
                print(f"--- {name}:{block.line}\n{block.body}--->\n{printed}", flush=True)
