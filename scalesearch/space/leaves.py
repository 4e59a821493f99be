"""Parses a value of an architecture's data, fixed or open: `64`, `{choice: …}`, `{range: …}` or `{tie: …}`."""

from __future__ import annotations

from typing import Any

from scalesearch.errors import Faults, InputError, check_known, errors_at, format_value, suggestion
from scalesearch.plain_data import PlainMapping
from scalesearch.signature import REQUIRED, Field, is_number
from scalesearch.space.decisions import Leaf
from scalesearch.space.domains import Choice, Condition, Domain, FloatRange, IntRange, OpenLeaf, Tie

MAX_VALUES = 10_000  # in one domain
LEAF_KEYS = {
    "choice": ("choice", "name", "when", "else"),
    "range": ("range", "step", "log", "name", "when", "else"),
    "tie": ("tie",),
}


def parse_leaf(value: Any, field: Field, place: str) -> Leaf:
    """Returns a fixed value, checked, or an open leaf or tie.

    Args:
        value: Plain data.
        field: What is accepted here.
        place: Where it stands, for messages.

    Raises:
        InputError: If the value does not fit the field, or the open leaf's keys or bounds are wrong.
    """
    kind = next((key for key in LEAF_KEYS if isinstance(value, dict) and key in value), None)
    with errors_at(place):
        if kind is None and isinstance(value, dict):
            raise InputError(
                f"takes {field.description}, or is left open by "
                f"{', '.join(f'{{{key}: …}}' for key in LEAF_KEYS)}; "
                f"got {format_value(value)}.{suggestion(next(iter(value), ''), LEAF_KEYS)}"
            )
        if kind is None:
            return _check(field, value)
        check_known(f"key for a {kind}", value, LEAF_KEYS[kind])
        if kind == "tie":
            if not isinstance(value["tie"], str):
                raise InputError(f"takes the path or name of a decision, got {format_value(value['tie'])}", "tie")
            return Tie(value["tie"], field)
        domain = _parse_choice(value, field) if kind == "choice" else _parse_range(value, field)
        name = value.get("name")
        if name is not None and not isinstance(name, str):
            raise InputError(f"takes a text, got {format_value(name)}", "name")
        when = _parse_conditions(value["when"]) if "when" in value else ()
        if "else" in value and not when:
            raise InputError('is for a leaf with "when"', "else")
        return OpenLeaf(domain, name, when, _parse_otherwise(value, field) if when else None, field)


def _check(field: Field, value: object, place: str = "") -> Any:
    try:
        return field.check(value)
    except InputError as error:
        raise InputError(error.message, place) from None


def _parse_choice(data: PlainMapping, field: Field) -> Domain:
    options = data["choice"]
    if not isinstance(options, list) or not options:
        raise InputError(f"takes a list of at least one option, got {format_value(options)}", "choice")
    if len(options) > 1_000:
        raise InputError(f"offers {len(options):,} options; at most 1,000, or a range", "choice")
    faults, values = Faults(), []
    for i, option in enumerate(options):
        with faults.part():
            value = _check(field, option, f"choice[{i}]")
            if value in values:
                raise InputError(f"offers {value!r} twice", f"choice[{i}]")
            values.append(value)
    faults.check()
    return Choice(tuple(values))


def _parse_range(value: PlainMapping, field: Field) -> Domain:
    bounds = value["range"]
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise InputError(f"takes [low, high], got {format_value(bounds)}", "range")
    low, high = (_check(field, bound, f"range[{i}]") for i, bound in enumerate(bounds))
    if isinstance(low, (bool, str, tuple)) or low is None:
        raise InputError(f"is for numbers; {field.description} takes a choice", "range")
    if low > high:
        raise InputError(f"low {low} is above high {high}", "range")
    log, step = value.get("log", False), value.get("step")
    if not isinstance(log, bool):
        raise InputError(f"takes true or false, got {format_value(log)}", "log")
    if log and (low <= 0 or step not in (None, 1)):
        raise InputError("needs low above 0 and no step", "log")
    if step is not None and (not is_number(step) or step <= 0):
        raise InputError(f"must be a number above 0, got {format_value(step)}", "step")
    _check_step_reaches_high(low, high, step)
    count = (high - low) / (step or 1) if step or isinstance(low, int) else 0
    if count > MAX_VALUES:
        raise InputError(f"has {count + 1:,.0f} values; at most {MAX_VALUES:,}, or a larger step", "range")
    if int in field.types and isinstance(low, int):
        if step is not None and int(step) != step:
            raise InputError(f"must be whole here, got {format_value(step)}", "step")
        domain: IntRange | FloatRange = IntRange(low, high, int(step or 1), log)
    else:
        domain = FloatRange(low, high, None if step is None else float(step), log)
    for v in domain.values or ():
        _check(field, v, "range")
    return domain


def _check_step_reaches_high(low: float, high: float, step: float | None) -> None:
    """Raises `InputError` where a range does not end at `high` after a whole number of steps, since that is a slip."""
    if step is None or low == high:
        return
    steps = (high - low) / step
    if steps < 1:
        raise InputError(f"is larger than the whole range, {format_value(step)} from {low} to {high}", "step")
    if abs(steps - round(steps)) > 1e-6:
        below, above = (f"{low + times * step:.10g}" for times in (int(steps), int(steps) + 1))
        raise InputError(
            f"misses the top, {high}: from {low} in steps of {format_value(step)} the range ends at {below} or {above}",
            "step",
        )


def _parse_conditions(when: object) -> tuple[Condition, ...]:
    if not isinstance(when, dict) or not when or [] in when.values():
        raise InputError("takes a mapping from a decision to its value or values", "when")
    return tuple((str(key), tuple(v) if isinstance(v, list) else (v,)) for key, v in when.items())


def _parse_otherwise(value: PlainMapping, field: Field) -> Any:
    if "else" in value:
        return _check(field, value["else"], "else")
    if field.default is REQUIRED:
        raise InputError('needs "else": the value where the condition does not hold')
    return field.default
