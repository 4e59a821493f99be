"""A study as the plain data of its file: what names it, what differs between two, what is laid over it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from scalesearch.errors import InputError, shown


def document_digest(document: Mapping[str, Any]) -> str:
    """16 hex digits that name what a study asks for, wherever it runs."""
    asked = {key: value for key, value in document.items() if key != "ray"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def document_difference(there: Any, wanted: Any, place: str = "") -> str:
    """Where two documents first differ, in words."""
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys([*there, *wanted]):
            if key != "ray" and there.get(key) != wanted.get(key):
                return document_difference(there.get(key), wanted.get(key), f"{place}.{key}".lstrip("."))
    return f"{place} was {shown(there)}, is {shown(wanted)}"


def override(data: dict[str, Any], dotted: str, value: Any) -> None:
    """Lay `search.trials` = 4 over the data of a study. Raises `InputError` where that leads through no mapping."""
    *outer, last = dotted.split(".")
    for key in outer:
        if key == "recipe" and isinstance(data.get(key), str):
            data[key] = {"base": data[key]}
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise InputError(f'--set {dotted}: "{key}" is not a mapping')
    data[last] = value
