"""A problem as arrays: decisions as codes, what else is known of networks as numbers, and a pool to look at."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, cast

import numpy as np

from scalesearch.searchers.problem import Decisions, Past, Problem
from scalesearch.searchers.surrogate import Encoded, PoolPredictions, Surrogate
from scalesearch.space import Choice, Domain

POOL = 1_500  # networks drawn once, among which improvement is looked for every time
MOST_LISTED = 50_000  # networks of a table or a small space, all of which are looked at
REMEMBERED = 1 << 17


class View:
    """What a model sees of a problem. Its pool is the same in every run of the problem."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.names = list(problem.decisions)
        self.domains: dict[str, Domain] = {name: d.domain for name, d in problem.decisions.items()}
        self.codes = {
            name: {value: i for i, value in enumerate(domain.values or (), 1)} for name, domain in self.domains.items()
        }
        self.width = 2 + max((len(codes) for codes in self.codes.values()), default=0)
        self.steps = sum(max(0, len(codes) - 1) for codes in self.codes.values())  # neighbours of a network, about
        self.alike = _same_options(self.domains)
        self.ordered = {name: _places(domain) for name, domain in self.domains.items() if _is_ordered(domain)}
        self.surrogate: tuple[list[tuple[Decisions, float]], Surrogate | None] = [], None  # and what it is fitted to
        self._rows: dict[str, tuple[list[int], list[float], tuple[float, ...]]] = {}
        self._near: dict[str, dict[str, Decisions]] = {}
        self._known: tuple[list[Decisions], Encoded | None] = [], None
        self._tried: tuple[list[Decisions], set[str]] = [], set()
        self.predictions: PoolPredictions | None = None
        listed = self._all_listed()
        self.lists_all = bool(listed)
        self.pool = listed or self.drawn(Random("pool"), POOL)
        self.place = {key: i for i, key in enumerate(self.pool)}
        rows = [self._row(key, decisions) for key, decisions in self.pool.items()]
        numbers, costs = np.array([r[1] for r in rows], dtype=float), np.array([r[2] for r in rows], dtype=float)
        self.middle, self.scale = numbers.mean(0), numbers.std(0)
        self.scale[self.scale < 1e-9] = np.inf  # what never changes says nothing
        self.cheapest, self.dearest = costs.min(0), costs.max(0)
        self.groups = self._groups(numbers.shape[1])
        self.encoded_pool = self.encoded(self.pool)

    def _all_listed(self) -> dict[str, Decisions]:
        """All that may be looked at, where there is a list of it that isn't too long."""
        found = {self.key(decisions): decisions for decisions in self.problem.listed or ()}
        return found if len(found) <= MOST_LISTED else {}

    @classmethod
    def of(cls, problem: Problem) -> View:
        """The view of a problem, made once."""
        if "view" not in problem.memory:
            problem.memory["view"] = cls(problem)
        return cast(View, problem.memory["view"])

    @staticmethod
    def key(decisions: Decisions) -> str:
        return str(decisions)  # they come in the problem's order

    def taken(self, past: Past) -> set[str]:
        """The keys of what has results or is under way."""
        decisions = [d for d, _ in past.results]
        before, keys = self._tried
        if not _goes_on(before, decisions):
            before, keys = [], set()
        keys.update(map(self.key, decisions[len(before) :]))
        self._tried = decisions, keys
        return keys | set(map(self.key, past.pending))

    def encoded_known(self, decisions: Sequence[Decisions]) -> Encoded:
        """As `encoded_list`, of results: they only become more, and those of before are not looked at again."""
        before, encoded = self._known
        if not before or not _goes_on(before, decisions):
            before, encoded = [], None
        new = decisions[len(before) :]
        if new or encoded is None:
            encoded = self.encoded_list(new) if encoded is None else encoded.joined(self.encoded_list(new))
            self._known = list(decisions), encoded
        return encoded

    def drawn(self, rng: Random, count: int) -> dict[str, Decisions]:
        return {self.key(d): d for d in (self.problem.draw(rng) for _ in range(count))}

    def around(self, centres: Iterable[Decisions], rng: Random, most: int) -> dict[str, Decisions]:
        """Neighbours inside the budget, as many of each centre as `most` allows; some of them where there are more."""
        centres = list(centres)
        share = max(1, most // max(1, len(centres)))
        found: dict[str, Decisions] = {}
        for centre in centres:
            if self.steps > 2 * share:
                drawn = (self.problem.mutated(centre, rng) for _ in range(share))
                found |= {self.key(d): d for d in drawn if self.problem.inside(d)}
                continue
            near = self._inside_around(centre)
            found |= near if len(near) <= share else dict(rng.sample(list(near.items()), share))
        return found

    def _inside_around(self, centre: Decisions) -> dict[str, Decisions]:
        key = self.key(centre)
        if key not in self._near:
            if len(self._near) > REMEMBERED >> 6:
                self._near.clear()
            near = self.problem.neighbours(centre)
            self._near[key] = {self.key(d): d for d in near if self.problem.inside(d)}
        return self._near[key]

    def encoded(self, found: Mapping[str, Decisions]) -> Encoded:
        rows = [self._row(key, decisions) for key, decisions in found.items()]
        numbers = np.array([r[1] for r in rows], dtype=float).reshape(len(rows), -1)
        codes = np.array([r[0] for r in rows], dtype=np.int32)
        flags = np.zeros((len(rows), len(self.names), self.width), dtype=np.float32)
        np.put_along_axis(flags, codes[:, :, None], 1.0, axis=2)
        return Encoded(
            codes,
            flags.reshape(len(rows), -1),
            (numbers - self.middle) / self.scale,
            np.array([r[2] for r in rows], dtype=float).reshape(len(rows), -1),
        )

    def encoded_list(self, decisions: Sequence[Decisions]) -> Encoded:
        """As `encoded`, one row for each, equal ones too."""
        keys = [self.key(d) for d in decisions]
        distinct = dict(zip(keys, decisions))
        place = {key: i for i, key in enumerate(distinct)}
        return self.encoded(distinct)[np.array([place[key] for key in keys])]

    def _row(self, key: str, decisions: Decisions) -> tuple[list[int], list[float], tuple[float, ...]]:
        if key not in self._rows:
            if len(self._rows) > REMEMBERED:
                self._rows.clear()
            codes = [
                self.codes[name].get(decisions[name], self.width - 1) if name in decisions else 0 for name in self.names
            ]
            counts = [
                sum(decisions.get(name) == option for name in names)
                for names, options in self.alike
                for option in options
            ]
            places = [self._place(name, decisions) for name in self.ordered]
            numbers = [*counts, *places, *self.problem.features(decisions)]
            self._rows[key] = codes, numbers, self.problem.costs(decisions)
        return self._rows[key]

    def _place(self, name: str, decisions: Decisions) -> float:
        """Where on its range a decision stands, from 0 to 1; in the middle where it does not exist."""
        if name not in decisions:
            return 0.5
        domain = self.domains[name]
        if domain.values is None:
            return cast(float, (decisions[name] - domain.low) / (domain.high - domain.low))
        return self.ordered[name].get(decisions[name], 0.5)

    def _groups(self, width: int) -> list[np.ndarray]:
        """The columns of each kind of number: counts of options, places on ranges, what is known of the network."""
        counts = sum(len(options) for _, options in self.alike)
        kinds = np.split(np.arange(width), [counts, counts + len(self.ordered)])
        return [columns for columns in kinds if len(columns)]


def _goes_on(before: Sequence[Decisions], now: Sequence[Decisions]) -> bool:
    """Whether the same decisions come first: the very objects, as results are told again at every proposal."""
    return len(before) <= len(now) and all(map(operator.is_, before, now))


def _same_options(domains: Mapping[str, Domain]) -> list[tuple[list[str], tuple[Any, ...]]]:
    """Three decisions or more that offer the same options: how often each is chosen may matter more than where."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for name, domain in domains.items():
        if isinstance(domain, Choice) and len(domain.options) > 1:
            found.setdefault(domain.options, []).append(name)
    return [(names, options) for options, names in found.items() if len(names) > 2]


def _is_ordered(domain: Domain) -> bool:
    values = domain.values
    if values is None:
        return True
    return len(values) > 2 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _places(domain: Domain) -> dict[Any, float]:
    values = sorted(domain.values or ())
    return {value: i / (len(values) - 1) for i, value in enumerate(values)}
