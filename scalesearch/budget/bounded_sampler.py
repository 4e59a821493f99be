"""Uniform sampling of networks whose counted costs lie within bounds, along a `CostLattice`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np

from scalesearch.budget.cost_lattice import BlockKeys, CostLattice
from scalesearch.space import Decisions

MAX_CELLS = {1: 4096, 2: 160}  # cells per quantity, by how many are bounded
MAX_CELLS_OF_RANGE = 32_768


class BoundedSampler:
    """Counts the paths of a `CostLattice` whose costs lie within bounds, and draws one uniformly.

    Costs are rounded down to whole cells, once per unit, so `weight` counts slightly too many paths at the edges;
    the caller must reject draws that lie outside.

    Args:
        lattice: The costs of a space, unit by unit.
        bounds: One or two of `(axis, low, high)`; `axis` is a value of `AXES`, `low` and `high` are in the unit
            of that quantity, and `high` is finite.
    """

    def __init__(self, lattice: CostLattice, bounds: Sequence[tuple[int, float, float]]):
        self.lattice, self.bounds = lattice, list(bounds)
        units = len(lattice.transitions)
        self.axes = [axis for axis, _, _ in bounds]
        self.cell_sizes = []
        for _, low, high in bounds:
            is_single = len(bounds) == 1
            target_size = (high - max(low, 0)) / (8 * units) if is_single else 1.0
            max_cells = MAX_CELLS_OF_RANGE if is_single and low > 0 else MAX_CELLS[len(bounds)]
            self.cell_sizes.append(max(target_size, high / max_cells, 1.0))
        self.top_cells = [int(high // cell) for (_, _, high), cell in zip(bounds, self.cell_sizes)]
        self.low_cells = [max(0, int(low // cell) - units) for (_, low, _), cell in zip(bounds, self.cell_sizes)]
        self.weight = 0.0
        if all(low <= high for _, low, high in bounds):
            self._count()

    def _count(self) -> None:
        """Computes, per unit and state, the number of completions by the cells that they cost."""
        shape = tuple(top + 1 for top in self.top_cells)
        end = np.zeros((1, *shape))
        end.flat[0] = 1.0
        self.completions: list[np.ndarray] = [end]
        self.steps: list[list[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]] = []
        for depth, table in enumerate(reversed(self.lattice.transitions)):
            next_counts = self.completions[-1]
            counts = np.zeros((len(table), *shape))
            steps = []
            for state, outgoing in enumerate(table):
                costs, targets = outgoing.costs, outgoing.targets
                cost_cells = [
                    (costs[:, axis] // cell).astype(np.int64) for axis, cell in zip(self.axes, self.cell_sizes)
                ]
                within = [c <= top for c, top in zip(cost_cells, self.top_cells, strict=True)]
                fits = np.logical_and.reduce(within) if len(targets) else np.zeros(0, bool)
                targets = np.zeros_like(targets) if depth == 0 else targets
                steps.append((np.flatnonzero(fits), targets[fits], [c[fits] for c in cost_cells]))
                moves = zip(targets[fits].tolist(), *(c[fits].tolist() for c in cost_cells))
                for (target, *shift), multiplicity in Counter(moves).items():
                    target_slice = tuple(slice(s, None) for s in shift)
                    source_slice = tuple(slice(None, n - s) for s, n in zip(shift, shape))
                    counts[state][target_slice] += multiplicity * next_counts[target][source_slice]
            self.completions.append(counts)
            self.steps.append(steps)
        self.completions.reverse()
        self.steps.reverse()
        window = tuple(slice(f, None) for f in self.low_cells)
        self._windows = [self.completions[0][s][window] for _, s in self.lattice.starts]
        self._cumulative = [w.ravel().cumsum() for w in self._windows]
        self._start_weights = np.array([upto[-1] for upto in self._cumulative])
        self.weight = float(self._start_weights.sum())

    def draw(self, rng: Random) -> tuple[Decisions, BlockKeys]:
        """Draws one path within the bounds, each with equal probability.

        Returns:
            The decisions in the order of the space, and the digests of the blocks that they build.
        """
        start = _pick(self._start_weights.cumsum(), rng)
        decisions, state = dict(self.lattice.starts[start][0]), self.lattice.starts[start][1]
        flat_index = _pick(self._cumulative[start], rng)
        block_keys: BlockKeys = ()
        remaining = [
            int(i) + f for i, f in zip(np.unravel_index(flat_index, self._windows[start].shape), self.low_cells)
        ]
        for table, steps, next_counts in zip(self.lattice.transitions, self.steps, self.completions[1:]):
            option_indices, targets, cost_cells = steps[state]
            remaining_after = [r - c for r, c in zip(remaining, cost_cells)]
            fits = np.logical_and.reduce([part >= 0 for part in remaining_after])
            index = tuple(np.maximum(part, 0) for part in remaining_after)
            choice = _pick(np.where(fits, next_counts[(targets, *index)], 0.0).cumsum(), rng)
            decisions |= table[state].options[option_indices[choice]]
            block_keys += table[state].block_keys[option_indices[choice]]
            state, remaining = int(targets[choice]), [int(part[choice]) for part in remaining_after]
        return {key: decisions[key] for key in self.lattice.space.decisions if key in decisions}, block_keys


def _pick(cumulative: np.ndarray, rng: Random) -> int:
    """Returns an index with probability proportional to its weight; `cumulative` holds running sums of weights."""
    return min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")), len(cumulative) - 1)
