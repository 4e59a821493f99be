"""Every key of a study's file with what it takes, its default and its meaning: one source for the JSON Schema, for
`scalesearch schema study --explain` and for the reference.

The meanings are those of the docstrings of the dataclasses and functions whose fields the keys are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from scalesearch.budget import QUANTITIES
from scalesearch.errors import InputError, format_value, suggestion
from scalesearch.searchers import SEARCHERS, Scheduler
from scalesearch.signature import REQUIRED, Field, fields_of
from scalesearch.study.reading import STUDY_KEYS
from scalesearch.study.steps import STEPS
from scalesearch.study.study import Resources
from scalesearch.study.tables import Columns
from scalesearch.trials import Recipe

SECTIONS = {"budget", "recipe", "ray", "table"}  # keys that are listed key by key
QUANTITY_UNITS = {
    "macs": "multiply-adds of one image",
    "params": "parameters",
    "acts": "outputs of convolutions and linear layers, of one image",
    "size": "bytes of the float32 weights",
    "memory": "bytes of the activations that are alive at once, of one image",
    "latency": "seconds of one image on the `device`",
}


AMOUNTS = "a bound: 600M, 1M..2M, ≤ 5M, 2x resnet18 ± 2%"
EXAMPLES = {"latency": "a bound: 5ms, ≤ 2ms", "size": "a bound: 4MB, ≤ 10MB", "memory": "a bound: 64MB"}


class Key(NamedTuple):
    """A key: its dotted path in the file, what it takes, its default as text, and what it means."""

    path: str
    takes: str
    default: str
    meaning: str


def descriptions(kind: Callable[..., object]) -> dict[str, str]:
    """Returns what the docstring of a class or function says of each attribute or argument, on one line."""
    doc = inspect.getdoc(kind) or ""
    lines = (doc.partition("Attributes:\n")[2] or doc.partition("Args:\n")[2]).splitlines()
    found: dict[str, str] = {}
    last = ""
    for line in lines:
        name, colon, text = line.strip().partition(": ")
        if line.startswith("    ") and not line.startswith("     ") and colon:
            last = name.rstrip("_")
            found[last] = text
        elif line.startswith("     ") and last:
            found[last] += f" {line.strip()}"
        elif line.strip():
            break
    return found


def study_keys(kind: str) -> list[Key]:
    """Returns every key of a study's file, the sections of its steps included.

    Args:
        kind: `training` or `table`.
    """
    own = [key for key in _keys(STUDY_KEYS[kind], "") if key.path not in SECTIONS]
    sections: dict[str, Any] = {step.key: step.options for step in STEPS[kind] if step.options is not None}
    if kind == "training":
        sections |= {"search.scheduler": Scheduler, "recipe": Recipe}
    else:
        sections |= {"table": Columns}
    keys = [key for name, options in sections.items() for key in _keys(options, f"{name}.")]
    budget = [Key(f"budget.{q}", EXAMPLES.get(q, AMOUNTS), "–", f"Bound on {QUANTITY_UNITS[q]}.") for q in QUANTITIES]
    return [*own, *budget, *keys, *_keys(Resources, "ray.")]


def _keys(kind: Callable[..., object], prefix: str) -> list[Key]:
    meanings = descriptions(kind)
    fields = {name.rstrip("_"): field for name, field in fields_of(kind).items()}
    return [Key(f"{prefix}{name}", _takes(name, f), _default(f), meanings.get(name, "")) for name, f in fields.items()]


def _takes(name: str, field: Field) -> str:
    if name == "with" and field.default in SEARCHERS:
        return f"one of {', '.join(SEARCHERS)}"
    low, high = field.rule.low, field.rule.high
    bounds = f" from {low:g}" if low > -1e300 else ""
    bounds += f" to {high:g}" if high < 1e6 else ""
    return field.description + bounds


def _default(field: Field) -> str:
    if field.default is REQUIRED:
        return "required"
    if isinstance(field.default, tuple):
        return f"[{', '.join(map(str, field.default))}]"
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return "–" if field.default in (None, "") else f"{field.default}"


def explain(pattern: str, kind: str = "training") -> list[Key]:
    """Returns the keys at and below a dotted path, such as `recipe` and `recipe.mixup`; a bare key in any section.

    Raises:
        InputError: If there is none, with the nearest one.
    """
    keys = study_keys(kind)
    found = [k for k in keys if k.path == pattern or k.path.startswith(f"{pattern}.") or k.path.endswith(f".{pattern}")]
    if not found:
        nearest = suggestion(pattern, [key.path for key in keys])
        raise InputError(f"{format_value(pattern)} is no key of a study.{nearest}")
    return found
