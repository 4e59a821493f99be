"""The predictor-guided searcher: a surrogate fitted to the results ranks networks by their expected gain.

The surrogate's weights are fitted again whenever there are a third more results than at the last fit, to the
results that existed then. So they are a function of the past alone, and most proposals cost milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import cast

import numpy as np
from scipy.stats import norm

from scalesearch.searchers.problem import Decisions, Past, Problem, best_first
from scalesearch.searchers.surrogate import MAX_POINTS, Encoded, PoolPredictions, Surrogate, gaussian_scores
from scalesearch.searchers.view import View
from scalesearch.statistics import nondominated

STARTUP_TRIALS = 10  # results drawn at random before there is a surrogate
# Where sizes are counted, more MACs, params and activations are taken to be better until results contradict it: of the
# first networks most are drawn from the largest tenth, and the surrogate's mean rises with the size.
SIZED_STARTUP_TRIALS = 6
UNIFORM_TRIALS = (1, 3)  # of the first ones, drawn from all networks, so that a wrong belief is found out
SIZE_SLOPE = 1.0  # the belief: by so many deviations the score rises with one of the size
SLOPE_WEIGHT = 4.0  # results that the belief weighs as much as
MIN_SLOPE = 0.3  # below which the first networks are no longer drawn from the largest
LARGE_DRAWS = 60  # draws at most to find a large network
FRESH_DRAWS = 10  # networks drawn at random for each proposal
CENTRES = 8  # the best results, then the most promising candidates, whose neighbours become candidates
CLIMB_ROUNDS = 3  # rounds of adding neighbours of the most promising candidates
# neighbours added in a round: fewer for networks with many neighbours, where each takes longer
MAX_NEIGHBOURS, REDUCED_NEIGHBOURS = 150, 24
MAX_CHEAP_NEIGHBOURS = 60
REFIT_GROWTH = 1.3
SHORT_LIST = 100  # candidates yielded before the rest is sorted; mostly the first one is taken
CONFIDENCE = (None, 0.5, 1.5)  # in turn: the expected improvement, and two upper confidence bounds
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # a normal distribution as nine points


def predictor(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes the networks with the best acquisition value under a Gaussian process.

    With the score alone that is, in turn, the expected improvement and upper confidence bounds. With counted
    objectives it is the expected gain of hypervolume, whose costs are exact since they are counted before any
    training.
    """
    scored_results, view = past.scored, View.of(problem)
    startup_trials = SIZED_STARTUP_TRIALS if view.has_sizes and not problem.objectives else STARTUP_TRIALS
    is_early = past.trial_count < startup_trials or len(scored_results) < startup_trials // 2
    if is_early or len({score for _, score in scored_results}) < 2:
        is_uniform = (
            startup_trials == STARTUP_TRIALS
            or past.trial_count in UNIFORM_TRIALS
            or not _believes_in_size(view, scored_results)
        )
        yield from _random_networks(problem, rng) if is_uniform else _large_networks(view, rng)
    acquisition, tried_keys = _Acquisition(view, scored_results, past.pending), view.keys_of(past)
    candidates = list(view.pool.values())
    gains = acquisition.pool_gains()
    gains[[view.pool_index[key] for key in tried_keys & view.pool_index.keys()]] = -np.inf
    new_keys: set[str] = set()

    def add_candidates(networks: Mapping[str, Decisions]) -> None:
        nonlocal gains
        new_networks = {
            key: d
            for key, d in networks.items()
            if not (key in view.pool_index or key in new_keys or key in tried_keys)
        }
        if new_networks:
            gains = np.append(gains, acquisition(view.encode(new_networks)))
            candidates.extend(new_networks.values())
            new_keys.update(new_networks)

    def most_promising(limit: int | None = None) -> list[Decisions]:
        order = np.argsort(-gains, kind="stable")[:limit]
        return [candidates[i] for i in order if gains[i] > -np.inf]

    if not view.lists_all:
        add_candidates(view.draw(rng, FRESH_DRAWS))
        centres = best_first(problem, scored_results, CENTRES)
        limit = MAX_NEIGHBOURS if view.neighbour_count <= MAX_CHEAP_NEIGHBOURS else REDUCED_NEIGHBOURS
        for _ in range(CLIMB_ROUNDS):
            add_candidates(view.sample_neighbours(centres, rng, limit))
            centres = most_promising(CENTRES)
    yield from most_promising(SHORT_LIST)
    yield from most_promising()[SHORT_LIST:]
    while True:
        yield problem.draw(rng)


