"""A Gaussian process over decisions, which learns from the results which networks are similar.

Similarity is a sum of kernels: one of the decisions that two networks share, each decision with its own
weight, and one for each kind of number about them (how often an option is chosen, positions on ranges,
counted costs). Each kernel's amplitude, and every weight in it, is fitted to the results; so what has no
effect in a space fades out.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm, rankdata

MAX_POINTS = 300  # results that the process is conditioned on at most: see `_pick_evenly`
MAX_FITTED = 150
FIT_STEPS = 40
JITTER = 1e-8
BLOCK = 4_096  # networks predicted at a time


@dataclass(frozen=True)
class Encoded:
    """Networks as arrays with a row for each.

    Attributes:
        codes: `(n, decisions)` integers from 0; 0 where a decision does not exist.
        flags: `(n, decisions · width)` the same one-hot: 1 at decision · width + code.
        numbers: `(n, numbers)` standardised numbers about each network.
        costs: `(n, objectives)` counted costs, each to be small.
        sizes: `(n,)` how large each network is among all, in standard deviations; 0 where nothing is counted.
    """

    codes: np.ndarray
    flags: np.ndarray
    numbers: np.ndarray
    costs: np.ndarray
    sizes: np.ndarray

    def __getitem__(self, rows: np.ndarray | slice) -> Encoded:
        return Encoded(*(getattr(self, f.name)[rows] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.codes)

    def concatenate(self, other: Encoded) -> Encoded:
        """Returns the rows of both, those of `other` last."""
        return Encoded(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


def gaussian_scores(scores: np.ndarray) -> np.ndarray:
    """Returns the scores `(n,)` as quantiles of a standard normal distribution, by their ranks.

    So outliers and the scale of the score have no effect.
    """
    return cast(np.ndarray, norm.ppf((rankdata(scores) - 0.5) / len(scores)))


class Surrogate:
    """The Gaussian process.

    Args:
        decisions: The number of decisions.
        groups: The columns of `Encoded.numbers` that belong to each kind of number.
    """

    def __init__(self, decisions: int, groups: Sequence[np.ndarray]):
        self.decisions, self.groups = decisions, list(groups)
        sizes, kernels = [decisions, *map(len, groups)], 1 + len(groups)
        ends = np.cumsum([0, *sizes])
        self.parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
        # weights at which two random networks are neither almost equal nor unrelated
        log_weights = [np.full(size, np.log((1.5 if k else 1.8) / max(1, size))) for k, size in enumerate(sizes)]
        self.prior = np.r_[*log_weights, np.full(kernels, -np.log(kernels)), np.log(0.01)]
        self.spread = np.r_[np.ones(len(self.prior) - 1), 1.5]
        self.theta = self.prior

    def _amplitudes(self, values: np.ndarray) -> np.ndarray:
        return values[-1 - len(self.parts) : -1]

    def _loss(self, theta: np.ndarray, distances: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the negative log posterior of the weights, and its gradient.

        Args:
            theta: Logs of the kernels' weights, their amplitudes and the noise.
            distances: `(dimensions, n, n)` distances between the networks.
            y: `(n,)` scores.
        """
        values, n = np.exp(theta), len(y)
        noise = values[-1]
        kernels = [
            amplitude * np.exp(-np.tensordot(values[part], distances[part], 1))
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
            gradient[part] = 0.5 * values[part] * np.tensordot(distances[part], pull, 2)
            gradient[len(theta) - 1 - len(self.parts) + k] = -0.5 * pull.sum()
        gradient[-1] = -0.5 * noise * np.trace(slope)
        deviation = (theta - self.prior) / self.spread
        value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * (deviation**2).sum()
        return value, gradient + deviation / self.spread

    def fit(self, points: Encoded, y: np.ndarray) -> None:
        """Fits the weights by maximum a posteriori to the scores `y`, `(n,)`, of `points`."""
        chosen = _pick_evenly(y, MAX_FITTED)
        points, y = points[chosen], y[chosen]
        different = (points.codes[:, None] != points.codes[None]).transpose(2, 0, 1).astype(float)
        numbers = points.numbers[:, np.concatenate(self.groups)] if self.groups else np.zeros((len(y), 0))
        distances = np.concatenate([different, ((numbers[:, None] - numbers[None]) ** 2).transpose(2, 0, 1)])
        kernels = len(self.parts)
        bounds = [(-9, 3)] * (len(self.prior) - 1 - kernels) + [(-7, 3)] * kernels + [(-9, 1)]
        self.theta = minimize(
            self._loss,
            self.prior,
            args=(distances, y),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": FIT_STEPS},
        ).x

    def scaled_numbers(self, networks: Encoded) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns, for each kind of number, the numbers in the kernel's units and the sums of their squares."""
        numbers = [
            networks.numbers[:, columns] * np.sqrt(np.exp(self.theta[part]))
            for columns, part in zip(self.groups, self.parts[1:])
        ]
        return [(x, (x * x).sum(1)) for x in numbers]

    def kernel(self, a: Encoded, b: Encoded, scaled_b: list[tuple[np.ndarray, np.ndarray]] | None = None) -> np.ndarray:
        """Returns the prior covariances `(len(a), len(b))` between the networks.

        Args:
            a: Some networks.
            b: Others.
            scaled_b: What `scaled_numbers` returns for `b`, if it is known already.
        """
        values = np.exp(self.theta)
        weights, amplitudes = values[self.parts[0]], self._amplitudes(values)
        shared = (a.flags * np.repeat(weights, a.flags.shape[1] // max(1, self.decisions))) @ b.flags.T
        covariance = amplitudes[0] * np.exp(shared - weights.sum())
        groups = zip(amplitudes[1:], self.scaled_numbers(a), scaled_b or self.scaled_numbers(b))
        for amplitude, (x, xx), (y, yy) in groups:
            covariance += amplitude * np.exp(-np.maximum(xx[:, None] + yy[None] - 2 * x @ y.T, 0))
        return cast(np.ndarray, covariance)

    @property
    def noise(self) -> float:
        """Returns the variance of the noise on a score."""
        return float(np.exp(self.theta[-1])) + JITTER

    @property
    def variance(self) -> float:
        """Returns the prior variance of a network's score."""
        return float(self._amplitudes(np.exp(self.theta)).sum())

    def condition(self, points: Encoded, y: np.ndarray) -> None:
        """Conditions the process on the scores `y`, `(n,)`, of `points`; on `MAX_POINTS` of them if there are more."""
        chosen = _pick_evenly(y, MAX_POINTS)
        self.points = points[chosen]
        covariance = self.kernel(self.points, self.points)
        self.factor = np.linalg.cholesky(covariance + self.noise * np.eye(len(chosen)))
        self.alpha = cho_solve((self.factor, True), y[chosen])
        self.means = covariance @ self.alpha  # of the points, without noise

    def predict(self, networks: Encoded) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mean and standard deviation, `(n,)` each, of the networks' scores without noise."""
        blocks = [self._predict(networks[slice(i, i + BLOCK)]) for i in range(0, len(networks), BLOCK)]
        means, deviations = zip(*blocks)
        return np.concatenate(means), np.concatenate(deviations)

    def _predict(self, networks: Encoded) -> tuple[np.ndarray, np.ndarray]:
        cross = self.kernel(self.points, networks)
        explained = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        return cross.T @ self.alpha, np.sqrt(np.maximum(self.variance - (explained**2).sum(0), 1e-12))


class PoolPredictions:
    """Predictions for a large pool of networks, kept between proposals.

    Every result adds a row to a Cholesky factor. Rows are added one by one in the results' order, so that the
    predictions are the same to the bit however many results came since the last time.
    """

    def __init__(self, surrogate: Surrogate, pool: Encoded):
        self.surrogate, self.pool, self.scaled_numbers = surrogate, pool, surrogate.scaled_numbers(pool)
        self.row_results: list[Any] = []  # the results that the rows belong to
        self.factor = np.zeros((MAX_POINTS, MAX_POINTS))
        self.explained = np.zeros((MAX_POINTS, len(pool)))
        self.squares = np.zeros(len(pool))

    def __call__(self, results: Sequence[object], points: Encoded, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mean and standard deviation, `(pool,)` each, of the pool's scores without noise.

        Args:
            results: The decisions of the results; the very same objects at every call, as far as they were there
                before.
            points: The networks of `results`, then those under way.
            y: `(len(points),)` scores.
        """
        if len(self.row_results) > len(results) or not all(map(operator.is_, self.row_results, results)):
            self.row_results, self.squares = [], np.zeros_like(self.squares)
        for row in range(len(self.row_results), len(results)):
            self.squares += self._add(points, row) ** 2
        self.row_results = list(results)
        squares = self.squares.copy()
        for row in range(len(results), len(points)):
            squares += self._add(points, row) ** 2
        n = len(points)
        weights = solve_triangular(self.factor[:n, :n], y, lower=True, check_finite=False)
        return weights @ self.explained[:n], np.sqrt(np.maximum(self.surrogate.variance - squares, 1e-12))

    def _add(self, points: Encoded, row: int) -> np.ndarray:
        network, surrogate = points[slice(row, row + 1)], self.surrogate
        covariance = surrogate.kernel(network, points[slice(0, row + 1)])[0]
        coefficients = np.zeros(0)
        if row:
            coefficients = solve_triangular(self.factor[:row, :row], covariance[:row], lower=True, check_finite=False)
        self.factor[row, :row] = coefficients
        self.factor[row, row] = np.sqrt(max(covariance[row] + surrogate.noise - coefficients @ coefficients, JITTER))
        residual = surrogate.kernel(network, self.pool, self.scaled_numbers)[0] - coefficients @ self.explained[:row]
        self.explained[row] = residual / self.factor[row, row]
        return cast(np.ndarray, self.explained[row])


def _pick_evenly(y: np.ndarray, limit: int) -> np.ndarray:
    """Returns indices of at most `limit` of the scores `y`, in ascending order.

    If there are more, these are the best `limit` // 2, and an even pick, by rank, of the rest.
    """
    if len(y) <= limit:
        return np.arange(len(y))
    order = np.argsort(-y, kind="stable")
    top, rest = order[: limit // 2], order[limit // 2 :]
    return np.sort(np.r_[top, rest[np.linspace(0, len(rest) - 1, limit - len(top)).astype(int)]])
