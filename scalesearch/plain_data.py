"""Plain data, which YAML and JSON files hold: its names, and its numbers as files for people have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

PlainDict: TypeAlias = dict[str, Any]
PlainMapping: TypeAlias = Mapping[str, Any]


def rounded(value: Any) -> Any:
    """Returns plain data with six digits of every decimal number; large ones, as MACs, stay whole."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < 1e6 else value
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return {key: rounded(item) for key, item in value.items()} if isinstance(value, dict) else value
