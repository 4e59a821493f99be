"""A Gaussian process over decisions: which networks are alike, as the results so far tell it.

Likeness is a sum of kernels: one of the decisions that two networks share, each decision with a weight of its own, and
one for each kind of number about them (how often an option is chosen, places on ranges, counted costs). How much each
kernel explains, and every weight in it, is fitted to the results; so what says nothing in a space fades out.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm, rankdata

MOST_POINTS = 300  # results that the process is conditioned on: the best half and an even pick of the rest
MOST_FITTED = 150
FIT_STEPS = 40
JITTER = 1e-8
BLOCK = 4_096  # networks predicted at a time


@dataclass(frozen=True)
class Encoded:
    """Networks as arrays of as many rows: `codes` of decisions (whole numbers from 0; 0 where one does not exist), the
    same as `flags` (1 at decision · width + code), `numbers` about the network, and its `costs` among the
    objectives."""

    codes: np.ndarray
    flags: np.ndarray
    numbers: np.ndarray
    costs: np.ndarray

    def __getitem__(self, rows: np.ndarray | slice) -> Encoded:
        return Encoded(self.codes[rows], self.flags[rows], self.numbers[rows], self.costs[rows])

    def __len__(self) -> int:
        return len(self.codes)

    def joined(self, other: Encoded) -> Encoded:
        return Encoded(
            *(
                np.concatenate(pair)
                for pair in (
                    (self.codes, other.codes),
                    (self.flags, other.flags),
                    (self.numbers, other.numbers),
                    (self.costs, other.costs),
                )
            )
        )


def gaussian_scores(scores: np.ndarray) -> np.ndarray:
    """Scores as quantiles of a normal distribution by their rank: outliers and the scale of the score don't matter."""
    return cast(np.ndarray, norm.ppf((rankdata(scores) - 0.5) / len(scores)))


