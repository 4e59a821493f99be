"""A study as the plain data of its file: what names it, what differs between two, what is laid over it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from scalesearch.errors import InputError, shown, unknown
from scalesearch.plain_data import PlainDict, PlainMapping


def document_digest(document: PlainMapping) -> str:
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


def lay_over(data: PlainDict, settings: PlainMapping) -> None:
    """Change a study's data by `settings` (`{"search.trials": 4}`), those of a preset that they name first, and take
    its presets away: what is left is what runs. Raises `InputError` for a preset that there is not."""
    presets = data.pop("presets", None) or {}
    if not isinstance(presets, dict) or not all(isinstance(changes, dict) for changes in presets.values()):
        raise InputError("takes a mapping of names, each with a mapping of keys (search.trials) to values", "presets")
    named = settings.get("preset")
    if named is not None and named not in presets:
        raise InputError(unknown("preset", named, presets), "--set preset")
    chosen = presets.get(named, {})
    for dotted, value in {**chosen, **{key: value for key, value in settings.items() if key != "preset"}}.items():
        override(data, dotted, value)


def override(data: PlainDict, dotted: str, value: Any) -> None:
    """Lay `search.trials` = 4 over the data of a study. Raises `InputError` where that leads through no mapping."""
    *outer, last = dotted.split(".")
    for key in outer:
        if key == "recipe" and isinstance(data.get(key), str):
            data[key] = {"base": data[key]}
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise InputError(f'--set {dotted}: "{key}" is not a mapping')
    data[last] = value