def _random_networks(problem: Problem, rng: Random) -> Iterator[Decisions]:
    while True:
        yield problem.draw(rng)


def _large_networks(view: View, rng: Random) -> Iterator[Decisions]:
    """Yields networks drawn from the largest tenth, or the largest of `LARGE_DRAWS` where none is that large."""
    while True:
        largest, size = view.problem.draw(rng), -np.inf
        for _ in range(LARGE_DRAWS):
            drawn = view.problem.draw(rng)
            drawn_size = view.encode_list([drawn]).sizes[0]
            if drawn_size > size:
                largest, size = drawn, drawn_size
            if size >= view.large:
                break
        yield largest


def _believes_in_size(view: View, scored_results: Sequence[tuple[Decisions, float]]) -> bool:
    """Returns whether large networks are still believed to be better, given the results."""
    if not scored_results:
        return True
    y = gaussian_scores(np.array([score for _, score in scored_results]))
    trend = _Trend(view.encode_results([decisions for decisions, _ in scored_results]).sizes, y, SIZE_SLOPE)
    return bool(trend.slope > MIN_SLOPE)


class _Trend:
    """The line by which values rise with the size: the belief, corrected by results.

    Args:
        sizes: `(n,)` sizes of the results.
        y: `(n,)` their values.
        slope: The slope that is believed in; 0 for none at all.
    """

    def __init__(self, sizes: np.ndarray, y: np.ndarray, slope: float):
        centred = sizes - sizes.mean()
        self.slope = (SLOPE_WEIGHT * slope + centred @ y) / (SLOPE_WEIGHT + centred @ centred) if slope else 0.0
        self.offset = -self.slope * sizes.mean()

    def __call__(self, networks: Encoded) -> np.ndarray:
        return cast(np.ndarray, self.offset + self.slope * networks.sizes)


def fitted_surrogate(
    view: View, scored_results: Sequence[tuple[Decisions, float]], size_slope: float = 0.0
) -> Surrogate:
    """Returns a surrogate fitted to the results up to the last refit size (a third more each time)."""
    size = STARTUP_TRIALS // 2
    while (larger := max(size + 1, round(size * REFIT_GROWTH))) <= len(scored_results):
        size = larger
    fitted_to, surrogate = view.surrogate
    if surrogate is None or fitted_to != scored_results[:size]:
        surrogate = Surrogate(len(view.names), view.groups)
        points = view.encode_list([d for d, _ in scored_results[:size]])
        y = gaussian_scores(np.array([score for _, score in scored_results[:size]]))
        surrogate.fit(points, y - _Trend(points.sizes, y, size_slope)(points))
        view.surrogate = list(scored_results[:size]), surrogate
    return surrogate


