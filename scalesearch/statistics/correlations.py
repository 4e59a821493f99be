"""Rank correlations and intervals: what a few numbers allow to be said, and no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ with its 95 % interval (Bonett & Wright 2000), and of how many pairs; None where these are few."""

    value: float | None
    low: float | None
    high: float | None
    pairs: int

    def __str__(self) -> str:
        if self.value is None:
            return f"too few to tell ({self.pairs} pairs)"
        return f"{self.value:+.2f} (95 % interval {self.low:+.2f} to {self.high:+.2f}, {self.pairs} pairs)"


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; 0 where one of both never changes."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return 0.0
    from scipy.stats import rankdata  # half a second, which nothing else here needs

    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def correlation(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Spearman's ρ of pairs, with its interval by Fisher's transformation."""
    n = len(x)
    if n < 4 or len(set(x)) < 2 or len(set(y)) < 2:
        return Correlation(None, None, None, n)
    rho = spearman(x, y)
    bounded = max(-0.999999, min(0.999999, rho))
    half = 1.96 * math.sqrt((1 + bounded**2 / 2) / (n - 3))
    return Correlation(rho, math.tanh(math.atanh(bounded) - half), math.tanh(math.atanh(bounded) + half), n)


def interval(values: Sequence[float]) -> float | None:
    """Half the 95 % interval of a mean (Student's t); None for one value."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values)))


def standard_error(values: Sequence[float], examples: int | None) -> float:
    """Of a mean: what the seeds differ by, and, of a share, what as many test examples cannot tell apart anyway."""
    of_examples = 0.0
    if examples is not None:
        p = min(max(mean(values), 1 / (examples + 2)), 1 - 1 / (examples + 2))
        of_examples = p * (1 - p) / examples
    of_seeds = stdev(values) ** 2 / len(values) if len(values) > 1 else 0.0
    return math.sqrt(of_examples + of_seeds)


def wilson(hits: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)
