"""Counts the architectures of a space and draws from it so that each is as likely as every other."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

from scalesearch.errors import InputError
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.space.domains import Domain, draw, size

MAX_COMBINATIONS = 200_000


class Components:
    """The decisions of a space in groups that do not depend on each other, and what each group may decide.

    Within a group, all assignments of the decisions that others depend on (controllers) are listed with the
    number of ways to complete each; drawing an assignment by that number makes the draw uniform.

    Raises:
        InputError: If a group has more than `MAX_COMBINATIONS` such assignments, or a controller has no step.
    """

    def __init__(self, decisions: PlainMapping):
        self.domains: dict[str, Domain] = {key: d.domain for key, d in decisions.items()}
        groups = _connected_components(decisions)
        self.independent = [key for (key, *rest) in groups if not rest]
        self.groups = [
            _Group({k: decisions[k] for k in decisions if k in set(group)}) for group in groups if len(group) > 1
        ]
        self._independent_values = [(k, self.domains[k].values, size(self.domains[k])) for k in self.independent]

    @property
    def size(self) -> int | float:
        """Returns the number of combinations of decisions; infinite with decimals without a step."""
        return math.prod([size(self.domains[key]) for key in self.independent] + [g.total for g in self.groups])

    def draw(self, rng: Random) -> PlainDict:
        """Returns random decisions, every combination as likely as every other."""
        random = rng.random
        decisions = {
            key: values[int(random() * n)] if values else draw(self.domains[key], rng)
            for key, values, n in self._independent_values
        }
        for group in self.groups:
            group.draw_into(decisions, rng)
        return decisions

    def walk(self) -> Iterator[PlainDict]:
        """Yields every combination of decisions; for finite spaces only."""
        independent = [[{key: value} for value in values or ()] for key, values, _ in self._independent_values]
        for parts in itertools.product(*independent, *(list(group.walk()) for group in self.groups)):
            yield {key: value for part in parts for key, value in part.items()}


class _Group:
    def __init__(self, decisions: PlainMapping):
        self.decisions = decisions
        self.controllers = set().union(*(d.controllers for d in decisions.values()))
        self.assignments = list(self._enumerate_assignments(list(decisions)))
        weights = (math.prod(size(decisions[k].domain) for k in open_keys) for _, open_keys in self.assignments)
        self.cumulative_weights = list(itertools.accumulate(weights))
        self.total = self.cumulative_weights[-1]

    def _enumerate_assignments(self, keys: list[str]) -> Iterator[tuple[PlainDict, list[str]]]:
        """Yields every assignment of the controllers, with the other decisions that exist under it."""
        stack: list[tuple[PlainDict, int]] = [({}, 0)]
        controllers = [k for k in keys if k in self.controllers]
        count = 0
        while stack:
            partial, i = stack.pop()
            if i == len(controllers):
                count += 1
                if count > MAX_COMBINATIONS:
                    raise InputError(
                        f"more than {MAX_COMBINATIONS:,} combinations of conditions depend on each other", keys[-1]
                    )
                yield partial, [k for k in keys if k not in self.controllers and self.decisions[k].exists(partial)]
                continue
            decision = self.decisions[controllers[i]]
            if not decision.exists(partial):
                stack.append((partial, i + 1))
                continue
            if decision.domain.values is None:
                raise InputError("others depend on it, so it needs a step", decision.name)
            stack += [({**partial, controllers[i]: value}, i + 1) for value in reversed(decision.domain.values)]

    def draw_into(self, decisions: PlainDict, rng: Random) -> None:
        if self.total == math.inf:
            assignment, open_keys = rng.choice(self.assignments)
        else:
            chosen = bisect_right(self.cumulative_weights, rng.randrange(int(self.total)))
            assignment, open_keys = self.assignments[chosen]
        decisions.update(assignment)
        for key in open_keys:
            decisions[key] = draw(self.decisions[key].domain, rng)

    def walk(self) -> Iterator[PlainDict]:
        for assignment, open_keys in self.assignments:
            for values in itertools.product(*(self.decisions[k].domain.values for k in open_keys)):
                yield assignment | dict(zip(open_keys, values))


def _connected_components(decisions: PlainMapping) -> list[list[str]]:
    group_of = {key: [key] for key in decisions}
    for key, decision in decisions.items():
        for controller in decision.controllers:
            merged, absorbed = group_of[key], group_of[controller]
            if merged is not absorbed:
                merged += absorbed
                for member in absorbed:
                    group_of[member] = merged
    return list({id(group): group for group in group_of.values()}.values())


def count_ambiguous(space: Any) -> int | float:
    """Returns the number of distinct architectures where optional stages can stand in for each other.

    Stages that depend on no other are counted as words of an automaton whose letters are stages; where ties or
    conditions join stages, architectures are listed one by one.

    Raises:
        InputError: If that takes more than `MAX_COMBINATIONS` combinations.
    """
    components = space._components
    by_unit: dict[str, set[str]] = {unit.path: set(keys) for unit, keys in space.unit_keys}
    linked_units = [a for a, b in itertools.combinations(by_unit, 2) if by_unit[a] & by_unit[b]]
    if linked_units or any(keys.intersection(space.setting_keys) for keys in by_unit.values()):
        if components.size > MAX_COMBINATIONS:
            raise InputError(
                "optional stages that can stand in for each other are tied together, in "
                f"{components.size:,} ways; untie them or let their choices differ",
                "stages",
            )
        return len({space.at_unchecked(decisions) for decisions in components.walk()})
    letters: list[set[object]] = []
    factor: int | float = 1
    for unit, keys in space.unit_keys:
        unit_components = Components({k: space.decisions[k] for k in space.decisions if k in keys})
        if unit.part != "stages":
            factor *= unit_components.size
            continue
        if unit_components.size > MAX_COMBINATIONS:
            raise InputError(
                f"an optional stage of {unit_components.size:,} settings can stand in for another; "
                "let their choices differ",
                unit.path,
            )
        letters.append({space._build_unit(unit, d) for d in unit_components.walk()})
    return _count_words(letters) * factor * math.prod(size(space.decisions[k].domain) for k in space.setting_keys)


def _count_words(letters: list[set[object]]) -> int:
    """Returns the number of distinct sequences with one letter of each set in turn.

    A set that holds None may be skipped.
    """
    optional = [None in choices for choices in letters]

    @cache
    def words(places: frozenset[int]) -> int:
        successors: dict[object, set[int]] = {}
        reachable: set[int] = set()
        for place in places:
            while True:
                reachable.add(place)
                if place == len(letters) or not optional[place]:
                    break
                place += 1
        for place in reachable - {len(letters)}:
            for letter in letters[place]:
                if letter is not None:
                    successors.setdefault(letter, set()).add(place + 1)
        groups = Counter(map(frozenset, successors.values()))
        return (len(letters) in reachable) + sum(count * words(positions) for positions, count in groups.items())

    return words(frozenset([0]))
