"""JSON out of files, which may be a stranger's: as plain data, or checked against the types of what it becomes.

The only importer of pydantic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from annotated_types import Ge, Le, Predicate

from scalesearch.errors import InputError, shown

T = TypeVar("T")
Natural = Annotated[int, Ge(0), Le(2**63 - 1)]
Number = Annotated[float, Predicate(math.isfinite)] | int
SAID = {
    "unexpected_keyword_argument": "is no key of it",
    "extra_forbidden": "is no key of it",
    "predicate_failed": "should be finite",
}


def plain(raw: str | bytes) -> Any:
    """JSON as plain data. Raises `ValueError` for what is none and for what nests too deep to be read."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("nests too deep") from None


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def from_json(kind: type[T], raw: str | bytes) -> T:
    """A dataclass, a typed mapping or a plain type out of JSON, its keys and types being exactly those of `kind`.

    Raises `InputError`, placed at the key, for what is no JSON and for the first thing that doesn't fit.
    """
    from pydantic import ValidationError

    try:
        return cast(T, _adapter(cast(Any, kind)).validate_json(raw, strict=True, extra="forbid"))
    except ValidationError as error:
        faults = error.errors(include_url=False)
    first = faults[0]
    if first["type"] == "json_invalid":
        raise InputError(f"is no JSON: {first['ctx']['error'].replace(' at line 1 column', ', column')}")
    told = json.loads(raw, parse_int=lambda digits: int(digits) if len(digits) < 4_000 else math.inf)
    place, came = _at(told, first["loc"])
    if first["type"] == "missing":
        raise InputError("is missing", ".".join([*place, str(first["loc"][-1])]))
    if first["type"] in SAID:
        raise InputError(SAID[first["type"]], ".".join(place))
    kinds = [f["msg"].removeprefix("Input should be ") for f in faults if _at(told, f["loc"])[0] == place]
    *others, last = dict.fromkeys(kinds)
    raise InputError(
        f"should be {', '.join(others)}{' or ' if others else ''}{last}, got {shown(came)}", ".".join(place)
    )


def _at(told: Any, parts: Sequence[Any]) -> tuple[list[str], Any]:
    """Of the parts of a place those that are there, and what is; others are names of types, or what is missing."""
    found = []
    for part in parts:
        if not (part in told if isinstance(told, dict) else isinstance(told, list) and isinstance(part, int)):
            break
        told = told[part]
        found.append(str(part))
    return found, told
