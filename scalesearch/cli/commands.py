"""The `scalesearch` command with all its subcommands."""

from __future__ import annotations

from scalesearch.cli import cluster, data, detection, devices, models, starting, studies, training, weights
from scalesearch.cli.group import main

__all__ = ["cluster", "data", "detection", "devices", "main", "models", "starting", "studies", "training", "weights"]
