"""The layer tables of the zoo's networks, from `layer_tables.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalesearch import yamlfile

TABLES: dict[str, Any] = yamlfile.read(Path(__file__).with_name("layer_tables.yaml")).data
