"""Reading JSON that may come from a stranger: as plain data, or checked against the types that it is for.

The only importer of pydantic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from annotated_types import Ge, Le, Predicate

from scalesearch.errors import InputError, format_value

T = TypeVar("T")
Natural = Annotated[int, Ge(0), Le(2**63 - 1)]
Number = Annotated[float, Predicate(math.isfinite)] | int
MESSAGES = {
    "unexpected_keyword_argument": "is no key of it",
    "extra_forbidden": "is no key of it",
    "predicate_failed": "should be finite",
}


def load_json(raw: str | bytes) -> Any:
    """Returns JSON as plain data.

    Raises:
        ValueError: If it is no JSON, or is nested too deep to be read.
    """
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("nests too deep") from None


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def from_json(kind: type[T], raw: str | bytes) -> T:
    """Returns a dataclass, a typed mapping or a plain type read from JSON, whose keys and types must be exactly
    those of `kind`.

    Raises:
        InputError: Placed at the key, for what is no JSON and for the first thing that doesn't fit.
    """
    from pydantic import ValidationError

    try:
        return cast(T, _adapter(cast(Any, kind)).validate_json(raw, strict=True, extra="forbid"))
    except ValidationError as error:
        faults = error.errors(include_url=False)
    first = faults[0]
    if first["type"] == "json_invalid":
        raise InputError(f"is no JSON: {first['ctx']['error'].replace(' at line 1 column', ', column')}")
    payload = json.loads(raw, parse_int=lambda digits: int(digits) if len(digits) < 4_000 else math.inf)
    place, value = _resolve(payload, first["loc"])
    if first["type"] == "missing":
        raise InputError("is missing", ".".join([*place, str(first["loc"][-1])]))
    if first["type"] in MESSAGES:
        raise InputError(MESSAGES[first["type"]], ".".join(place))
    expected = [f["msg"].removeprefix("Input should be ") for f in faults if _resolve(payload, f["loc"])[0] == place]
    *alternatives, last = dict.fromkeys(expected)
    raise InputError(
        f"should be {', '.join(alternatives)}{' or ' if alternatives else ''}{last}, got {format_value(value)}",
        ".".join(place),
    )


def _resolve(payload: Any, parts: Sequence[object]) -> tuple[list[str], Any]:
    """Returns the leading parts of a place that lead to something in `payload`, and that value.

    The parts after them are names of types, or a key that is missing.
    """
    place = []
    for part in parts:
        if not (part in payload if isinstance(payload, dict) else isinstance(payload, list) and isinstance(part, int)):
            break
        payload = payload[part]
        place.append(str(part))
    return place, payload
