"""Rank correlations and confidence intervals of small samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import cast

import numpy as np

NORMAL_95 = 1.96  # standard errors to either side in a 95 % interval


@dataclass(frozen=True)
class Correlation:
    """Holds Spearman's ρ, its 95 % interval (Bonett & Wright 2000) and the number of pairs.

    ρ and the interval are None where the pairs are too few.
    """

    value: float | None
    low: float | None
    high: float | None
    pairs: int

    def __str__(self) -> str:
        if self.value is None:
            return f"too few to tell ({self.pairs} pairs)"
        return f"{self.value:+.2f} (95 % interval {self.low:+.2f} to {self.high:+.2f}, {self.pairs} pairs)"


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Returns Spearman's rank correlation; 0 where either sequence is constant."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return 0.0
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Returns the ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    return cast(np.ndarray, (counts.cumsum() - (counts - 1) / 2)[inverse])


def correlation(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Returns Spearman's ρ of paired values, with its interval by Fisher's transformation.

    The value and interval are None for fewer than 4 pairs or a constant sequence.
    """
    n = len(x)
    if n < 4 or len(set(x)) < 2 or len(set(y)) < 2:
        return Correlation(None, None, None, n)
    rho = spearman(x, y)
    clipped = max(-0.999999, min(0.999999, rho))
    half_width = NORMAL_95 * math.sqrt((1 + clipped**2 / 2) / (n - 3))
    return Correlation(rho, math.tanh(math.atanh(clipped) - half_width), math.tanh(math.atanh(clipped) + half_width), n)


def difference_interval(*errors: float | None) -> float | None:
    """Returns half the 95 % interval of a difference of means with these standard errors; None if one is unknown."""
    return None if None in errors else NORMAL_95 * math.hypot(*(error or 0.0 for error in errors))


def interval(values: Sequence[float]) -> float | None:
    """Returns half the width of the 95 % interval of a mean (Student's t); None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit  # Student's quantile; importing scipy.stats takes a second

    return float(stdtrit(len(values) - 1, 0.975) * stdev(values) / math.sqrt(len(values)))


def standard_error(values: Sequence[float], examples: int | None, example_error: float | None = None) -> float | None:
    """Returns the standard error of a mean score over seeds; None where nothing is known of it.

    It has two parts: the seeds, and the finite number of test examples.

    Args:
        values: One score per seed.
        examples: The number of test examples, where scores are shares of them: their part is then binomial. None for
            other scores.
        example_error: The standard error by the test examples of other scores, from a bootstrap; None if unknown.
    """
    variances = [] if example_error is None else [example_error**2]
    if examples is not None:
        p = min(max(mean(values), 1 / (examples + 2)), 1 - 1 / (examples + 2))
        variances.append(p * (1 - p) / examples)
    if len(values) > 1:
        variances.append(stdev(values) ** 2 / len(values))
    return math.sqrt(sum(variances)) if variances else None


def wilson(hits: float, n: int, z: float = NORMAL_95) -> tuple[float, float]:
    """Returns the interval of a share of `hits` out of `n` (Wilson 1927); 95 % with the default `z`."""
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half_width = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half_width), min(1.0, centre + half_width)
