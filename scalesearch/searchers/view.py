"""A problem as arrays: decisions as codes, other facts about networks as numbers, and a pool of candidates."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, cast

import numpy as np
from scipy.stats import norm

from scalesearch.searchers.problem import Decisions, Past, Problem
from scalesearch.searchers.surrogate import Encoded, PoolPredictions, Surrogate
from scalesearch.space import Choice, Domain

LARGE_SHARE = 0.1  # of the pool: its large networks
MAX_SIZE = 1.28  # standard deviations above the mean size, where the largest tenth begins
POOL_SIZE = 1_500  # networks drawn once, which are candidates for every proposal
MAX_LISTED = 50_000  # up to so many networks of a table or a small space are all candidates
MAX_CACHED = 1 << 17


class View:
    """A problem as a model sees it; its pool of candidates is the same in every search of the problem.

    Attributes:
        pool: Decisions by key: all networks if they can be listed (`lists_all`), else a random draw.
        pool_index: The index of a key in the pool.
        encoded_pool: The pool as arrays.
        min_costs: `(objectives,)` lowest counted costs in the pool.
        max_costs: `(objectives,)` highest counted costs in the pool.
        groups: The columns of each kind of number.
        surrogate: The results of the last fit, and the surrogate fitted to them; None before the first fit.
        predictions: Predictions for the pool, kept between proposals.
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        self.names = list(problem.decisions)
        self.domains: dict[str, Domain] = {name: d.domain for name, d in problem.decisions.items()}
        self.codes = {
            name: {value: i for i, value in enumerate(domain.values or (), 1)} for name, domain in self.domains.items()
        }
        self.code_count = 2 + max((len(codes) for codes in self.codes.values()), default=0)
        # about how many neighbours a network has
        self.neighbour_count = sum(max(0, len(codes) - 1) for codes in self.codes.values())
        self.option_groups = _shared_options(self.domains)
        self.ordered = {name: _positions(domain) for name, domain in self.domains.items() if _is_ordered(domain)}
        # what it was fitted to, and the surrogate
        self.surrogate: tuple[list[tuple[Decisions, float]], Surrogate | None] = [], None
        self._rows: dict[str, tuple[list[int], list[float], tuple[float, ...], tuple[float, ...]]] = {}
        self._neighbours: dict[str, dict[str, Decisions]] = {}
        self._encoded_results: tuple[list[Decisions], Encoded | None] = [], None
        self._result_keys: tuple[list[Decisions], set[str]] = [], set()
        self.predictions: PoolPredictions | None = None
        all_networks = self._list_all()
        self.lists_all = bool(all_networks)
        self.pool = all_networks or self.draw(Random("pool"), POOL_SIZE)
        self.pool_index = {key: i for i, key in enumerate(self.pool)}
        rows = [self._row(key, decisions) for key, decisions in self.pool.items()]
        numbers, costs = np.array([r[1] for r in rows], dtype=float), np.array([r[2] for r in rows], dtype=float)
        self.mean, self.deviation = numbers.mean(0), numbers.std(0)
        self.deviation[self.deviation < 1e-9] = np.inf  # a constant column has no effect
        self.min_costs, self.max_costs = costs.min(0), costs.max(0)
        sizes = np.array([r[3] for r in rows], dtype=float).reshape(len(rows), -1)
        self.has_sizes = sizes.shape[1] > 0
        self._sorted_sizes = np.sort(sizes, 0)
        quantiles = self._size_quantiles(sizes)
        self._size_mean, self._size_deviation = quantiles.mean(), max(1e-9, quantiles.std())
        self.groups = self._groups(numbers.shape[1])
        self.encoded_pool = self.encode(self.pool)
        self.large = float(np.quantile(self.encoded_pool.sizes, 1 - LARGE_SHARE))

    def _list_all(self) -> dict[str, Decisions]:
        """Returns the decisions of all networks by key; empty if there is no list or it is too long."""
        networks = {self.key(decisions): decisions for decisions in self.problem.all_decisions or ()}
        return networks if len(networks) <= MAX_LISTED else {}

    @classmethod
    def of(cls, problem: Problem) -> View:
        """Returns the view of a problem, cached in the problem's memory."""
        if "view" not in problem.memory:
            problem.memory["view"] = cls(problem)
        return cast(View, problem.memory["view"])

    @staticmethod
    def key(decisions: Decisions) -> str:
        """Returns the key of decisions, which are in the problem's order."""
        return str(decisions)  # in the problem's order, so equal decisions have equal keys

    def keys_of(self, past: Past) -> set[str]:
        """Returns the keys of all decisions that have results or are under way."""
        decisions = [d for d, _ in past.results]
        earlier, keys = self._result_keys
        if not _extends(earlier, decisions):
            earlier, keys = [], set()
        keys.update(map(self.key, decisions[len(earlier) :]))
        self._result_keys = decisions, keys
        return keys | set(map(self.key, past.pending))

    def encode_results(self, decisions: Sequence[Decisions]) -> Encoded:
        """Returns the decisions of results as arrays, a row for each, as `encode_list` does.

        Results are only ever added, so rows that were encoded before are kept.
        """
        earlier, arrays = self._encoded_results
        if not earlier or not _extends(earlier, decisions):
            earlier, arrays = [], None
        added = decisions[len(earlier) :]
        if added or arrays is None:
            arrays = self.encode_list(added) if arrays is None else arrays.concatenate(self.encode_list(added))
            self._encoded_results = list(decisions), arrays
        return arrays

    def draw(self, rng: Random, count: int) -> dict[str, Decisions]:
        """Returns up to `count` random networks inside the budget, as decisions by key."""
        return {self.key(d): d for d in (self.problem.draw(rng) for _ in range(count))}

    def sample_neighbours(self, centres: Iterable[Decisions], rng: Random, limit: int) -> dict[str, Decisions]:
        """Returns neighbours of `centres` inside the budget, as decisions by key.

        Each centre has an equal share of `limit`; where it has more neighbours, they are drawn at random.
        """
        centres = list(centres)
        share = max(1, limit // max(1, len(centres)))
        neighbours: dict[str, Decisions] = {}
        for centre in centres:
            if self.neighbour_count > 2 * share:
                mutants = (self.problem.mutate(centre, rng) for _ in range(share))
                neighbours |= {self.key(d): d for d in mutants if self.problem.admits(d)}
                continue
            nearby = self._neighbours_inside(centre)
            neighbours |= nearby if len(nearby) <= share else dict(rng.sample(list(nearby.items()), share))
        return neighbours

    def _neighbours_inside(self, centre: Decisions) -> dict[str, Decisions]:
        key = self.key(centre)
        if key not in self._neighbours:
            if len(self._neighbours) > MAX_CACHED >> 6:
                self._neighbours.clear()
            neighbours = self.problem.neighbours(centre)
            self._neighbours[key] = {self.key(d): d for d in neighbours if self.problem.admits(d)}
        return self._neighbours[key]

    def encode(self, networks: Mapping[str, Decisions]) -> Encoded:
        """Returns networks, given as decisions by key, as arrays with a row for each."""
        rows = [self._row(key, decisions) for key, decisions in networks.items()]
        numbers = np.array([r[1] for r in rows], dtype=float).reshape(len(rows), -1)
        codes = np.array([r[0] for r in rows], dtype=np.int32)
        flags = np.zeros((len(rows), len(self.names), self.code_count), dtype=np.float32)
        np.put_along_axis(flags, codes[:, :, None], 1.0, axis=2)
        return Encoded(
            codes,
            flags.reshape(len(rows), -1),
            (numbers - self.mean) / self.deviation,
            np.array([r[2] for r in rows], dtype=float).reshape(len(rows), -1),
            self._size_scores(np.array([r[3] for r in rows], dtype=float).reshape(len(rows), -1)),
        )

    def _size_quantiles(self, sizes: np.ndarray) -> np.ndarray:
        """Returns the mean over the sizes `(n, sizes)` of their places in the pool, as quantiles of a normal
        distribution.
        """
        if not self.has_sizes:
            return np.zeros(len(sizes))
        count = len(self._sorted_sizes)
        places = [
            (np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")) / 2
            for known, column in zip(self._sorted_sizes.T, sizes.T)
        ]
        return cast(np.ndarray, norm.ppf(np.clip(np.array(places) / count, 0.5 / count, 1 - 0.5 / count)).mean(0))

    def _size_scores(self, sizes: np.ndarray) -> np.ndarray:
        """Returns how large networks are, `(n,)` with mean 0 and deviation 1 over the pool; beyond `MAX_SIZE` larger
        is no better.
        """
        scores = (self._size_quantiles(sizes) - self._size_mean) / self._size_deviation
        return cast(np.ndarray, np.minimum(scores, MAX_SIZE))

    def encode_list(self, decisions: Sequence[Decisions]) -> Encoded:
        """Returns networks as arrays with a row for each; equal decisions have a row each, too."""
        keys = [self.key(d) for d in decisions]
        distinct = dict(zip(keys, decisions))
        index_of = {key: i for i, key in enumerate(distinct)}
        return self.encode(distinct)[np.array([index_of[key] for key in keys])]

    def _row(
        self, key: str, decisions: Decisions
    ) -> tuple[list[int], list[float], tuple[float, ...], tuple[float, ...]]:
        """Returns the codes, the numbers, the costs and the sizes of a network."""
        if key not in self._rows:
            if len(self._rows) > MAX_CACHED:
                self._rows.clear()
            codes = [
                self.codes[name].get(decisions[name], self.code_count - 1) if name in decisions else 0
                for name in self.names
            ]
            counts = [
                sum(decisions.get(name) == option for name in names)
                for names, options in self.option_groups
                for option in options
            ]
            positions = [self._position(name, decisions) for name in self.ordered]
            numbers = [*counts, *positions, *self.problem.features(decisions)]
            self._rows[key] = codes, numbers, self.problem.costs(decisions), self.problem.sizes(decisions)
        return self._rows[key]

    def _position(self, name: str, decisions: Decisions) -> float:
        """Returns the position of a decision on its range, in [0, 1]; 0.5 if the decision does not exist."""
        if name not in decisions:
            return 0.5
        domain = self.domains[name]
        if domain.values is None:
            return cast(float, (decisions[name] - domain.low) / (domain.high - domain.low))
        return self.ordered[name].get(decisions[name], 0.5)

    def _groups(self, number_count: int) -> list[np.ndarray]:
        """Returns the columns of each kind of number.

        The kinds are counts of options, positions on ranges, and the problem's features; a kind without columns is
        left out.
        """
        counts = sum(len(options) for _, options in self.option_groups)
        kinds = np.split(np.arange(number_count), [counts, counts + len(self.ordered)])
        return [columns for columns in kinds if len(columns)]


def _extends(earlier: Sequence[Decisions], later: Sequence[Decisions]) -> bool:
    """Returns whether `later` begins with the very objects of `earlier`."""
    return len(earlier) <= len(later) and all(map(operator.is_, earlier, later))


def _shared_options(domains: Mapping[str, Domain]) -> list[tuple[list[str], tuple[Any, ...]]]:
    """Returns groups of three or more decisions that offer the same options, with these options.

    How often each option is chosen may matter more than where.
    """
    names_by_options: dict[tuple[Any, ...], list[str]] = {}
    for name, domain in domains.items():
        if isinstance(domain, Choice) and len(domain.options) > 1:
            names_by_options.setdefault(domain.options, []).append(name)
    return [(names, options) for options, names in names_by_options.items() if len(names) > 2]


def _is_ordered(domain: Domain) -> bool:
    values = domain.values
    if values is None:
        return True
    return len(values) > 2 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _positions(domain: Domain) -> dict[Any, float]:
    values = sorted(domain.values or ())
    return {value: i / (len(values) - 1) for i, value in enumerate(values)}
