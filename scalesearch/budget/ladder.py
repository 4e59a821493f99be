"""What a space can cost, unit by unit, without listing its networks: dynamic programming over counted costs.

Counted costs are sums over units, and what a unit costs depends on its own decisions and on the shapes that reach it.
So the number of ways to complete a network from a unit on, by what the rest costs, follows from those of the next unit.
Drawing along these numbers gives every way inside a band of costs the same probability, however rare the band. Ways
that build the same blocks in a unit are one; of those that differ in where one unit ends and the next begins,
`readings` tells the number.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from scalesearch.arch import Auxiliary, BlockGraph, Shape, ShapeError, expand_stage, record, sides
from scalesearch.counting import Cost, block_cost, stage_cost
from scalesearch.space import Decisions, Space
from scalesearch.watched import watched

MOST_WAYS = 100_000  # (state, decisions of the next unit) pairs


class TooEntangled(Exception):
    """The space's units depend on each other in more ways than can be listed."""


Names = tuple  # what names the blocks of a unit that do something, in their order


@dataclass
class _Rung:
    """A unit in one state: every way to decide it, what that costs, and the state and the blocks that it leads to."""

    options: list[Decisions]
    costs: np.ndarray
    targets: np.ndarray
    names: list[Names]

    @cached_property
    def by_names(self) -> dict[Names, list[int]]:
        found: dict[Names, list[int]] = {}
        for names, target in zip(self.names, self.targets.tolist()):
            found.setdefault(names, []).append(target)
        return found

    @cached_property
    def lengths(self) -> list[int]:
        return sorted({len(names) for names in self.names})


