"""The command with all that stand under it."""

from __future__ import annotations

from scalesearch.cli import devices, models, studies, weights
from scalesearch.cli.group import main

__all__ = ["devices", "main", "models", "studies", "weights"]
