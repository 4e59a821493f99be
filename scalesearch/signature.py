"""A function's keyword signature, read as a schema.

Blocks, searchers, recipes and the sections of a study all state once, in Python, what they take; the YAML checks,
the error messages and the scaling rules are readings of that signature.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar

from scalesearch.errors import InputError, inside, nearest, shown
from scalesearch.plain_data import PlainDict, PlainMapping

REQUIRED = inspect.Parameter.empty
T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """Bounds of a number, and which multiplier scales it: "width", "depth" or none."""

    low: float = -math.inf
    high: float = math.inf
    odd: bool = False
    scales: str = ""

    def broken_by(self, value: float) -> str | None:
        if value < self.low:
            return f"must be at least {self.low:g}"
        if value > self.high:
            return f"must be at most {self.high:,}"
        return "must be odd" if self.odd and value % 2 == 0 else None


Width = Annotated[int, Rule(low=1, high=65_536, scales="width")]
Count = Annotated[int, Rule(low=1, high=1_000_000)]
Depth = Annotated[int, Rule(low=1, high=1_000)]
Repeats = Annotated[int, Rule(low=1, high=1_000, scales="depth")]
Resolution = Annotated[int, Rule(low=1, high=8_192)]
Sides = Resolution | tuple[Resolution, Resolution]  # of the input: a side, or height and width
Natural = Annotated[int, Rule(low=0, high=2**31)]
Kernel = Annotated[int, Rule(low=1, high=255, odd=True)]
Kernels = Kernel | tuple[Kernel, ...]  # a side, or height and width
Stride = Annotated[int, Rule(low=1, high=64)]
Ratio = Annotated[float, Rule(low=0, high=1_000)]
Share = Annotated[float, Rule(low=0, high=1)]
Rate = Annotated[float, Rule(low=0, high=0.999)]


@dataclass(frozen=True)
class Field:
    """One keyword: its type, its rule and its default (`REQUIRED` where it has none)."""

    name: str
    types: tuple[Any, ...]
    rule: Rule
    default: Any

    def check(self, value: Any) -> Any:
        """`value` in the field's own type, or an `InputError` that states the rule and what came."""
        for kind in self.types:
            accepted, converted = _accept(kind, value, self.name)
            if accepted:
                broken = self.rule.broken_by(converted) if _is_number(converted) else None
                if broken:
                    raise InputError(f"{broken}, got {shown(value)}", self.name)
                return converted
        raise InputError(f"takes {self.wanted}, got {shown(value)}", self.name)

    @property
    def wanted(self) -> str:
        return " or ".join(_describe(kind) for kind in self.types)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _accept(kind: Any, value: Any, name: str = "") -> tuple[bool, Any]:
    origin = typing.get_origin(kind)
    if origin is Literal:
        return any(value == o and type(value) is type(o) for o in typing.get_args(kind)), value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False, value
        first, *others = typing.get_args(kind)
        if others != [...] and len(value) != 1 + len(others):
            return False, value
        types, rule = _unwrap(first)
        return True, tuple(Field(f"{name}[{i}]", types, rule, REQUIRED).check(v) for i, v in enumerate(value))
    if kind is float:
        fits = _is_number(value) and -1e300 < value < 1e300
        return fits, float(value) if fits else value
    if kind is int:
        fits = _is_number(value) and (isinstance(value, int) or (math.isfinite(value) and value.is_integer()))
        return fits, int(value) if fits else value
    return isinstance(value, kind), value


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        first, *others = typing.get_args(kind)
        return f"a list{'' if others == [...] else f' of {1 + len(others)}'}, each " + _describe(_unwrap(first)[0][0])
    return {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        NoneType: "nothing",
        dict: "a mapping",
    }.get(kind, str(kind))


def _unwrap(hint: Any) -> tuple[tuple[Any, ...], Rule]:
    rule = Rule()
    if typing.get_origin(hint) is Annotated:
        hint, rule = typing.get_args(hint)[:2]
    if typing.get_origin(hint) is dict:
        return (dict,), rule
    if typing.get_origin(hint) in (typing.Union, UnionType):
        parts = [_unwrap(part) for part in typing.get_args(hint)]
        rule = next((r for _, r in parts if r != Rule()), rule)
        return tuple(kind for kinds, _ in parts for kind in kinds), rule
    return (hint,), rule


@cache
def fields_of(callable_: Callable[..., Any]) -> dict[str, Field]:
    """The keywords `callable_` takes (a function or a dataclass), in order of its signature."""
    target = callable_.__init__ if inspect.isclass(callable_) else callable_
    hints = typing.get_type_hints(target, include_extras=True)
    parameters = inspect.signature(callable_).parameters.values()
    keyword = [p for p in parameters if inspect.isclass(callable_) or p.kind is p.KEYWORD_ONLY]
    return {p.name: _field(p.name, hints[p.name], p.default) for p in keyword}


def _field(name: str, hint: Any, default: Any) -> Field:
    field = Field(name, *_unwrap(hint), default)
    return field if default is REQUIRED else replace(field, default=field.check(default))


def check_keys(owner: str, fields: Mapping[str, Field], given: PlainMapping) -> None:
    """Known keys alone, and none that is required missing.

    Raises `InputError` placed at the offending key; `owner` is what the message calls the thing.
    """
    for key in given:
        if key not in fields:
            raise InputError(f"unknown key for {owner}; takes {', '.join(fields)}.{nearest(key, fields)}", str(key))
    for name, field in fields.items():
        if field.default is REQUIRED and name not in given:
            raise InputError(f'{owner} needs "{name}" ({field.wanted})')


def check_arguments(owner: str, fields: Mapping[str, Field], given: PlainMapping) -> PlainDict:
    """`given` checked against `fields` by `check_keys`, every value in its field's own type."""
    check_keys(owner, fields, given)
    return {name: fields[name].check(value) for name, value in given.items()}


def section(kind: type[T], data: PlainMapping | None, name: str) -> T:
    """A dataclass out of its mapping, which stands under `name`; `with_` is written `with` in YAML."""
    with inside(name):
        fields = {key.rstrip("_"): field for key, field in fields_of(kind).items()}  # type: ignore[arg-type]  # types hash
        given = check_arguments(f'"{name}"', fields, data or {})
        return kind(**{key + "_" * (key == "with"): value for key, value in given.items()})


# Numbers as people write them in YAML here; editors read them as texts.
WRITTEN_NUMBER = r"^[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+|[kKMGT%])?$"


def json_schema(field: Field) -> PlainDict:
    """A keyword as JSON Schema has it; what one number must be is left to the checks."""
    kinds = [_json_schema(kind, field.rule) for kind in field.types]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _json_schema(kind: Any, rule: Rule) -> PlainDict:
    if typing.get_origin(kind) is Literal:
        return {"enum": list(typing.get_args(kind))}
    if typing.get_origin(kind) is tuple:
        types, inner = _unwrap(typing.get_args(kind)[0])
        count = len(typing.get_args(kind))
        fixed = {} if typing.get_args(kind)[1:] == (...,) else {"minItems": count, "maxItems": count}
        return {"type": "array", "items": json_schema(Field("", types, inner, REQUIRED)), **fixed}
    if kind in (int, float):
        number: PlainDict = {"type": "integer" if kind is int else "number"}
        number |= {key: bound for key, bound in (("minimum", rule.low), ("maximum", rule.high)) if math.isfinite(bound)}
        return {"anyOf": [number, {"type": "string", "pattern": WRITTEN_NUMBER}]}
    return {"type": {bool: "boolean", str: "string", NoneType: "null", dict: "object"}[kind]}
