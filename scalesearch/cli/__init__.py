"""The command line: arguments and printing, one command per verb. Tables go to stdout, progress and errors to stderr."""

from __future__ import annotations

from scalesearch.cli import devices, models, studies, weights
from scalesearch.cli.group import main

__all__ = ["devices", "main", "models", "studies", "weights"]
