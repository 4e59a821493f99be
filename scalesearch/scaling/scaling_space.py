"""The scalings of a network as a search space: compound scaling is searched like anything else."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from math import inf, log

from scalesearch.arch import ARCH_WANTED, Arch, expand, make_divisible, with_height
from scalesearch.counting import cost, cost_or_none
from scalesearch.errors import InputError, check_kind, format_value
from scalesearch.scaling.closed_loop import ScaledArch, Shares, scale_rounding_total, scale_to
from scalesearch.scaling.multipliers import has_groups, resolution_step, width_step, widths

Point = tuple[tuple[str, float], ...]  # exponents of the axes by name, or rounded

Decisions = dict[str, float]


class ScalingSpace:
    """The space of scalings of `base` whose counted MACs grow by `factor`.

    Decisions are the exponents of `factor` in α, β² and γ², named `depth`, `width` and `resolution`; their
    proportions are the shares of the growth. Where the base has group widths, `group` is a fourth decision in [0,
    1]: how far they follow the growth of the width. `networks` holds every network that rounding gives within
    `tolerance` of the target; any other point is brought to the target by `scale_to`.

    Args:
        base: The network to scale.
        factor: The growth of the MACs.
        tolerance: Accepted deviation of the MACs, as a share of the target.
    """

    def __init__(self, base: Arch, factor: float = 2.0, tolerance: float = 0.02):
        check_kind(base, Arch, ARCH_WANTED, "base")
        if not isinstance(factor, (int, float)) or not 0 < factor < inf:
            raise InputError(f"takes a number above 0, got {format_value(factor)}", "factor")
        self.base, self.factor, self.tolerance = base, factor, tolerance
        self.target = round(cost(base).macs * factor)
        self.axes = ("depth", "width", "resolution", *(("group",) if has_groups(base) else ()))
        self._cache: dict[Point, ScaledArch] = {}

    @cached_property
    def networks(self) -> dict[str, Decisions]:
        """Returns the decisions of every distinct network that rounding gives within the tolerance, by digest.

        Multipliers of at least 1 are rounded, so no axis shrinks.
        """
        return {digest: dict(point) for point, (digest, _) in self._rounded_points.items()}

    @cached_property
    def _rounded_points(self) -> dict[Point, tuple[str, ScaledArch]]:
        """Returns the digest and the network of every point in `networks`, by its decisions."""
        points: dict[Point, tuple[str, ScaledArch]] = {}
        seen: set[str] = set()

        def exponent(multiplier: float) -> float:
            return round(log(multiplier, self.factor), 6)

        for alpha, beta, group in self._depths_and_widths():
            for arch in self._resolutions_within(alpha, beta, group):
                digest, gamma = expand(arch).digest, arch.sides[0] / self.base.sides[0]
                if digest not in seen and max(alpha, beta, gamma) > 1:
                    seen.add(digest)
                    point = self._point(exponent(alpha), exponent(beta**2), exponent(gamma**2), float(group > 1))
                    points[_key(point)] = digest, ScaledArch(arch, cost(arch).macs, self.target, self.shares(point))
        return points

    def _depths_and_widths(self) -> Iterator[tuple[float, float, float]]:
        """Yields every α, β and group multiplier at which rounding gives another network, up to the whole growth."""
        alphas = self._alphas()
        specs = (*self.base.stem, *(stage.block for stage in self.base.stages), self.base.head)
        betas, max_beta = {1.0}, self.factor**0.5
        for spec in specs:
            for width in widths(spec):
                step = width_step(spec)
                steps = range(width + step - width % step, int(width * max_beta) + step, step)
                betas |= {
                    beta for rounded_to in steps if 1 < (beta := _first_multiplier(width, rounded_to, step)) <= max_beta
                }
        for beta in sorted(betas):
            for alpha in alphas:
                yield alpha, beta, 1.0
                if "group" in self.axes and beta > 1:
                    yield alpha, beta, beta

    def _alphas(self) -> list[float]:
        """Returns one depth multiplier, up to the whole growth, for every list of depths that rounding can give.

        The list changes where the depth of a stage or the total crosses a rounding step, or where two stages swap
        their order in which is rounded up.
        """
        depths = [stage.depth for stage in self.base.stages]
        inner_repeats = [n for stage in self.base.stages if isinstance(n := stage.block.get("repeats", 1), int)]
        depth_gaps = {abs(a - b) for a, b in itertools.combinations(depths, 2)} - {0}

        def steps(n: int, offset: float) -> Iterator[float]:
            return ((k + offset) / n for k in range(n, int(n * self.factor) + 1))

        edges = {
            1.0,
            self.factor,
            *(e for n in {*depths, *depth_gaps} for e in steps(n, 0)),
            *(e for n in {*inner_repeats, sum(depths)} for e in steps(n, 0.5)),
        }
        inner = sorted(e for e in edges if 1 <= e <= self.factor)
        candidates = sorted([*inner, *((a + b) / 2 for a, b in itertools.pairwise(inner))])
        alpha_by_depths: dict[str, float] = {}
        for alpha in candidates:
            stages = scale_rounding_total(self.base, alpha, 1.0, 1.0).stages
            alpha_by_depths.setdefault(str([(s.depth, s.block.get("repeats", 1)) for s in stages]), alpha)
        return list(alpha_by_depths.values())

    def _resolutions_within(self, alpha: float, beta: float, group: float) -> Iterator[Arch]:
        """Yields the networks of these depths and widths that are within the tolerance.

        MACs grow with the resolution, so the smallest is found by bisection.
        """
        step = resolution_step(self.base)
        low, high = self.target * (1 - self.tolerance), self.target * (1 + self.tolerance)
        side = self.base.sides[0]
        max_side = int(side * self.factor**0.5 / step) * step
        sizes = range(side, max_side + 1, step)
        scaled = scale_rounding_total(self.base, alpha, beta, 1.0, group)

        def arch_at(size: int) -> Arch:
            return scaled.with_(resolution=with_height(self.base.resolution, size, step))

        def macs(size: int) -> int:
            return c.macs if (c := cost_or_none(arch_at(size))) else -1

        for size in sizes[bisect_left(sizes, low, key=macs) :]:
            if macs(size) > high:
                break
            yield arch_at(size)

    def at(self, decisions: Decisions) -> ScaledArch:
        """Returns the network at `decisions`, such as `{"depth": a, "width": b, "resolution": c}`.

        Raises:
            InputError: If an exponent is below 0, or all are 0.
        """
        key = _key(decisions)
        if key in self._rounded_points:
            return self._rounded_points[key][1]
        if key not in self._cache:
            self._cache[key] = scale_to(self.base, self.target, self.shares(decisions), self.tolerance)
        return self._cache[key]

    @staticmethod
    def shares(decisions: Decisions) -> Shares:
        """Returns the shares of growth at a point: its exponents divided by their sum.

        Raises:
            InputError: If an exponent is below 0, all are 0, or `group` is above 1.
        """
        exponents = [decisions[axis] for axis in ("depth", "width", "resolution")]
        group_share = decisions.get("group", 0.0)
        if min(*exponents, group_share) < 0 or group_share > 1 or sum(exponents) <= 0:
            raise InputError(f"exponents must be at least 0 and not all 0, got {exponents}")
        depth, width, resolution = (exponent / sum(exponents) for exponent in exponents)
        return Shares(depth, width, resolution, group_share * width)

    def decisions_of(self, shares: Shares) -> Decisions:
        """Returns the point with these shares: the inverse of `shares`."""
        group_share = shares.group / shares.width if shares.width else 0.0
        return self._point(shares.depth, shares.width, shares.resolution, group_share)

    def _point(self, *exponents: float) -> Decisions:
        return dict(zip(self.axes, exponents))


def _key(decisions: Decisions) -> Point:
    return tuple(sorted(decisions.items()))


def _first_multiplier(width: int, rounded_to: int, step: int) -> float:
    """Returns the least multiplier that rounds `width` to `rounded_to`, by bisection of the published rule."""
    low, high = (rounded_to - step) / width, (rounded_to + step) / width
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if make_divisible(width * middle, step) >= rounded_to else (middle, high)
    return high