class _Acquisition:
    """The expected gain of trying networks.

    Networks that are under way count with the score that the surrogate predicts for them.
    """

    def __init__(self, view: View, scored_results: Sequence[tuple[Decisions, float]], pending: Sequence[Decisions]):
        points = view.encode_results([decisions for decisions, _ in scored_results])
        scores = np.array([score for _, score in scored_results])
        y = gaussian_scores(scores)
        self._quantiles, self._scores = np.unique(y), np.unique(scores)
        self.view, self.results = view, [decisions for decisions, _ in scored_results]
        size_slope = SIZE_SLOPE if view.has_sizes and not view.problem.objectives else 0.0
        self.trend = _Trend(points.sizes, y, size_slope)
        self.surrogate = fitted_surrogate(view, scored_results, size_slope)
        self.surrogate.condition(points, y - self.trend(points))
        if pending:
            pending_points = view.encode_list(list(pending))
            points, y = points.concatenate(pending_points), np.append(y, self._predict(pending_points)[0])
            self.surrogate.condition(points, y - self.trend(points))
        self.max_costs, self.min_costs = view.max_costs, view.min_costs
        self.points, self.y, self.known_costs, self.known_scores = points, y, points.costs, self._to_scores(y)
        self.worst = self.known_scores.min()

    def _to_scores(self, y: np.ndarray) -> np.ndarray:
        """Returns the scores of values on the surrogate's (Gaussian rank) scale, by interpolation.

        Values beyond the best and the worst result are extrapolated along the line through these two.
        """
        interpolated = np.interp(y, self._quantiles, self._scores)
        slope = (self._scores[-1] - self._scores[0]) / (self._quantiles[-1] - self._quantiles[0])
        overshoot = np.maximum(y - self._quantiles[-1], 0) + np.minimum(y - self._quantiles[0], 0)
        return cast(np.ndarray, interpolated + slope * overshoot)

    def pool_gains(self) -> np.ndarray:
        """Returns the gains `(n,)` of all networks of the view's pool."""
        pool = self.view.encoded_pool
        if not self.view.lists_all or len(self.y) > MAX_POINTS:
            self.view.predictions = None  # frees its memory
            return self(pool)
        if self.view.predictions is None or self.view.predictions.surrogate is not self.surrogate:
            self.view.predictions = PoolPredictions(self.surrogate, pool)
        mean, deviation = self.view.predictions(self.results, self.points, self.y - self.trend(self.points))
        return self._gain(pool, mean + self.trend(pool), deviation)

    def __call__(self, networks: Encoded) -> np.ndarray:
        return self._gain(networks, *self._predict(networks))

    def _predict(self, networks: Encoded) -> tuple[np.ndarray, np.ndarray]:
        mean, deviation = self.surrogate.predict(networks)
        return mean + self.trend(networks), deviation

    def _gain(self, networks: Encoded, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        if not networks.costs.shape[1]:
            return self._improvement(mean, deviation)
        possible = self._to_scores(mean[:, None] + deviation[:, None] * NODES)  # n × nodes
        gain_function = self._area_gain if networks.costs.shape[1] == 1 else self._volume_gain
        return gain_function(networks.costs, possible) @ WEIGHTS

    def _improvement(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Returns the acquisition values `(n,)` for the score alone.

        In turn these are the expected improvement over the best result, which explores, and upper confidence bounds,
        which stay closer to good results; either alone fails on some landscapes.
        """
        confidence = CONFIDENCE[len(self.y) % len(CONFIDENCE)]
        if confidence is not None:
            return mean + confidence * deviation
        best = (self.surrogate.means + self.trend(self.surrogate.points)).max()
        u = (mean - best) / deviation
        return cast(np.ndarray, deviation * (u * norm.cdf(u) + norm.pdf(u)))

    def _area_gain(self, costs: np.ndarray, possible: np.ndarray) -> np.ndarray:
        """Returns the gains of hypervolume `(n, nodes)` for the score and one cost.

        For every step of the front at higher cost, that is the score above the step times the step's width.

        Args:
            costs: `(n, 1)` counted costs.
            possible: `(n, nodes)` possible scores of each network.
        """
        order = np.lexsort((-self.known_scores, self.known_costs[:, 0]))
        front_costs, front_scores = self.known_costs[order, 0], np.maximum.accumulate(self.known_scores[order])
        improves = np.r_[True, front_scores[1:] > front_scores[:-1]]
        front_costs, front_scores = front_costs[improves], front_scores[improves]
        end = max(self.max_costs[0], front_costs[-1]) + 1e-3 * (self.max_costs[0] - self.min_costs[0])
        edges = np.r_[-np.inf, front_costs, end]
        widths = np.maximum(0, edges[None, 1:] - np.maximum(edges[None, :-1], costs))
        gains = np.zeros_like(possible)
        for width, floor in zip(widths.T, np.r_[self.worst, front_scores]):
            gains += width[:, None] * np.maximum(0, possible - floor)
        return gains

    def _volume_gain(self, costs: np.ndarray, possible: np.ndarray) -> np.ndarray:
        """Returns approximate gains of hypervolume `(n, nodes)` for the score and several costs.

        A gain is the score above the results that cost no more in any objective, times the relative distances, each
        at least 0.01, to the highest costs.

        Args:
            costs: `(n, objectives)` counted costs.
            possible: `(n, nodes)` possible scores of each network.
        """
        front = nondominated(np.column_stack([self.known_scores, -self.known_costs]))
        no_dearer = (-front[None, :, 1:] <= costs[:, None]).all(2)
        best_score = np.where(no_dearer, front[:, 0], self.worst).max(1)
        distances = (self.max_costs - costs) / np.maximum(self.max_costs - self.min_costs, 1e-30)
        room = np.prod(np.maximum(0.01, distances), 1)
        return cast(np.ndarray, room[:, None] * np.maximum(0, possible - best_score[:, None]))