class Ladder:
    """The units of `space` as rungs. Raises `TooEntangled` where it cannot be climbed."""

    def __init__(self, space: Space):
        self.space = space
        self.rungs: list[list[_Rung]] = []
        stages = [u for u in space.units if u.part == "stages"]
        taps = space.settings.get("taps") or ()
        if (any(u.inputs for u in stages) or taps) and any(u.present is not True for u in stages):
            raise TooEntangled
        # of a chain, it makes no difference to which unit a block belongs
        self._chain = not (taps or any(u.inputs for u in stages) or any(u.part == "auxiliary" for u in space.units))
        self._climb(stages, taps)

    def _climb(self, stages: list, taps: Sequence[int]) -> None:
        space = self.space
        introduced = self._introduced()
        live = self._live()
        needed = self._needed(stages, taps)
        starts = list(self._assignments(introduced[0], {}))
        self._check_ways(starts, introduced, live)
        states: dict[Any, int] = {}
        self.starts = [
            (decisions, self._state_number(states, self._kept(decisions, live[0]), ((-1, self._image(decisions)),)))
            for decisions in starts
        ]
        budget = MOST_WAYS
        number = -1
        for u, (unit, keys) in enumerate(space._unit_keys):
            number += unit.part == "stages"
            nexts: dict[Any, int] = {}
            table = []
            counted = Counter(kept for kept, _ in states)
            for kept, times in counted.items():  # before any is built
                ways = itertools.islice(self._assignments(introduced[u + 1], dict(kept)), MOST_WAYS)
                budget -= times * sum(1 for _ in ways)
                if budget < 0:
                    raise TooEntangled
            what = f"counting what unit {u + 1} of {len(space._unit_keys)} can cost"
            for kept, shapes in watched(states, what, len(states)):
                options, costs, targets, names = [], [], [], []
                alike: set[tuple[Names, int]] = set()
                for decisions in self._assignments(introduced[u + 1], dict(kept)):
                    step = self._step(unit, keys, number, decisions, dict(shapes))
                    if step is not None:
                        cost, after, blocks = step
                        held = tuple((n, s) for n, s in after if n == -1 or n in needed[u + 1])
                        target = self._state_number(nexts, self._kept(decisions, live[u + 1]), held)
                        named = tuple(
                            b.digest if self._chain else (u, b.digest)
                            for b in blocks
                            if b.layers or len(b.in_shapes) > 1
                        )
                        if (named, target) in alike:
                            continue
                        alike.add((named, target))
                        options.append({k: decisions[k] for k in decisions if k in introduced[u + 1]})
                        costs.append(cost[:3])
                        targets.append(target)
                        names.append(named)
                table.append(
                    _Rung(
                        options,
                        np.array(costs, dtype=np.int64).reshape(-1, 3),
                        np.array(targets, dtype=np.int64),
                        names,
                    )
                )
            self.rungs.append(table)
            states = nexts

    def _check_ways(self, starts: list[Decisions], introduced: list[list[str]], live: list[set[str]]) -> None:
        """Raises `TooEntangled` where decisions alone, whatever the shapes, leave too many ways."""
        left, kept = MOST_WAYS, {self._kept(decisions, live[0]) for decisions in starts}
        for keys, alive in zip(introduced[1:], live[1:]):
            nexts = set()
            for given in kept:
                for decisions in self._assignments(keys, dict(given)):
                    left -= 1
                    if left < 0:
                        raise TooEntangled
                    nexts.add(self._kept(decisions, alive))
            kept = nexts

    @staticmethod
    def _state_number(states: dict, kept: tuple, shapes: tuple) -> int:
        return states.setdefault((kept, shapes), len(states))

    def _introduced(self) -> list[list[str]]:
        """Decisions by the first unit that depends on them, those of the settings first, controllers with them."""
        space, seen = self.space, set()
        of_settings = [k for k, d in space.decisions.items() if any(path in space.settings for path, _ in d.places)]
        found = []
        for keys in [of_settings, *(keys for _, keys in space._unit_keys)]:
            wanted, todo = set(), list(keys)
            while todo:
                key = todo.pop()
                if key not in wanted and key not in seen:
                    wanted.add(key)
                    todo += space.decisions[key].controllers
            seen |= wanted
            found.append([k for k in space.decisions if k in wanted])
        return found

    def _live(self) -> list[set[str]]:
        """Per place between units: the decisions that later units depend on, or later decisions' existence."""
        space, found = self.space, []
        later: set[str] = set()
        for _, keys in reversed(space._unit_keys):
            found.append(set(later))
            for key in keys:
                later |= {key, *space.decisions[key].controllers}
        later |= {k for k, d in space.decisions.items() if any(path in space.settings for path, _ in d.places)}
        of_settings = {k for k, d in space.decisions.items() if any(path in space.settings for path, _ in d.places)}
        return [later, *(live | of_settings for live in reversed(found))]

    def _needed(self, stages: list, taps: Sequence[int]) -> list[set[int]]:
        """Per place between units: the stages whose outputs are still wanted."""
        found, wanted = [], set(taps)
        for unit in reversed(self.space.units):
            found.append(set(wanted))
            wanted |= set(unit.inputs)
        return [wanted, *reversed(found)]

    @staticmethod
    def _kept(decisions: Mapping[str, Any], live: set[str]) -> tuple:
        return tuple((k, decisions[k]) for k in sorted(live) if k in decisions)

    def _assignments(self, keys: list[str], given: Decisions) -> Iterator[Decisions]:
        """`given` completed by every combination of the decisions that exist among `keys`."""
        if not keys:
            yield given
            return
        decision = self.space.decisions[keys[0]]
        if not decision.exists(given):
            yield from self._assignments(keys[1:], given)
            return
        if decision.domain.values is None:
            raise TooEntangled
        for value in decision.domain.values:
            yield from self._assignments(keys[1:], {**given, keys[0]: value})

    def _setting(self, name: str, decisions: Decisions, default: Any) -> Any:
        return self.space._value(name, self.space.settings.get(name, default), decisions)

    def _image(self, decisions: Decisions) -> Shape:
        return self._setting("channels", decisions, 3), *sides(self._setting("resolution", decisions, None))

    def _step(
        self, unit: Any, keys: tuple[str, ...], number: int, decisions: Decisions, shapes: dict[int, Any]
    ) -> tuple[Cost, tuple, Sequence[BlockGraph]] | None:
        """What the unit costs so decided, the shapes after it, and its blocks; None where shapes don't meet."""
        space = self.space
        built = space.unit_at(unit, keys, decisions)
        if built is None:
            return Cost(), tuple(sorted(shapes.items())), ()
        same = self._setting("padding", decisions, "symmetric") == "same"
        classes = self._setting("classes", decisions, None)
        try:
            if isinstance(built, Auxiliary):
                block = record(built.block, (shapes[built.after],), same, None, classes)
                return Cost(params=block_cost(block).params), tuple(sorted(shapes.items())), (block,)
            if unit.part == "stages":
                given = tuple(shapes[j] for j in unit.inputs) or (shapes[-1],)
                cost, shape = stage_cost(built, given, same)
                grown = tuple(sorted({**shapes, -1: shape, number: shape}.items()))
                return cost, grown, expand_stage(built, given, same)
            if unit.part == "head":
                taps = space.settings.get("taps") or ()
                block = record(built, tuple(shapes[j] for j in taps) or (shapes[-1],), same, None, classes)
            else:
                block = record(built, (shapes[-1],), same)
        except ShapeError:
            return None
        return block_cost(block), tuple(sorted({**shapes, -1: block.out_shape}.items())), (block,)

    # Readings.

    def extremes(self, axis: int) -> tuple[int, int] | None:
        """The least and the most of a quantity (0 params, 1 macs, 2 acts), exactly; None where nothing is a network."""
        low = high = np.zeros(0)  # of what follows, which is nothing at first
        for table in reversed(self.rungs):
            lows: list[float] = []
            highs: list[float] = []
            for rung in table:
                if not rung.options:
                    lows.append(math.inf)
                    highs.append(-math.inf)
                    continue
                rest_low = np.zeros(len(rung.targets)) if not len(low) else low[rung.targets]
                rest_high = np.zeros(len(rung.targets)) if not len(high) else high[rung.targets]
                lows.append((rung.costs[:, axis] + rest_low).min())
                highs.append((rung.costs[:, axis] + rest_high).max())
            low, high = np.array(lows), np.array(highs)
        found = [low[s] for _, s in self.starts], [high[s] for _, s in self.starts]
        return None if min(found[0]) == math.inf else (int(min(found[0])), int(max(found[1])))

    def ends(self, axis: int) -> tuple[int, int]:
        """`extremes` of a ladder on which there are networks."""
        found = self.extremes(axis)
        assert found is not None
        return found

    def readings(self, names: Names) -> int:
        """How many ways build the network of these blocks."""
        reached = Counter((state, 0) for _, state in self.starts)
        for table in self.rungs:
            after: Counter = Counter()
            for (state, place), ways in reached.items():
                for length in table[state].lengths:
                    for target in table[state].by_names.get(names[place : place + length], ()):
                        after[target, place + length] += ways
            reached = after
        return sum(ways for (_, place), ways in reached.items() if place == len(names))


AXES = {"params": 0, "macs": 1, "acts": 2}
