"""Counting a space, and drawing from it so that every architecture is as likely as every other."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import cache
from random import Random
from typing import Any

from scalesearch.errors import InputError
from scalesearch.space.domains import Domain, draw, size

MOST_COMBINATIONS = 200_000


class Components:
    """The decisions cut into groups that don't depend on each other, and for each group what it may decide.

    Inside a group, the decisions that others depend on (controllers) are listed out with the number of ways to
    complete each listing; drawing a listing by that number makes the draw uniform.
    """

    def __init__(self, decisions: Mapping[str, Any]):
        self.domains: dict[str, Domain] = {key: d.domain for key, d in decisions.items()}
        groups = _connected(decisions)
        self.free = [key for (key, *others) in groups if not others]
        self.bound = [
            _Group({k: decisions[k] for k in decisions if k in set(group)}) for group in groups if len(group) > 1
        ]
        self._indexed = [(k, self.domains[k].values, size(self.domains[k])) for k in self.free]

    @property
    def size(self) -> int | float:
        return math.prod([size(self.domains[key]) for key in self.free] + [g.total for g in self.bound])

    def draw(self, rng: Random) -> dict[str, Any]:
        random = rng.random
        drawn = {
            key: values[int(random() * n)] if values else draw(self.domains[key], rng)
            for key, values, n in self._indexed
        }
        for group in self.bound:
            group.draw_into(drawn, rng)
        return drawn

    def walk(self) -> Iterator[dict[str, Any]]:
        free = [[{key: value} for value in values or ()] for key, values, _ in self._indexed]
        for parts in itertools.product(*free, *(list(group.walk()) for group in self.bound)):
            yield {key: value for part in parts for key, value in part.items()}


class _Group:
    def __init__(self, decisions: Mapping[str, Any]):
        self.decisions = decisions
        self.controllers = set().union(*(d.controllers for d in decisions.values()))
        self.listings = list(self._list(list(decisions)))
        self.weights = [math.prod(size(decisions[k].domain) for k in open_) for _, open_ in self.listings]
        self.upto = list(itertools.accumulate(self.weights))
        self.total = self.upto[-1]

    def _list(self, keys: list[str]) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Every assignment of the controllers, with the other decisions that exist under it."""
        todo: list[tuple[dict[str, Any], int]] = [({}, 0)]
        controllers = [k for k in keys if k in self.controllers]
        listed = 0
        while todo:
            partial, i = todo.pop()
            if i == len(controllers):
                listed += 1
                if listed > MOST_COMBINATIONS:
                    raise InputError(
                        f"more than {MOST_COMBINATIONS:,} combinations of conditions depend on each other", keys[-1]
                    )
                yield partial, [k for k in keys if k not in self.controllers and self.decisions[k].exists(partial)]
                continue
            decision = self.decisions[controllers[i]]
            if not decision.exists(partial):
                todo.append((partial, i + 1))
                continue
            if decision.domain.values is None:
                raise InputError("others depend on it, so it needs a step", decision.name)
            todo += [({**partial, controllers[i]: value}, i + 1) for value in reversed(decision.domain.values)]

    def draw_into(self, drawn: dict[str, Any], rng: Random) -> None:
        if self.total == math.inf:
            chosen, open_ = rng.choice(self.listings)
        else:
            chosen, open_ = self.listings[bisect_right(self.upto, rng.randrange(int(self.total)))]
        drawn.update(chosen)
        for key in open_:
            drawn[key] = draw(self.decisions[key].domain, rng)

    def walk(self) -> Iterator[dict[str, Any]]:
        for chosen, open_ in self.listings:
            for values in itertools.product(*(self.decisions[k].domain.values for k in open_)):
                yield chosen | dict(zip(open_, values))


def _connected(decisions: Mapping[str, Any]) -> list[list[str]]:
    group_of = {key: [key] for key in decisions}
    for key, decision in decisions.items():
        for controller in decision.controllers:
            mine, theirs = group_of[key], group_of[controller]
            if mine is not theirs:
                mine += theirs
                for moved in theirs:
                    group_of[moved] = mine
    return list({id(group): group for group in group_of.values()}.values())


def count_ambiguous(space: Any) -> int | float:
    """Distinct architectures where optional stages can stand in for each other.

    Stages that decide for themselves are counted as words of an automaton whose letters are stages; where ties or
    conditions join stages, architectures are walked through one by one.
    """
    components = space._components
    by_unit: dict[str, set[str]] = {unit.path: set(keys) for unit, keys in space._unit_keys}
    joined = [a for a, b in itertools.combinations(by_unit, 2) if by_unit[a] & by_unit[b]]
    settings = {key for key, d in space.decisions.items() if any(path in space.settings for path, _ in d.places)}
    if joined or any(keys & settings for keys in by_unit.values()):
        if components.size > MOST_COMBINATIONS:
            raise InputError(
                "optional stages that can stand in for each other are tied together, in "
                f"{components.size:,} ways; untie them or let their choices differ",
                "stages",
            )
        return len({space._at(decisions) for decisions in components.walk()})
    letters: list[set] = []
    rest: int | float = 1
    for unit, keys in space._unit_keys:
        own = Components({k: space.decisions[k] for k in space.decisions if k in keys})
        if unit.part != "stages":
            rest *= own.size
            continue
        if own.size > MOST_COMBINATIONS:
            raise InputError(
                f"an optional stage of {own.size:,} settings can stand in for another; let their choices differ",
                unit.path,
            )
        letters.append({space._build_unit(unit, d) for d in own.walk()})
    alone = [k for k in space.decisions if k in settings]
    return _count_words(letters) * rest * math.prod(size(space.decisions[k].domain) for k in alone)


def _count_words(letters: list[set]) -> int:
    """Distinct sequences that take from each set in turn one letter or, where it holds None, none."""
    optional = [None in choices for choices in letters]

    @cache
    def words(places: frozenset[int]) -> int:
        nexts: dict[Any, set[int]] = {}
        total = 0
        reachable: set[int] = set()
        for place in places:
            while True:
                reachable.add(place)
                if place == len(letters) or not optional[place]:
                    break
                place += 1
        if len(letters) in reachable:
            total += 1
        for place in reachable - {len(letters)}:
            for letter in letters[place]:
                if letter is not None:
                    nexts.setdefault(letter, set()).add(place + 1)
        groups: dict[frozenset[int], int] = {}
        for after in nexts.values():
            groups[frozenset(after)] = groups.get(frozenset(after), 0) + 1
        return total + sum(count * words(after) for after, count in groups.items())

    return words(frozenset([0]))
