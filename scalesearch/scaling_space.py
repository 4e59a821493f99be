"""The ways to scale a network as a space: compound scaling is searched like anything else."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

from scalesearch.arch import Arch
from scalesearch.blocks.parts import make_divisible
from scalesearch.counting import cost, possible_cost
from scalesearch.errors import InputError
from scalesearch.expansion import expand
from scalesearch.scaling import Scaled, Shares, has_groups, quantum, resolution_step, rounded, scale_to, widths

Decisions = dict[str, float]


class ScalingSpace:
    """The ways to grow `base` by `factor`: points of the triangle of shares, each a counted network, distinct ones only.

    Its decisions are decimals, `depth` and `width`, the shares of the growth that go there; the rest is resolution's. Where
    the base has group widths, `group` is a third: which part of the width's growth they take part in. `networks` are all that
    land within `tolerance` of the factor; for any other point `at` closes the loop by `scale_to`.
    """

    def __init__(self, base: Arch, factor: float = 2.0, tolerance: float = 0.02):
        self.base, self.factor, self.tolerance = base, factor, tolerance
        self.target = round(cost(base).macs * factor)
        self.axes = ("depth", "width", "group") if has_groups(base) else ("depth", "width")
        self._solved: dict[Shares, Scaled] = {}

    @cached_property
    def networks(self) -> dict[str, Decisions]:
        """By digest, every distinct network that rounding multipliers of at least 1 gives within the tolerance."""
        found: dict[str, Decisions] = {}
        for alpha, beta, group in self._depths_and_widths():
            for arch in self._resolutions_within(alpha, beta, group):
                counted, digest = possible_cost(arch), expand(arch).digest
                gamma = arch.resolution / self.base.resolution
                if digest not in found and max(alpha, beta, gamma) > 1:
                    shares = Shares.of(alpha, beta, gamma)
                    part = (shares.width if group > 1 else 0.0)
                    decisions = self.decisions_of(Shares(round(shares.depth, 4), round(shares.width, 4), 0.0, round(part, 4)))
                    found[digest] = decisions
                    self._solved.setdefault(self.shares(decisions), Scaled(arch, counted.macs, self.target, shares))
        return found

    def _depths_and_widths(self) -> Iterator[tuple[float, float, float]]:
        """α, β and the multiplier of group widths at which the rounding gives another network, up to the whole growth each."""
        layers = sum(stage.depth for stage in self.base.stages)
        alphas = [1 + i / layers for i in range(int(layers * (self.factor - 1)) + 1)]
        specs = (*self.base.stem, *(stage.block for stage in self.base.stages), self.base.head)
        betas, most = {1.0}, self.factor**0.5 * 1.001
        for spec in specs:
            for width in widths(spec):
                step = quantum(spec)
                steps = range(width + step - width % step, int(width * most) + step, step)
                betas |= {beta for rounded_to in steps if 1 < (beta := _first_multiplier(width, rounded_to, step)) <= most}
        for beta in sorted(betas):
            for alpha in alphas:
                yield alpha, beta, 1.0
                if "group" in self.axes and beta > 1:
                    yield alpha, beta, beta

    def _resolutions_within(self, alpha: float, beta: float, group: float) -> Iterator[Arch]:
        """The networks of these depths and widths within the tolerance: MACs grow with the resolution."""
        step = resolution_step(self.base)
        low, high = self.target * (1 - self.tolerance), self.target * (1 + self.tolerance)
        most = int(self.base.resolution * self.factor**0.5 / step) * step
        sizes = range(self.base.resolution, most + 1, step)
        grown = rounded(self.base, alpha, beta, 1.0, group)
        macs = lambda size: c.macs if (c := possible_cost(grown.with_(resolution=size))) else -1
        for size in sizes[bisect_left(sizes, low, key=macs) :]:
            if macs(size) > high:
                break
            yield grown.with_(resolution=size)

    def at(self, decisions: Decisions) -> Scaled:
        """The network of `{"depth": a, "width": b}`, a + b ≤ 1. Raises `InputError` outside the triangle."""
        shares = self.shares(decisions)
        if shares not in self._solved:
            self._solved[shares] = scale_to(self.base, self.target, shares, self.tolerance)
        return self._solved[shares]

    @staticmethod
    def shares(decisions: Decisions) -> Shares:
        a, b, part = decisions["depth"], decisions["width"], decisions.get("group", 0.0)
        if min(a, b, part) < 0 or a + b > 1 + 1e-9 or part > 1:
            raise InputError(f"shares must be at least 0 and sum up to at most 1, got {a} and {b}")
        return Shares(a, b, max(0.0, 1 - a - b), part * b)

    def decisions_of(self, shares: Shares) -> Decisions:
        found = {"depth": shares.depth, "width": shares.width}
        if "group" in self.axes:
            found["group"] = min(1.0, shares.group / shares.width) if shares.width else 0.0
        return found

    def grid(self, steps: int = 12) -> Iterator[Decisions]:
        """The triangle's points at multiples of 1/`steps`, corners included."""
        for i in range(steps + 1):
            for j in range(steps + 1 - i):
                for part in (0.0, 1.0) if "group" in self.axes and j else (0.0,):
                    yield {"depth": i / steps, "width": j / steps} | ({"group": part} if "group" in self.axes else {})


def _first_multiplier(width: int, rounded_to: int, step: int) -> float:
    """The least multiplier by which `width` is rounded to `rounded_to`, by bisection of the published rule."""
    low, high = (rounded_to - step) / width, (rounded_to + step) / width
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if make_divisible(width * middle, step) >= rounded_to else (middle, high)
    return high
