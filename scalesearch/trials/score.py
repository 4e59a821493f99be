"""The score that trials are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """Names the score among a trial's numbers, and says whether large or small is good.

    Attributes:
        key: The score's key among a trial's scores.
        tie: The key of the number that decides between equal scores, small being good.
        larger: Whether a large score is good.
    """

    key: str
    tie: str = ""
    larger: bool = True

    def of(self, scores: Mapping[str, float]) -> float | None:
        """Returns the score among a trial's scores, negated where small is good; None if it is missing."""
        value = scores.get(self.key)
        return value if value is None else self.orient(value)

    def orient(self, value: float) -> float:
        """Returns `value` negated where small is good, so that large is good; applied twice it returns `value`."""
        return value if self.larger else -value

    def rank(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """Returns a sort key for trials of one fidelity: worst first, those without a score before all."""
        value = self.of(scores)
        return (float("-inf") if value is None else value), -scores.get(self.tie, float("inf"))


def format_score(value: float | None, percent: bool) -> str:
    """Returns a score as text: a share as a percentage, another number with four digits, a dash for None."""
    return "–" if value is None else f"{value:.2%}" if percent else f"{value:.4g}"


def format_difference(value: float, half: float | None, percent: bool) -> str:
    """Returns a difference of scores as text, with ± half its interval if `half` is given."""
    factor, digits, unit = (100, ".2f", " points") if percent else (1, ".4g", "")
    return f"{value * factor:+{digits}}" + ("" if half is None else f" ± {half * factor:{digits}}") + unit
