"""The predictor-guided searcher: what a surrogate learnt from the results expects most of is tried next.

The surrogate's weights are fitted when there are a third more results than at the last fit, on those that were there
then; so they are a function of the past, whatever happened in between, and most proposals cost milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import cast

import numpy as np
from scipy.stats import norm

from scalesearch.searchers.problem import Decisions, Past, Problem, best_first
from scalesearch.searchers.surrogate import MOST_POINTS, Encoded, PoolPredictions, Surrogate, gaussian_scores
from scalesearch.searchers.view import View
from scalesearch.statistics import nondominated

START = 10  # results drawn at random before there is a surrogate
FRESH = 10  # drawn for each proposal
STARTS = 8  # of the best results, and of the most promising of the pool, whose neighbours are looked at
CLIMBS = 3  # rounds of neighbours of the most promising
# neighbours looked at in a round: fewer where decisions are many and each takes its time
MOST_AROUND, FEW_AROUND = 150, 24
MOST_STEPS = 60
GROWTH = 1.3
SHORT_LIST = 100  # mostly the first of them is taken
CONFIDENCE = (None, 0.5, 1.5)  # in turn: the expected improvement, and two upper confidence bounds
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # a normal distribution as nine points


def predictor(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """The upper confidence bound or the expected improvement of a Gaussian process; with counted objectives, the
    expected gain of hypervolume, which is exact since what a network costs is known beforehand."""
    known = past.scored
    if past.asked < START or len(known) < START // 2 or len({score for _, score in known}) < 2:
        while True:
            yield problem.draw(rng)
    view = View.of(problem)
    acquisition, taken = _Acquisition(view, known, past.pending), view.taken(past)
    looked_at = list(view.pool.values())
    gains = acquisition.of_pool()
    gains[[view.place[key] for key in taken & view.place.keys()]] = -np.inf
    new_keys: set[str] = set()

    def look_at(found: Mapping[str, Decisions]) -> None:
        nonlocal gains
        new = {key: d for key, d in found.items() if not (key in view.place or key in new_keys or key in taken)}
        if new:
            gains = np.append(gains, acquisition(view.encoded(new)))
            looked_at.extend(new.values())
            new_keys.update(new)

    def most_promising(most: int | None = None) -> list[Decisions]:
        order = np.argsort(-gains, kind="stable")[:most]
        return [looked_at[i] for i in order if gains[i] > -np.inf]

    if not view.lists_all:
        look_at(view.drawn(rng, FRESH))
        centres = best_first(problem, known, STARTS)
        for _ in range(CLIMBS):
            look_at(view.around(centres, rng, MOST_AROUND if view.steps <= MOST_STEPS else FEW_AROUND))
            centres = most_promising(STARTS)
    yield from most_promising(SHORT_LIST)
    yield from most_promising()[SHORT_LIST:]
    while True:
        yield problem.draw(rng)


def fitted(view: View, known: Sequence[tuple[Decisions, float]]) -> Surrogate:
    """A surrogate fitted to the results up to the last size of the schedule."""
    size = START // 2
    while (larger := max(size + 1, round(size * GROWTH))) <= len(known):
        size = larger
    fitted_to, surrogate = view.surrogate
    if surrogate is None or fitted_to != known[:size]:
        surrogate = Surrogate(len(view.names), view.groups)
        surrogate.fit(
            view.encoded_list([d for d, _ in known[:size]]),
            gaussian_scores(np.array([score for _, score in known[:size]])),
        )
        view.surrogate = list(known[:size]), surrogate
    return surrogate


class _Acquisition:
    """What trying networks is expected to gain; those under way count as what the surrogate expects of them."""

    def __init__(self, view: View, known: Sequence[tuple[Decisions, float]], pending: Sequence[Decisions]):
        there = view.encoded_known([decisions for decisions, _ in known])
        scores = np.array([score for _, score in known])
        y = gaussian_scores(scores)
        self._ranked, self._scores = np.unique(y), np.unique(scores)
        self.view, self.results = view, [decisions for decisions, _ in known]
        self.surrogate = fitted(view, known)
        self.surrogate.condition(there, y)
        if pending:
            coming = view.encoded_list(list(pending))
            there, y = there.joined(coming), np.append(y, self.surrogate.predict(coming)[0])
            self.surrogate.condition(there, y)
        self.dearest, self.cheapest = view.dearest, view.cheapest
        self.there, self.y, self.known_costs, self.known_scores = there, y, there.costs, self._unwarped(y)
        self.worst = self.known_scores.min()

    def _unwarped(self, y: np.ndarray) -> np.ndarray:
        """Scores of their ranks' quantiles; beyond the best and the worst, on along the line between the two."""
        found = np.interp(y, self._ranked, self._scores)
        slope = (self._scores[-1] - self._scores[0]) / (self._ranked[-1] - self._ranked[0])
        beyond = np.maximum(y - self._ranked[-1], 0) + np.minimum(y - self._ranked[0], 0)
        return cast(np.ndarray, found + slope * beyond)

    def of_pool(self) -> np.ndarray:
        """Of all networks of the view's pool."""
        pool = self.view.encoded_pool
        if not self.view.lists_all or len(self.y) > MOST_POINTS:
            self.view.predictions = None  # it is large
            return self(pool)
        if self.view.predictions is None or self.view.predictions.surrogate is not self.surrogate:
            self.view.predictions = PoolPredictions(self.surrogate, pool)
        return self._gain(pool, *self.view.predictions(self.results, self.there, self.y))

    def __call__(self, wanted: Encoded) -> np.ndarray:
        return self._gain(wanted, *self.surrogate.predict(wanted))

    def _gain(self, wanted: Encoded, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        if not wanted.costs.shape[1]:
            return self._promise(mean, deviation)
        possible = self._unwarped(mean[:, None] + deviation[:, None] * NODES)  # n × nodes
        gain = self._gain_of_area if wanted.costs.shape[1] == 1 else self._gain_of_volume
        return gain(wanted.costs, possible) @ WEIGHTS

    def _promise(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """In turn the expected improvement over the best, which looks far afield, and upper confidence bounds, which
        stay nearer to what is good; either alone fails on some landscape."""
        confidence = CONFIDENCE[len(self.y) % len(CONFIDENCE)]
        if confidence is not None:
            return mean + confidence * deviation
        u = (mean - self.surrogate.best) / deviation
        return cast(np.ndarray, deviation * (u * norm.cdf(u) + norm.pdf(u)))

    def _gain_of_area(self, costs: np.ndarray, possible: np.ndarray) -> np.ndarray:
        """Gain of hypervolume: over every step of the front at higher cost, what is above the step times its width."""
        order = np.lexsort((-self.known_scores, self.known_costs[:, 0]))
        at, level = self.known_costs[order, 0], np.maximum.accumulate(self.known_scores[order])
        steps = np.r_[True, level[1:] > level[:-1]]
        at, level = at[steps], level[steps]
        edges = np.r_[-np.inf, at, max(self.dearest[0], at[-1]) + 1e-3 * (self.dearest[0] - self.cheapest[0])]
        widths = np.maximum(0, edges[None, 1:] - np.maximum(edges[None, :-1], costs))
        gained = np.zeros_like(possible)
        for width, over in zip(widths.T, np.r_[self.worst, level]):
            gained += width[:, None] * np.maximum(0, possible - over)
        return gained

    def _gain_of_volume(self, costs: np.ndarray, possible: np.ndarray) -> np.ndarray:
        """What is above all that costs no more in anything, times the room up to the dearest."""
        front = nondominated(np.column_stack([self.known_scores, -self.known_costs]))
        no_dearer = (-front[None, :, 1:] <= costs[:, None]).all(2)
        level = np.where(no_dearer, front[:, 0], self.worst).max(1)
        room = np.prod(np.maximum(0.01, (self.dearest - costs) / np.maximum(self.dearest - self.cheapest, 1e-30)), 1)
        return cast(np.ndarray, room[:, None] * np.maximum(0, possible - level[:, None]))
