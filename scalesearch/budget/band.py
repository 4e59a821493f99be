"""The networks of a ladder inside bounds on counted quantities: how many ways there are, and draws along them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np

from scalesearch.budget.ladder import Ladder, Names
from scalesearch.space import Decisions

GRAINS = {1: 4096, 2: 160}  # cells per quantity, by how many are bounded
FINEST = 32_768


class Band:
    """The networks of a ladder inside bounds on counted quantities, ready to be counted and drawn.

    `bounds` are (axis, low, high), the highs finite. Costs are rounded down to whole cells per unit, so `weight` counts
    a little too much at the edges; what is drawn there and is outside is for the caller to refuse. One or two bounds.
    """

    def __init__(self, ladder: Ladder, bounds: Sequence[tuple[int, float, float]]):
        self.ladder, self.bounds = ladder, list(bounds)
        units = len(ladder.rungs)
        self.axes = [axis for axis, _, _ in bounds]
        most = GRAINS[len(bounds)]
        self.cells = []
        for _, low, high in bounds:
            wanted = max(1.0, (high - max(low, 0)) / (8 * units))
            finest = FINEST if len(bounds) == 1 else most
            self.cells.append(max(wanted if len(bounds) == 1 else 1.0, high / (finest if low > 0 else most), 1.0))
        self.tops = [int(high // cell) for (_, _, high), cell in zip(bounds, self.cells)]
        self.floors = [max(0, int(low // cell) - units) for (_, low, _), cell in zip(bounds, self.cells)]
        self.width = math.prod(top + 1 for top in self.tops)
        if all(low <= high for _, low, high in bounds):
            self._count()
        else:
            self.weight = 0.0

    def _count(self) -> None:
        """Per unit and state: the numbers of completions by the cell of what they cost."""
        shape = tuple(top + 1 for top in self.tops)
        end = np.zeros((1, *shape))
        end[(0, *(0 for _ in shape))] = 1.0
        self.after: list[np.ndarray] = [end]
        self.steps: list[list[tuple]] = []
        for depth, table in enumerate(reversed(self.ladder.rungs)):
            below = self.after[-1]
            counts = np.zeros((len(table), *shape))
            steps = []
            for state, rung in enumerate(table):
                costs, targets = rung.costs, rung.targets
                cells = [(costs[:, axis] // cell).astype(np.int64) for axis, cell in zip(self.axes, self.cells)]
                within = [c <= top for c, top in zip(cells, self.tops, strict=True)]
                fits = np.logical_and.reduce(within) if len(targets) else np.zeros(0, bool)
                targets = np.zeros_like(targets) if depth == 0 else targets
                steps.append((np.flatnonzero(fits), targets[fits], [c[fits] for c in cells]))
                alike: dict[tuple, int] = {}
                for way in zip(targets[fits].tolist(), *(c[fits].tolist() for c in cells)):
                    alike[way] = alike.get(way, 0) + 1
                for (target, *shift), times in alike.items():
                    to = tuple(slice(s, None) for s in shift)
                    from_ = tuple(slice(None, n - s) for s, n in zip(shift, shape))
                    counts[state][to] += times * below[target][from_]
            self.after.append(counts)
            self.steps.append(steps)
        self.after.reverse()
        self.steps.reverse()
        window = tuple(slice(f, None) for f in self.floors)
        self._windows = [self.after[0][s][window] for _, s in self.ladder.starts]
        self._upto = [w.ravel().cumsum() for w in self._windows]
        self._starts = np.array([upto[-1] for upto in self._upto])
        self.weight = float(self._starts.sum())

    def draw(self, rng: Random) -> tuple[Decisions, Names]:
        """Decisions, every way in the band as likely as every other, and the blocks that they build."""
        chosen = _pick(self._starts.cumsum(), rng)
        decisions, state = dict(self.ladder.starts[chosen][0]), self.ladder.starts[chosen][1]
        place = _pick(self._upto[chosen], rng)
        names: Names = ()
        rest = [int(i) + f for i, f in zip(np.unravel_index(place, self._windows[chosen].shape), self.floors)]
        for table, steps, below in zip(self.ladder.rungs, self.steps, self.after[1:]):
            numbers, targets, cells = steps[state]
            left = [r - c for r, c in zip(rest, cells)]
            fits = np.logical_and.reduce([part >= 0 for part in left])
            index = tuple(np.maximum(part, 0) for part in left)
            way = _pick(np.where(fits, below[(targets, *index)], 0.0).cumsum(), rng)
            decisions |= table[state].options[numbers[way]]
            names += table[state].names[numbers[way]]
            state, rest = int(targets[way]), [int(part[way]) for part in left]
        return {key: decisions[key] for key in self.ladder.space.decisions if key in decisions}, names


def _pick(upto: np.ndarray, rng: Random) -> int:
    """A place with probability proportional to its weight; `upto` are the sums of the weights up to each place."""
    return min(int(np.searchsorted(upto, rng.random() * upto[-1], side="right")), len(upto) - 1)
