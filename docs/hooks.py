"""Puts `SKILL.md` into the site as it is; MkDocs would make a page of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_post_build(config: Any) -> None:
    site = Path(config["site_dir"])
    (site / "SKILL.md.txt").rename(site / "SKILL.md")
