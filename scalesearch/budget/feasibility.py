"""The networks of a space inside a budget: their share, and draws with equal probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from random import Random

from scalesearch.arch import Arch, expand, has_valid_shapes
from scalesearch.budget.bounded_sampler import BoundedSampler
from scalesearch.budget.bounds import COUNTED_QUANTITIES, FLOAT_BYTES, Budget, budget_from_dict
from scalesearch.budget.cost_lattice import AXES, BlockKeys, CostLattice, TooEntangled
from scalesearch.errors import InputError
from scalesearch.plain_data import PlainMapping
from scalesearch.progress import with_progress
from scalesearch.space import Decisions, Space
from scalesearch.statistics import wilson

MAX_LISTED = 16_000  # spaces up to this size are listed whole
DRAWS = 2_000
MAX_REJECTIONS = 3_000  # draws in a row that may be outside before a walk through the inside takes over
SEARCH_DRAWS = 400  # draws of which the nearest are improved where none is inside
DESCENTS = 6  # of the nearest draws that are improved
WALK_STEPS = 40  # steps of the walk from a network found inside to the one that it gives
MAX_CACHED = 20_000


class Feasible:
    """Counts and draws the networks of `space` inside `budget`.

    A small space is listed. A larger one is drawn from along its counted costs (`lattice`). Where its units are
    too entangled for that, architectures are drawn at random and those outside are rejected; where rejection
    finds nothing, a random walk over neighbours inside the budget draws them. A draw depends on its random
    generator alone, not on earlier draws.

    Args:
        space: The search space.
        budget: A `Budget`, or its mapping such as `{"macs": "570M..630M"}`.
    """

    def __init__(self, space: Space, budget: Budget | PlainMapping):
        self.space, self.budget = space, budget if isinstance(budget, Budget) else budget_from_dict(budget)
        self._neighbour_cache: dict[tuple[object, ...], list[Decisions]] = {}
        self._n_drawn = self._n_accepted = 0  # draws from the whole space, and those not rejected as duplicates

    @cached_property
    def all_decisions(self) -> list[Decisions] | None:
        """Returns one list of decisions per distinct network inside; None where the space is too large to list."""
        return None if self._listing is None else [d for d, inside in self._listing if inside]

    @cached_property
    def _listing(self) -> list[tuple[Decisions, bool]] | None:
        if self.space.size > MAX_LISTED:
            return None
        by_digest: dict[str, tuple[Decisions, bool]] = {}
        networks = with_progress(self.space.networks(), "counting every network", int(self.space.size))
        for decisions, arch in networks:
            digest = expand(arch).digest
            if digest not in by_digest:
                by_digest[digest] = decisions, self.budget.admits(arch)
        return list(by_digest.values())

    @cached_property
    def lattice(self) -> CostLattice | None:
        """Returns the space's counted costs unit by unit.

        None where its units are too entangled, or it has no valid network.
        """
        try:
            lattice = CostLattice(self.space)
        except TooEntangled:
            return None
        return lattice if lattice.extremes(AXES["macs"]) else None

    @cached_property
    def full_sampler(self) -> BoundedSampler | None:
        """Returns the sampler over all networks of the space; None where there is no `lattice`."""
        if self.lattice is None:
            return None
        macs = AXES["macs"]
        return BoundedSampler(self.lattice, [(macs, 0, self.lattice.nonempty_extremes(macs)[1])])

    @cached_property
    def sampler(self) -> BoundedSampler | None:
        """Returns the sampler within the bounds on counted costs; None where there is no `lattice`.

        Of more than two bounded quantities it uses the two whose bounds admit the fewest paths.
        """
        bounds = self._counted_bounds()
        if not bounds or self.lattice is None:
            return self.full_sampler
        lattice = self.lattice
        if len(bounds) > 2:
            bounds = sorted(bounds, key=lambda bound: BoundedSampler(lattice, [bound]).weight)[:2]
        return BoundedSampler(lattice, bounds)

    def _counted_bounds(self) -> list[tuple[int, float, float]]:
        by_axis: dict[int, tuple[float, float]] = {}
        for key, bound in self.budget.bounds.items():
            if key in COUNTED_QUANTITIES:
                axis, unit_size = (AXES["params"], FLOAT_BYTES) if key == "size" else (AXES[key], 1)
                low, high = by_axis.get(axis, (0.0, math.inf))
                by_axis[axis] = max(low, bound.low / unit_size), min(high, bound.high / unit_size)
        if not by_axis or self.lattice is None:
            return []
        return [
            (axis, low, min(high, self.lattice.nonempty_extremes(axis)[1])) for axis, (low, high) in by_axis.items()
        ]

    def draw(self, rng: Random) -> Decisions:
        """Draws decisions of a network inside the budget, each network with equal probability.

        Raises:
            InputError: If no network is found inside; the message gives the nearest budget that a network meets.
        """
        if self.all_decisions is not None:
            if not self.all_decisions:
                raise self._infeasible_error()
            return rng.choice(self.all_decisions)
        if not self._rejection_fails:
            for _ in range(MAX_REJECTIONS):
                if (decisions := self._draw_once(rng)) is not None:
                    return decisions
        return self._random_walk(rng)

    def draw_any(self, rng: Random) -> Decisions | None:
        """Draws decisions of a network of the space, inside the budget or not, each network with equal probability.

        Without a `lattice`, a draw may hit a point that is no valid network; then None is returned.
        """
        if self.full_sampler is None:
            decisions, arch = self.space.sample_unchecked(rng)
            return decisions if has_valid_shapes(arch) else None
        while True:
            decisions, block_keys = self.full_sampler.draw(rng)
            self._n_drawn += 1
            if rng.random() * self._multiplicity(block_keys) < 1:
                self._n_accepted += 1
                return decisions

    @cached_property
    def _rejection_fails(self) -> bool:
        """Returns whether drawing and rejecting finds no network inside in `MAX_REJECTIONS` draws."""
        rng = Random(0)
        return all(self._draw_once(rng) is None for _ in range(MAX_REJECTIONS))

    def _draw_once(self, rng: Random) -> Decisions | None:
        """Draws once within the counted bounds; None where the draw is outside the budget or rejected as a duplicate.

        A network that several decisions build is accepted with one over their number, so that it is no likelier than
        others.
        """
        if self.sampler is None:
            decisions, arch = self.space.sample_unchecked(rng)
            return decisions if self.budget.admits(arch) else None
        if not self.sampler.weight:
            return None
        decisions, block_keys = self.sampler.draw(rng)
        is_inside = self.budget.admits(self.space.at_unchecked(decisions))
        return decisions if is_inside and rng.random() * self._multiplicity(block_keys) < 1 else None

    def _random_walk(self, rng: Random) -> Decisions:
        """Returns the end of a random walk over neighbours inside the budget (Metropolis–Hastings, about uniform)."""
        starts = [decisions for decisions, excess in self._nearest if excess <= 1]
        if not starts:
            raise self._infeasible_error()
        current = rng.choice(starts)
        neighbours = self._neighbours_inside(current)
        for _ in range(WALK_STEPS):
            if neighbours:
                candidate = rng.choice(neighbours)
                candidate_neighbours = self._neighbours_inside(candidate)
                if rng.random() < len(neighbours) / max(1, len(candidate_neighbours)):
                    current, neighbours = candidate, candidate_neighbours
        return current

    def _neighbours_inside(self, decisions: Decisions) -> list[Decisions]:
        key = tuple(decisions.items())
        if key not in self._neighbour_cache:
            if len(self._neighbour_cache) > MAX_CACHED:
                self._neighbour_cache.clear()
            self._neighbour_cache[key] = [
                d for d in self.space.neighbours(decisions) if self.budget.admits(self.space.at_unchecked(d))
            ]
        return self._neighbour_cache[key]

    def networks(self, rng: Random) -> int | None:
        """Returns how many distinct networks the space has; None where there are infinitely many.

        The number is exact where the space is listed, or has a `lattice` in which no network has several paths; else
        it is estimated from draws.
        """
        if self._listing is not None:
            return len(self._listing)
        if self.full_sampler is not None:
            while self._n_accepted < DRAWS:
                self.draw_any(rng)
            return round(self.full_sampler.weight * self._n_accepted / self._n_drawn)
        if self.space.size == math.inf:
            return None
        attempts = with_progress(range(DRAWS), "drawing networks", DRAWS)
        return round(self.space.size * sum(self.draw_any(rng) is not None for _ in attempts) / DRAWS)

    def share(self, rng: Random) -> tuple[float, tuple[float, float]]:
        """Returns the share of the space's networks inside the budget, in [0, 1], and its 95 % interval."""
        if self._listing is not None:
            inside = len(self.all_decisions or ()) / max(1, len(self._listing))
            return inside, (inside, inside)
        if self.sampler is None:
            samples = [d for _ in range(DRAWS) if (d := self.draw_any(rng)) is not None]
            n_inside = sum(self.budget.admits(self.space.at_unchecked(d)) for d in samples)
            return n_inside / max(1, len(samples)), wilson(n_inside, max(1, len(samples)))
        if not self.sampler.weight:
            return 0.0, (0.0, 0.0)
        weighted = self._weighted_draws(self.sampler, rng)
        hits = sum((weight for weight, inside in weighted if inside), 0.0)
        if self.full_sampler is None or self.sampler is self.full_sampler:
            total = sum((weight for weight, _ in weighted), 0.0)
            return hits / total, wilson(hits / total * DRAWS, DRAWS)
        unbounded = self._weighted_draws(self.full_sampler, rng, check_budget=False)
        mean_weight = sum((weight for weight, _ in unbounded), 0.0) / DRAWS
        upper_share = self.sampler.weight / (self.full_sampler.weight * mean_weight)
        low, high = wilson(hits, DRAWS)
        return min(1.0, upper_share * hits / DRAWS), (min(1.0, upper_share * low), min(1.0, upper_share * high))

    def _weighted_draws(
        self, sampler: BoundedSampler, rng: Random, check_budget: bool = True
    ) -> list[tuple[float, bool]]:
        """Returns draws as pairs: one over the network's number of paths, and whether it is inside the budget."""
        draws = (sampler.draw(rng) for _ in with_progress(range(DRAWS), "drawing networks inside", DRAWS))
        return [
            (1 / self._multiplicity(block_keys), check_budget and self.budget.admits(self.space.at_unchecked(d)))
            for d, block_keys in draws
        ]

    def _infeasible_error(self) -> InputError:
        """Returns the error for an empty budget; it names the nearest budget that a network meets."""
        space, bounds = self.space, self.budget.bounds
        if not self._nearest:
            expand(space.sample(Random(0))[1])  # says why the shapes of none meet
            return InputError(f'no network was found in "{space.name}"', "budget")
        arch = space.at_unchecked(self._nearest[0][0])
        measured = {key: self.budget.measure(arch, key) for key in bounds}
        worst = max(bounds, key=lambda key: bounds[key].excess(measured[key]))
        reachable = ", ".join(
            f"{key}: {f'{value * 1000:.4g}ms' if key == 'latency' else f'{value:.0f}'}"
            for key, value in measured.items()
        )
        return InputError(
            f'no network of "{space.name}" has {self.budget}; the nearest budget that one meets is {{{reachable}}}',
            f"budget.{worst}",
        )

    @cached_property
    def _nearest(self) -> list[tuple[Decisions, float]]:
        """Returns decisions with the factor by which they miss the budget, nearest first; at most 1 means inside."""

        def excess(decisions: Decisions) -> float:
            return self.budget.excess(self.space.at_unchecked(decisions))

        if self._listing is not None:
            candidates = [(d, excess(d)) for d, _ in self._listing]
        else:
            rng = Random(0)
            ranked = [(d, e) for d in self._search_points(rng) if (e := excess(d)) < math.inf]
            ranked.sort(key=lambda pair: pair[1])
            candidates = ranked[:DESCENTS]
            for start, _ in ranked[:DESCENTS]:
                candidate, penalty = descend(self.space, start, self.budget.penalty)
                found = descend(self.space, candidate, self.budget.excess) if penalty else (candidate, 1.0)
                candidates.append(found)
        return sorted(candidates, key=lambda pair: pair[1])

    def _multiplicity(self, block_keys: BlockKeys) -> int:
        assert self.lattice is not None
        return self.lattice.multiplicity(block_keys)

    def _search_points(self, rng: Random) -> Iterator[Decisions]:
        """Yields random points, then draws within the counted bounds, widened until they admit anything."""
        yield from (self.space.sample_unchecked(rng)[0] for _ in range(SEARCH_DRAWS))
        if self.sampler is None:
            return
        for step in range(40):
            slack = 1.002 ** (2 ** (step / 3)) if step else 1.0
            widened_bounds = [(axis, low / slack, high * slack) for axis, low, high in self.sampler.bounds]
            wider = BoundedSampler(self.sampler.lattice, widened_bounds) if step else self.sampler
            if wider.weight:
                yield from (wider.draw(rng)[0] for _ in range(SEARCH_DRAWS))
                return


def descend(space: Space, start: Decisions, value: Callable[[Arch], float]) -> tuple[Decisions, float]:
    """Moves from `start` to its best neighbour until none is better; returns the decisions and their value.

    Smaller values are better.
    """
    current, current_value = start, value(space.at_unchecked(start))
    while True:
        steps = ((d, value(space.at_unchecked(d))) for d in space.neighbours(current))
        best = min(steps, key=lambda step: step[1], default=None)
        if best is None or best[1] >= current_value:
            return current, current_value
        current, current_value = best


def descend_by_decision(space: Space, start: Decisions, value: Callable[[Arch], float]) -> tuple[Decisions, float]:
    """Improves one decision after the other until none can be; returns the decisions and their value.

    It looks at far fewer networks than `descend`, each of which is a step of its own there. Smaller values are better.
    """
    current, current_value, improved = start, value(space.at_unchecked(start)), True
    while improved:
        improved = False
        for key in list(current):
            neighbours = space.neighbours(current, [key]) if key in current else iter(())
            steps = ((d, value(space.at_unchecked(d))) for d in neighbours)
            best = min(steps, key=lambda step: step[1], default=None)
            if best is not None and best[1] < current_value:
                (current, current_value), improved = best, True
    return current, current_value
