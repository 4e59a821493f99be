"""What a leaf of a space may be: a choice, a whole or decimal range; and when it is open at all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

from scalesearch.signature import Field


@dataclass(frozen=True)
class Choice:
    options: tuple[Any, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.options))}"

    @property
    def values(self) -> tuple[Any, ...]:
        return self.options

    def near(self, value: Any) -> tuple[Any, ...]:
        return tuple(option for option in self.options if option != value)


@dataclass(frozen=True)
class IntRange:
    """`low`, `low` + `step`, … up to `high`. `log` is for searchers that model the axis; every value is as likely."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}{_in_steps(self.step, 1)}"

    @cached_property
    def values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))

    def near(self, value: int) -> tuple[int, ...]:
        return _beside(self.values, value)


@dataclass(frozen=True)
class FloatRange:
    """Decimals from `low` to `high`, in steps or (without a step) all of them, evenly on a log axis if `log`."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}{_in_steps(self.step, None)}"

    @cached_property
    def values(self) -> tuple[float, ...] | None:
        if self.low == self.high:
            return (self.low,)
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(dict.fromkeys(round(self.low + i * self.step, 12) for i in range(count)))

    def near(self, value: float) -> tuple[float, ...]:
        if self.values is not None:
            return _beside(self.values, value)
        tenth = (self.high - self.low) / 10
        return tuple(v for v in (value - tenth, value + tenth) if self.low <= v <= self.high)


Domain = Choice | IntRange | FloatRange


def _in_steps(step: float | None, usual: float | None) -> str:
    return "" if step == usual else f" in steps of {step:g}"


def first_value(domain: Domain) -> Any:
    return domain.low if isinstance(domain, FloatRange) else domain.values[0]


def _beside(values: tuple, value: Any) -> tuple:
    i = values.index(value)
    return values[max(0, i - 1) : i] + values[i + 1 : i + 2]


def contains(domain: Domain, value: Any) -> bool:
    """Whether `value` is one of the domain's; 6 is 6.0, but 1 is not True."""
    if domain.values is not None:
        return any(v == value and isinstance(v, bool) == isinstance(value, bool) for v in domain.values)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and domain.low <= value <= domain.high


def own(domain: Domain, value: Any) -> Any:
    """The domain's own form of a value that it contains: 6.0 for 6."""
    return float(value) if domain.values is None else next(v for v in domain.values if v == value)


def draw(domain: Domain, rng: Random) -> Any:
    if domain.values is not None:
        return domain.values[int(rng.random() * len(domain.values))]
    if domain.log:
        return math.exp(rng.uniform(math.log(domain.low), math.log(domain.high)))
    return rng.uniform(domain.low, domain.high)


def size(domain: Domain) -> int | float:
    return math.inf if domain.values is None else len(domain.values)


Condition = tuple[str, tuple[Any, ...]]  # a decision and the values that make the condition hold


@dataclass(frozen=True)
class Open:
    """An open leaf. Leaves of one `name` are one decision; outside `when` the leaf has the value `otherwise`."""

    domain: Domain
    name: str | None = None
    when: tuple[Condition, ...] = ()
    otherwise: Any = None
    field: Field | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Tie:
    """A leaf that takes the value of the decision at `path`."""

    path: str
    field: Field | None = field(default=None, compare=False)


def choice(*options: Any, name: str | None = None, when: dict[str, Any] | None = None, otherwise: Any = None) -> dict:
    """`{choice: […]}` for a space written in Python."""
    return _leaf({"choice": list(options)}, name, when, otherwise)


def span(
    low: float,
    high: float,
    step: float | None = None,
    log: bool = False,
    *,
    name: str | None = None,
    when: dict[str, Any] | None = None,
    otherwise: Any = None,
) -> dict:
    """`{range: [low, high]}` for a space written in Python."""
    leaf: dict[str, Any] = {"range": [low, high]}
    leaf |= {"step": step} if step is not None else {}
    leaf |= {"log": True} if log else {}
    return _leaf(leaf, name, when, otherwise)


def _leaf(leaf: dict, name: str | None, when: dict[str, Any] | None, otherwise: Any) -> dict:
    extra = {"name": name, "when": when, "else": otherwise}
    return leaf | {key: value for key, value in extra.items() if value is not None}
