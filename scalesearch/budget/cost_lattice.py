"""What a space can cost, counted unit by unit by dynamic programming, without listing its networks.

Counted costs are sums over units, and the cost of a unit depends on its own decisions and on the shapes that
reach it. So the number of ways to complete a network from a unit on, by what the rest costs, follows from the
numbers of the next unit. Drawing in proportion to these numbers gives every path within given costs the same
probability, however rare they are. Decisions that build the same blocks in a unit count as one path; where
one network can be cut into units in several ways, `multiplicity` returns the number of its paths.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import numpy as np

from scalesearch.arch import Auxiliary, BlockGraph, Shape, ShapeError, expand_stage, record_block, sides
from scalesearch.counting import Cost, block_cost, stage_cost
from scalesearch.plain_data import PlainMapping
from scalesearch.progress import with_progress
from scalesearch.space import Decisions, Space, Unit

MAX_TRANSITIONS = 100_000  # (state, decisions of the next unit) pairs
SCOUTS = 100  # networks that are drawn to see how many states there are at least


class TooEntangled(Exception):
    """Raised where the units of a space depend on each other in more ways than can be listed."""


BlockKeys = tuple[object, ...]  # what names the blocks of a unit that do something, in their order
LiveValues = tuple[tuple[str, object], ...]  # the decisions on which anything later depends
LiveShapes = tuple[tuple[int, Shape], ...]  # by the number of the stage, -1 being what was built last
State = tuple[LiveValues, LiveShapes]


@dataclass
class _Transitions:
    """Holds every way to decide one unit in one state.

    Each has its decisions (`options`), costs, the state it leads to (`targets`) and the blocks it builds
    (`block_keys`).

    `costs` is `(n, 3)` int64 (params, MACs, acts); `targets` is `(n,)` int64, indices of states of the next unit.
    """

    options: list[Decisions]
    costs: np.ndarray
    targets: np.ndarray
    block_keys: list[BlockKeys]

    @cached_property
    def targets_by_blocks(self) -> dict[BlockKeys, list[int]]:
        by_blocks: dict[BlockKeys, list[int]] = {}
        for block_keys, target in zip(self.block_keys, self.targets.tolist()):
            by_blocks.setdefault(block_keys, []).append(target)
        return by_blocks

    @cached_property
    def lengths(self) -> list[int]:
        return sorted({len(block_keys) for block_keys in self.block_keys})


class CostLattice:
    """Holds the counted costs of `space` as a layered graph.

    A node is a unit in a state (live decisions and shapes), an edge one way to decide the unit.

    Raises:
        TooEntangled: If the units depend on each other in more than `MAX_TRANSITIONS` ways, or a decision is a
            continuous range.
    """

    def __init__(self, space: Space):
        self.space = space
        self.transitions: list[list[_Transitions]] = []
        stages = [u for u in space.units if u.part == "stages"]
        taps = space.settings.get("taps") or ()
        if (any(u.inputs for u in stages) or taps) and any(u.present is not True for u in stages):
            raise TooEntangled
        # of a chain, it makes no difference to which unit a block belongs
        self._chain = not (taps or any(u.inputs for u in stages) or any(u.part == "auxiliary" for u in space.units))
        self._build(stages, taps)

    def _build(self, stages: list[Unit], taps: Sequence[int]) -> None:
        space = self.space
        introduced = self._decisions_by_unit()
        live = self._live_decisions()
        needed = self._stages_needed(taps)
        starts = list(self._assignments(introduced[0], {}))
        self._check_transition_count(starts, introduced, live, needed)
        states: dict[State, int] = {}
        self.starts = [
            (decisions, self._state_number(states, self._live_values(decisions, live[0]), self._image(decisions)))
            for decisions in starts
        ]
        remaining, stage_index = MAX_TRANSITIONS, -1
        for u, (unit, keys) in enumerate(space.unit_keys):
            stage_index += unit.part == "stages"
            next_states: dict[State, int] = {}
            table = []
            n_shapes_by_prior = Counter(prior for prior, _ in states)
            for prior, n_shapes in n_shapes_by_prior.items():  # before any is built
                assignments = itertools.islice(self._assignments(introduced[u + 1], dict(prior)), MAX_TRANSITIONS)
                remaining -= n_shapes * sum(1 for _ in assignments)
                if remaining < 0:
                    raise TooEntangled
            label = f"counting what unit {u + 1} of {len(space.unit_keys)} can cost"
            for prior, shapes in with_progress(states, label, len(states)):
                options, costs, targets, block_keys = [], [], [], []
                seen: set[tuple[BlockKeys, int]] = set()
                for decisions in self._assignments(introduced[u + 1], dict(prior)):
                    transition = self._step(unit, keys, stage_index, decisions, dict(shapes))
                    if transition is not None:
                        cost, shapes_after, blocks = transition
                        live_after = self._live_values(decisions, live[u + 1])
                        target = self._state_number(
                            next_states, live_after, self._live_shapes(shapes_after, needed[u + 1])
                        )
                        block_digests: BlockKeys = tuple(
                            b.digest if self._chain else (u, b.digest)
                            for b in blocks
                            if b.layers or len(b.in_shapes) > 1
                        )
                        if (block_digests, target) in seen:
                            continue
                        seen.add((block_digests, target))
                        options.append({k: decisions[k] for k in decisions if k in introduced[u + 1]})
                        costs.append(cost[:3])
                        targets.append(target)
                        block_keys.append(block_digests)
                cost_rows = np.array(costs, dtype=np.int64).reshape(-1, 3)
                table.append(_Transitions(options, cost_rows, np.array(targets, dtype=np.int64), block_keys))
            self.transitions.append(table)
            states = next_states
        self.n_end_states = len(states)

    def _check_transition_count(
        self, starts: list[Decisions], introduced: list[list[str]], live: list[set[str]], needed: list[set[int]]
    ) -> None:
        """Raises `TooEntangled` where the decisions alone, or the shapes of a few draws, give too many ways."""
        remaining, priors = MAX_TRANSITIONS, {self._live_values(decisions, live[0]) for decisions in starts}
        for keys, live_after in zip(introduced[1:], live[1:]):
            next_priors = set()
            for prior in priors:
                for decisions in self._assignments(keys, dict(prior)):
                    remaining -= 1
                    if remaining < 0:
                        raise TooEntangled
                    next_priors.add(self._live_values(decisions, live_after))
            priors = next_priors
        self._check_drawn_states(introduced, live, needed)

    def _check_drawn_states(self, introduced: list[list[str]], live: list[set[str]], needed: list[set[int]]) -> None:
        """Raises `TooEntangled` where the states of a few drawn networks alone lead to too many ways.

        Most spaces that are too entangled are so refused before all the blocks of their first units are recorded.
        """
        remaining, rng = MAX_TRANSITIONS, Random(0)
        seen: list[set[State]] = [set() for _ in self.space.unit_keys]
        ways: dict[tuple[int, LiveValues], int] = {}
        introduced_so_far = [{key for keys in introduced[: u + 1] for key in keys} for u in range(len(introduced))]
        for _ in range(SCOUTS):
            drawn, stage_index = self.space.sample_unchecked(rng)[0], -1
            shapes = self._image(drawn)
            for u, (unit, keys) in enumerate(self.space.unit_keys):
                stage_index += unit.part == "stages"
                prior = self._live_values(drawn, live[u] & introduced_so_far[u])
                state = prior, self._live_shapes(shapes, needed[u])
                if state not in seen[u]:
                    seen[u].add(state)
                    if (u, prior) not in ways:
                        assignments = self._assignments(introduced[u + 1], dict(prior))
                        ways[u, prior] = sum(1 for _ in itertools.islice(assignments, MAX_TRANSITIONS))
                    remaining -= ways[u, prior]
                    if remaining < 0:
                        raise TooEntangled
                transition = self._step(unit, keys, stage_index, drawn, dict(shapes))
                if transition is None:
                    break
                shapes = transition[1]

    @staticmethod
    def _live_shapes(shapes: LiveShapes, needed: set[int]) -> LiveShapes:
        return tuple((n, s) for n, s in shapes if n == -1 or n in needed)

    @staticmethod
    def _state_number(states: dict[State, int], prior: LiveValues, shapes: LiveShapes) -> int:
        return states.setdefault((prior, shapes), len(states))

    def _decisions_by_unit(self) -> list[list[str]]:
        """Returns the decisions by the first unit that depends on them, controllers included.

        Those of the settings come first.
        """
        space, seen = self.space, set()
        by_unit = []
        for keys in [space.setting_keys, *(keys for _, keys in space.unit_keys)]:
            new_keys, todo = set(), list(keys)
            while todo:
                key = todo.pop()
                if key not in new_keys and key not in seen:
                    new_keys.add(key)
                    todo += space.decisions[key].controllers
            seen |= new_keys
            by_unit.append([k for k in space.decisions if k in new_keys])
        return by_unit

    def _live_decisions(self) -> list[set[str]]:
        """Returns, for each boundary between units, the decisions on which anything later depends.

        Later units depend on them, or whether later decisions exist.
        """
        space, live_sets = self.space, []
        later: set[str] = set()
        for _, keys in reversed(space.unit_keys):
            live_sets.append(set(later))
            for key in keys:
                later |= {key, *space.decisions[key].controllers}
        of_settings = set(space.setting_keys)
        return [later | of_settings, *(live | of_settings for live in reversed(live_sets))]

    def _stages_needed(self, taps: Sequence[int]) -> list[set[int]]:
        """Returns, for each boundary between units, the stages whose outputs later units still use."""
        needed_sets, needed = [], set(taps)
        for unit in reversed(self.space.units):
            needed_sets.append(set(needed))
            needed |= set(unit.inputs)
        return [needed, *reversed(needed_sets)]

    @staticmethod
    def _live_values(decisions: PlainMapping, live: set[str]) -> LiveValues:
        return tuple((k, decisions[k]) for k in sorted(live) if k in decisions)

    def _assignments(self, keys: list[str], prior: Decisions) -> Iterator[Decisions]:
        """Yields `prior` completed by every combination of those `keys` whose decisions exist."""
        if not keys:
            yield prior
            return
        decision = self.space.decisions[keys[0]]
        if not decision.exists(prior):
            yield from self._assignments(keys[1:], prior)
            return
        if decision.domain.values is None:
            raise TooEntangled
        for value in decision.domain.values:
            yield from self._assignments(keys[1:], {**prior, keys[0]: value})

    def _setting(self, name: str, decisions: Decisions, default: object) -> Any:
        return self.space.leaf_value(name, self.space.settings.get(name, default), decisions)

    def _image(self, decisions: Decisions) -> LiveShapes:
        height_width = sides(self._setting("resolution", decisions, None))
        return ((-1, (self._setting("channels", decisions, 3), *height_width)),)

    def _step(
        self, unit: Unit, keys: tuple[str, ...], stage_index: int, decisions: Decisions, shapes: dict[int, Shape]
    ) -> tuple[Cost, LiveShapes, Sequence[BlockGraph]] | None:
        """Returns the cost of a decided unit, the shapes after it and its blocks; None where the shapes do not meet."""
        space = self.space
        built = space.build_unit(unit, keys, decisions)
        if built is None:
            return Cost(), tuple(sorted(shapes.items())), ()
        same = self._setting("padding", decisions, "symmetric") == "same"
        classes = self._setting("classes", decisions, None)
        try:
            if isinstance(built, Auxiliary):
                block = record_block(built.block, (shapes[built.after],), same, None, classes)
                return Cost(params=block_cost(block).params), tuple(sorted(shapes.items())), (block,)
            if unit.part == "stages":
                in_shapes = tuple(shapes[j] for j in unit.inputs) or (shapes[-1],)
                cost, shape = stage_cost(built, in_shapes, same)
                shapes_after = tuple(sorted({**shapes, -1: shape, stage_index: shape}.items()))
                return cost, shapes_after, expand_stage(built, in_shapes, same)
            if unit.part == "head":
                taps = space.settings.get("taps") or ()
                block = record_block(built, tuple(shapes[j] for j in taps) or (shapes[-1],), same, None, classes)
            else:
                block = record_block(built, (shapes[-1],), same)
        except ShapeError:
            return None
        return block_cost(block), tuple(sorted({**shapes, -1: block.out_shape}.items())), (block,)

    # Readings.

    def extremes(self, axis: int) -> tuple[int, int] | None:
        """Returns the exact minimum and maximum of a quantity over all networks; None where there is no valid network.

        Args:
            axis: A value of `AXES`: 0 for params, 1 for MACs, 2 for acts.
        """
        low = high = np.zeros(self.n_end_states)  # of what follows, which is nothing at first
        for table in reversed(self.transitions):
            low, high = (
                np.array([(t.costs[:, axis] + low[t.targets]).min(initial=math.inf) for t in table]),
                np.array([(t.costs[:, axis] + high[t.targets]).max(initial=-math.inf) for t in table]),
            )
        smallest, largest = min(low[s] for _, s in self.starts), max(high[s] for _, s in self.starts)
        return None if smallest == math.inf else (int(smallest), int(largest))

    def nonempty_extremes(self, axis: int) -> tuple[int, int]:
        """Returns `extremes` of a lattice that is known to hold networks."""
        extremes = self.extremes(axis)
        assert extremes is not None
        return extremes

    def multiplicity(self, block_keys: BlockKeys) -> int:
        """Returns the number of paths that build the network with these blocks."""
        paths = Counter((state, 0) for _, state in self.starts)
        for table in self.transitions:
            next_paths: Counter[tuple[int, int]] = Counter()
            for (state, position), count in paths.items():
                for length in table[state].lengths:
                    for target in table[state].targets_by_blocks.get(block_keys[position : position + length], ()):
                        next_paths[target, position + length] += count
            paths = next_paths
        return sum(count for (_, position), count in paths.items() if position == len(block_keys))


AXES = {"params": 0, "macs": 1, "acts": 2}
