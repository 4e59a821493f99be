"""The number that trials are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """Names the score among a trial's numbers and says which direction is good.

    Attributes:
        key: The score's key among a trial's scores.
        tie: The key of the number that decides between equal scores, small being good.
        larger: Whether a large score is the good one.
    """

    key: str
    tie: str = ""
    larger: bool = True

    def of(self, scores: Mapping[str, float]) -> float | None:
        """Returns the score out of a trial's scores, its sign turned so that large is good; None if it is missing."""
        value = scores.get(self.key)
        return value if value is None else self.turned(value)

    def turned(self, value: float) -> float:
        """Returns `value` with its sign turned where small is good; applied twice it gives the value back."""
        return value if self.larger else -value

    def rank(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """Returns a sort key for trials of one fidelity: worst first, those without a score before all."""
        value = self.of(scores)
        return (float("-inf") if value is None else value), -scores.get(self.tie, float("inf"))


def format_score(value: float | None, percent: bool) -> str:
    """Returns a score as people read it: a share in per cent, another number with four digits, a dash for none."""
    return "–" if value is None else f"{value:.2%}" if percent else f"{value:.4g}"
