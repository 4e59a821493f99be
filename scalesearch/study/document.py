"""A study as the plain data of its file: its digest, the difference between two, and settings laid over it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from scalesearch.errors import InputError, format_value, unknown_message
from scalesearch.plain_data import PlainDict, PlainMapping


def document_digest(document: PlainMapping) -> str:
    """Returns 16 hex digits that identify what a study asks for; the section `ray` has no part in them."""
    content = {key: value for key, value in document.items() if key != "ray"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def document_difference(old: object, new: object, place: str = "") -> str:
    """Returns a phrase that names the first difference between two documents, the section `ray` aside.

    Args:
        old: The earlier document, or the value in it at `place`.
        new: The later one.
        place: The dotted key that both are found at.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            if key != "ray" and old.get(key) != new.get(key):
                return document_difference(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
    return f"{place} was {format_value(old)}, is {format_value(new)}"


def apply_settings(data: PlainDict, settings: PlainMapping) -> None:
    """Changes a study's data in place by `settings` (`{"search.trials": 4}`) and removes its presets.

    A preset that the settings name is applied before the other settings.

    Raises:
        InputError: If `presets` is malformed, or the named preset does not exist.
    """
    presets = data.pop("presets", None) or {}
    if not isinstance(presets, dict) or not all(isinstance(changes, dict) for changes in presets.values()):
        raise InputError("takes a mapping of names, each with a mapping of keys (search.trials) to values", "presets")
    preset = settings.get("preset")
    if preset is not None and preset not in presets:
        message = unknown_message("preset", preset, presets) if presets else "this study has no presets"
        raise InputError(message, "--set preset")
    chosen = presets.get(preset, {})
    for dotted, value in {**chosen, **{key: value for key, value in settings.items() if key != "preset"}}.items():
        set_dotted(data, dotted, value)


def set_dotted(data: PlainDict, dotted: str, value: object) -> None:
    """Sets the dotted key `search.trials` of a study's data to `value`, in place.

    Raises:
        InputError: If the key leads through something that is no mapping.
    """
    *outer, last = dotted.split(".")
    for key in outer:
        if key == "recipe" and isinstance(data.get(key), str):
            data[key] = {"base": data[key]}
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise InputError(f'--set {dotted}: "{key}" is not a mapping')
    data[last] = value
