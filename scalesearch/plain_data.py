"""Names for plain data: what YAML and JSON files hold, keyed by text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

PlainDict: TypeAlias = dict[str, Any]
PlainMapping: TypeAlias = Mapping[str, Any]
