"""A function's keyword arguments, read as a schema.

Blocks, searchers, recipes and the sections of a study declare once, in a Python signature, what they
take. The checks of YAML files, the error messages and the scaling rules are derived from it.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, TypeVar

from scalesearch.errors import Faults, InputError, check_known, errors_at, format_value, suggestion
from scalesearch.plain_data import PlainDict, PlainMapping

REQUIRED = inspect.Parameter.empty
T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """Holds the bounds of a number, whether it must be odd, and which multiplier scales it: "width",
    "depth" or none.
    """

    low: float = -math.inf
    high: float = math.inf
    odd: bool = False
    scales: str = ""

    def violation(self, value: float) -> str | None:
        """Returns in words how a number breaks the rule; None if it doesn't."""
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
    """Describes one keyword argument: its types, its rule and its default (`REQUIRED` if it has none)."""

    name: str
    types: tuple[Any, ...]
    rule: Rule
    default: Any

    def check(self, value: object) -> Any:
        """Returns `value` in the field's own type.

        Raises:
            InputError: Placed at the field, with the rule and what came, if the value doesn't fit.
        """
        for kind in self.types:
            accepted, converted = _accept(kind, value, self.name)
            if accepted:
                if is_number(converted) and (violated := self.rule.violation(converted)):
                    raise InputError(f"{violated}, got {format_value(value)}", self.name)
                return converted
        raise InputError(f"takes {self.description}, got {format_value(value)}", self.name)

    @property
    def description(self) -> str:
        """Returns in words what the field takes: `a whole number or nothing`."""
        return " or ".join(_describe(kind) for kind in self.types)


def is_number(value: object) -> TypeGuard[int | float]:
    """Returns whether `value` is a whole or decimal number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _accept(kind: Any, value: Any, name: str = "") -> tuple[bool, Any]:
    origin = typing.get_origin(kind)
    if origin is Literal:
        return any(value == o and type(value) is type(o) for o in typing.get_args(kind)), value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False, value
        first, *rest = typing.get_args(kind)
        if rest != [...] and len(value) != 1 + len(rest):
            return False, value
        types, rule = _unwrap(first)
        return True, tuple(Field(f"{name}[{i}]", types, rule, REQUIRED).check(v) for i, v in enumerate(value))
    if kind is float:
        fits = is_number(value) and -1e300 < value < 1e300
        return fits, float(value) if fits else value
    if kind is int:
        fits = is_number(value) and (isinstance(value, int) or (math.isfinite(value) and value.is_integer()))
        return fits, int(value) if fits else value
    return isinstance(value, kind), value


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        first, *rest = typing.get_args(kind)
        return f"a list{'' if rest == [...] else f' of {1 + len(rest)}'}, each " + _describe(_unwrap(first)[0][0])
    return {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        NoneType: "nothing",
        dict: "a mapping",
    }.get(kind, str(kind))


def _unwrap(hint: object) -> tuple[tuple[Any, ...], Rule]:
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
def fields_of(callable_: Callable[..., object]) -> dict[str, Field]:
    """Returns the keyword arguments of a function, or the arguments of a dataclass, by name and in their
    order.
    """
    target = callable_ if is_dataclass(callable_) else callable_.__init__ if inspect.isclass(callable_) else callable_
    hints = typing.get_type_hints(target, include_extras=True)  # each of a dataclass in the module that declares it
    parameters = inspect.signature(callable_).parameters.values()
    keyword = [p for p in parameters if inspect.isclass(callable_) or p.kind is p.KEYWORD_ONLY]
    return {p.name: _field(p.name, hints[p.name], p.default) for p in keyword}


def _field(name: str, hint: object, default: object) -> Field:
    field = Field(name, *_unwrap(hint), default)
    return field if default is REQUIRED else replace(field, default=field.check(default))


def check_keys(owner: str, fields: Mapping[str, Field], arguments: PlainMapping) -> None:
    """Raises `InputError` for an unknown key, placed at it, and for a required one that is missing.

    Args:
        owner: What the message calls the thing.
        fields: What it takes.
        arguments: What came.
    """
    faults = Faults()
    with faults.part():
        check_known(f"key for {owner}", arguments, fields)
    unknown = [key for key in arguments if key not in fields]
    for name, field in fields.items():
        is_misspelt = any(suggestion(key, [name]) for key in unknown)
        with faults.part():
            if field.default is REQUIRED and name not in arguments and not is_misspelt:
                raise InputError(f'{owner} needs "{name}" ({field.description})')
    faults.check()


def check_arguments(owner: str, fields: Mapping[str, Field], arguments: PlainMapping) -> PlainDict:
    """Returns `arguments` with every value in its field's own type.

    Raises:
        InputError: As `check_keys` and `Field.check` do.
    """
    faults, checked = Faults(), {}
    with faults.part():
        check_keys(owner, fields, arguments)
    for name, value in arguments.items():
        with faults.part():
            if name in fields:
                checked[name] = fields[name].check(value)
    faults.check()
    return checked


def parse_section(kind: type[T], data: PlainMapping | None, name: str) -> T:
    """Returns a dataclass built from the mapping under the key `name`; none counts as an empty one.

    A field called `with_` is written `with` in YAML.

    Raises:
        InputError: Placed at the key, if something doesn't fit.
    """
    with errors_at(name):
        fields = {key.rstrip("_"): field for key, field in fields_of(kind).items()}  # type: ignore[arg-type]  # types hash
        arguments = check_arguments(f'"{name}"', fields, data or {})
        return kind(**{key + "_" * (key == "with"): value for key, value in arguments.items()})


# Numbers with units, as `600M` or `2%`, which are text to an editor.
WRITTEN_NUMBER = r"^[-+]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+|[kKMGT%])?$"


def json_schema(field: Field) -> PlainDict:
    """Returns a keyword argument as JSON Schema; rules that it can't express are left to `Field.check`."""
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
