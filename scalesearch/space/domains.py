"""The domains of open leaves (choices, whole and decimal ranges) and the conditions under which they are open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, TypeVar

from scalesearch.plain_data import PlainDict
from scalesearch.signature import Field, is_number

T = TypeVar("T")


@dataclass(frozen=True)
class Choice:
    """One of several values, each as likely as the others."""

    options: tuple[Any, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.options))}"

    @property
    def values(self) -> tuple[Any, ...]:
        """Returns the options."""
        return self.options

    def neighbours(self, value: object) -> tuple[Any, ...]:
        """Returns all other options."""
        return tuple(option for option in self.options if option != value)


@dataclass(frozen=True)
class IntRange:
    """The whole numbers `low`, `low` + `step`, … up to `high`, each as likely as the others.

    `log` tells searchers that model the axis to do so on a log scale; draws are uniform in any case.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}{_step_suffix(self.step, 1)}"

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Returns all values in order."""
        return tuple(range(self.low, self.high + 1, self.step))

    def neighbours(self, value: int) -> tuple[int, ...]:
        """Returns the values one step below and above."""
        return _adjacent_values(self.values, value)


@dataclass(frozen=True)
class FloatRange:
    """Decimals from `low` to `high`: every `step`, or all of them where `step` is None.

    Without a step draws are uniform, on a log axis with `log`.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}{_step_suffix(self.step, None)}"

    @cached_property
    def values(self) -> tuple[float, ...] | None:
        """Returns all values in order; None where there are infinitely many."""
        if self.low == self.high:
            return (self.low,)
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(dict.fromkeys(round(self.low + i * self.step, 12) for i in range(count)))

    def neighbours(self, value: float) -> tuple[float, ...]:
        """Returns the values one step below and above.

        Without a step, they are those a tenth of the range away that lie inside it.
        """
        if self.values is not None:
            return _adjacent_values(self.values, value)
        tenth = (self.high - self.low) / 10
        return tuple(v for v in (value - tenth, value + tenth) if self.low <= v <= self.high)


Domain = Choice | IntRange | FloatRange


def _step_suffix(step: float | None, default: float | None) -> str:
    return "" if step == default else f" in steps of {step:g}"


def first_value(domain: Domain) -> Any:
    """Returns the first option, or the lowest value of a range."""
    return domain.low if isinstance(domain, FloatRange) else domain.values[0]


def _adjacent_values(values: tuple[T, ...], value: T) -> tuple[T, ...]:
    i = values.index(value)
    return values[max(0, i - 1) : i] + values[i + 1 : i + 2]


def contains(domain: Domain, value: object) -> bool:
    """Returns whether `value` is one of the domain's; 6 equals 6.0, but 1 is not True."""
    if domain.values is not None:
        return any(v == value and isinstance(v, bool) == isinstance(value, bool) for v in domain.values)
    return is_number(value) and domain.low <= value <= domain.high


def canonical_value(domain: Domain, value: Any) -> Any:
    """Returns a contained value in the domain's own type: 6.0 for 6."""
    return float(value) if domain.values is None else next(v for v in domain.values if v == value)


def draw(domain: Domain, rng: Random) -> Any:
    """Returns a random value of the domain, each as likely as the others.

    A continuous range is drawn uniformly, or log-uniformly with `log`.
    """
    if domain.values is not None:
        return domain.values[int(rng.random() * len(domain.values))]
    if domain.log:
        return math.exp(rng.uniform(math.log(domain.low), math.log(domain.high)))
    return rng.uniform(domain.low, domain.high)


def size(domain: Domain) -> int | float:
    """Returns the number of values; infinite for decimals without a step."""
    return math.inf if domain.values is None else len(domain.values)


Condition = tuple[str, tuple[object, ...]]  # a decision and the values that make the condition hold


@dataclass(frozen=True)
class OpenLeaf:
    """A leaf that a decision fills.

    Args:
        domain: Its values.
        name: Leaves of one name are one decision; without a name the leaf's path names it.
        when: Conditions under which it is open.
        otherwise: Its value where they do not hold.
        field: What the block accepts here.
    """

    domain: Domain
    name: str | None = None
    when: tuple[Condition, ...] = ()
    otherwise: object = None
    field: Field | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Tie:
    """A leaf that takes the value of the decision with the name or at the path `path`."""

    path: str
    field: Field | None = field(default=None, compare=False)


def choice(
    *options: object, name: str | None = None, when: PlainDict | None = None, otherwise: object = None
) -> PlainDict:
    """Returns `{choice: […]}`, an open leaf for a space written in Python.

    Args:
        *options: The values to choose from.
        name: Leaves of one name are one decision.
        when: Decisions and their value, or list of values, under which the leaf is open.
        otherwise: The leaf's value where `when` does not hold; by default that of the block's argument.
    """
    return _leaf({"choice": list(options)}, name, when, otherwise)


def span(
    low: float,
    high: float,
    step: float | None = None,
    log: bool = False,
    *,
    name: str | None = None,
    when: PlainDict | None = None,
    otherwise: object = None,
) -> PlainDict:
    """Returns `{range: [low, high]}`, an open leaf for a space written in Python.

    Args:
        low: The lowest value.
        high: The highest value, included; with a step it must lie a whole number of steps above `low`.
        step: Between values; by default 1 for whole numbers, and none (all values) for decimals.
        log: Whether the axis is logarithmic.
        name: Leaves of one name are one decision.
        when: Decisions and their value, or list of values, under which the leaf is open.
        otherwise: The leaf's value where `when` does not hold; by default that of the block's argument.
    """
    leaf: PlainDict = {"range": [low, high]}
    leaf |= {"step": step} if step is not None else {}
    leaf |= {"log": True} if log else {}
    return _leaf(leaf, name, when, otherwise)


def _leaf(leaf: PlainDict, name: str | None, when: PlainDict | None, otherwise: object) -> PlainDict:
    extra = {"name": name, "when": when, "else": otherwise}
    return leaf | {key: value for key, value in extra.items() if value is not None}