class Surrogate:
    """The process; `groups` are the columns of each kind of number."""

    def __init__(self, decisions: int, groups: Sequence[np.ndarray]):
        self.decisions, self.groups = decisions, list(groups)
        sizes, kernels = [decisions, *map(len, groups)], 1 + len(groups)
        ends = np.cumsum([0, *sizes])
        self.parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
        # weights at which two random networks are neither all alike nor all strangers
        middles = [np.full(size, np.log((1.5 if k else 1.8) / max(1, size))) for k, size in enumerate(sizes)]
        self.prior = np.r_[*middles, np.full(kernels, -np.log(kernels)), np.log(0.01)]
        self.spread = np.r_[np.ones(len(self.prior) - 1), 1.5]
        self.theta = self.prior

    def _amplitudes(self, values: np.ndarray) -> np.ndarray:
        return values[-1 - len(self.parts) : -1]

    def _loss(self, theta: np.ndarray, apart: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative log posterior of the weights, and its gradient. `apart` are distances, (dimension, n, n)."""
        values, n = np.exp(theta), len(y)
        noise = values[-1]
        kernels = [
            amplitude * np.exp(-np.tensordot(values[part], apart[part], 1))
            for part, amplitude in zip(self.parts, self._amplitudes(values))
        ]
        try:
            factor = cho_factor(sum(kernels) + (noise + JITTER) * np.eye(n), lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros(len(theta))
        alpha = cho_solve(factor, y)
        slope = np.outer(alpha, alpha) - cho_solve(factor, np.eye(n))
        gradient = np.zeros(len(theta))
        for k, (part, kernel) in enumerate(zip(self.parts, kernels)):
            pull = slope * kernel
            gradient[part] = 0.5 * values[part] * np.tensordot(apart[part], pull, 2)
            gradient[len(theta) - 1 - len(self.parts) + k] = -0.5 * pull.sum()
        gradient[-1] = -0.5 * noise * np.trace(slope)
        off = (theta - self.prior) / self.spread
        value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * (off**2).sum()
        return value, gradient + off / self.spread

    def fit(self, known: Encoded, y: np.ndarray) -> None:
        """The likeliest weights for the scores `y`."""
        chosen = _even_pick(y, MOST_FITTED)
        known, y = known[chosen], y[chosen]
        different = (known.codes[:, None] != known.codes[None]).transpose(2, 0, 1).astype(float)
        numbers = known.numbers[:, np.concatenate(self.groups)] if self.groups else np.zeros((len(y), 0))
        apart = np.concatenate([different, ((numbers[:, None] - numbers[None]) ** 2).transpose(2, 0, 1)])
        kernels = len(self.parts)
        bounds = [(-9, 3)] * (len(self.prior) - 1 - kernels) + [(-7, 3)] * kernels + [(-9, 1)]
        self.theta = minimize(
            self._loss,
            self.prior,
            args=(apart, y),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": FIT_STEPS},
        ).x

    def scaled(self, networks: Encoded) -> list[tuple[np.ndarray, np.ndarray]]:
        """The numbers of each kind in the kernel's units, and their squares' sums."""
        found = [
            networks.numbers[:, columns] * np.sqrt(np.exp(self.theta[part]))
            for columns, part in zip(self.groups, self.parts[1:])
        ]
        return [(x, (x * x).sum(1)) for x in found]

    def kernel(self, a: Encoded, b: Encoded, scaled_b: list[tuple[np.ndarray, np.ndarray]] | None = None) -> np.ndarray:
        values = np.exp(self.theta)
        weights, amplitudes = values[self.parts[0]], self._amplitudes(values)
        shared = (a.flags * np.repeat(weights, a.flags.shape[1] // max(1, self.decisions))) @ b.flags.T
        found = amplitudes[0] * np.exp(shared - weights.sum())
        for amplitude, (x, xx), (y, yy) in zip(amplitudes[1:], self.scaled(a), scaled_b or self.scaled(b)):
            found += amplitude * np.exp(-np.maximum(xx[:, None] + yy[None] - 2 * x @ y.T, 0))
        return cast(np.ndarray, found)

    @property
    def noise(self) -> float:
        return float(np.exp(self.theta[-1])) + JITTER

    @property
    def variance(self) -> float:
        """Of the score of a network that nothing is known of."""
        return float(self._amplitudes(np.exp(self.theta)).sum())

    def condition(self, known: Encoded, y: np.ndarray) -> None:
        """Take the scores `y` of `known` networks for given."""
        chosen = _even_pick(y, MOST_POINTS)
        self.known = known[chosen]
        inner = self.kernel(self.known, self.known)
        self.factor = np.linalg.cholesky(inner + self.noise * np.eye(len(chosen)))
        self.alpha = cho_solve((self.factor, True), y[chosen])
        self.best = float((inner @ self.alpha).max())  # of the known ones, without their noise

    def predict(self, wanted: Encoded) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the score, without its noise."""
        blocks = [self._predict(wanted[slice(i, i + BLOCK)]) for i in range(0, len(wanted), BLOCK)]
        means, deviations = zip(*blocks)
        return np.concatenate(means), np.concatenate(deviations)

    def _predict(self, wanted: Encoded) -> tuple[np.ndarray, np.ndarray]:
        cross = self.kernel(self.known, wanted)
        explained = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        return cross.T @ self.alpha, np.sqrt(np.maximum(self.variance - (explained**2).sum(0), 1e-12))


class PoolPredictions:
    """What a surrogate predicts of a large pool, kept between proposals: every result adds a row to its factor.

    Rows are added one by one in the results' order, so that the predictions are the same to the bit however many
    results came since the last time.
    """

    def __init__(self, surrogate: Surrogate, pool: Encoded):
        self.surrogate, self.pool, self.scaled = surrogate, pool, surrogate.scaled(pool)
        self.made_of: list[Any] = []  # of what the rows are
        self.factor = np.zeros((MOST_POINTS, MOST_POINTS))
        self.explained = np.zeros((MOST_POINTS, len(pool)))
        self.squares = np.zeros(len(pool))

    def __call__(self, results: Sequence[Any], known: Encoded, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation for the scores `y` of all `known`, the first of which are of these `results`, the very
        objects at every proposal, and the others under way."""
        if len(self.made_of) > len(results) or not all(map(operator.is_, self.made_of, results)):
            self.made_of, self.squares = [], np.zeros_like(self.squares)
        for row in range(len(self.made_of), len(results)):
            self.squares += self._add(known, row) ** 2
        self.made_of = list(results)
        squares = self.squares.copy()
        for row in range(len(results), len(known)):
            squares += self._add(known, row) ** 2
        n = len(known)
        weights = solve_triangular(self.factor[:n, :n], y, lower=True, check_finite=False)
        return weights @ self.explained[:n], np.sqrt(np.maximum(self.surrogate.variance - squares, 1e-12))

    def _add(self, known: Encoded, row: int) -> np.ndarray:
        new, surrogate = known[slice(row, row + 1)], self.surrogate
        along = surrogate.kernel(new, known[slice(0, row + 1)])[0]
        left = np.zeros(0)
        if row:
            left = solve_triangular(self.factor[:row, :row], along[:row], lower=True, check_finite=False)
        self.factor[row, :row] = left
        self.factor[row, row] = np.sqrt(max(along[row] + surrogate.noise - left @ left, JITTER))
        own = surrogate.kernel(new, self.pool, self.scaled)[0] - left @ self.explained[:row]
        self.explained[row] = own / self.factor[row, row]
        return cast(np.ndarray, self.explained[row])


def _even_pick(y: np.ndarray, most: int) -> np.ndarray:
    """All rows, or the better half of `most` and an even pick, by rank, of the others."""
    if len(y) <= most:
        return np.arange(len(y))
    order = np.argsort(-y, kind="stable")
    top, rest = order[: most // 2], order[most // 2 :]
    return np.sort(np.r_[top, rest[np.linspace(0, len(rest) - 1, most - len(top)).astype(int)]])
