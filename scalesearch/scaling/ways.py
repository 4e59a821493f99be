"""The ways to scale a network as a space: compound scaling is searched like anything else."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from math import log

from scalesearch.arch import Arch, expand, make_divisible, of_height
from scalesearch.counting import cost, possible_cost
from scalesearch.errors import InputError
from scalesearch.scaling.closed_loop import Scaled, Shares, rounded, scale_to
from scalesearch.scaling.multipliers import has_groups, quantum, resolution_step, widths

Decisions = dict[str, float]


class ScalingSpace:
    """The ways to grow `base` by `factor`: each a counted network, distinct ones only.

    Its decisions are decimals, the exponents of `factor` in α, β² and γ² under the names `depth`, `width` and
    `resolution`; their proportions are the shares of the growth. Where the base has group widths, `group` is a fourth:
    which part of the width's growth they take part in. `networks` are all that rounding gives within `tolerance` of the
    factor; any other point is brought onto the target by `scale_to`.
    """

    def __init__(self, base: Arch, factor: float = 2.0, tolerance: float = 0.02):
        self.base, self.factor, self.tolerance = base, factor, tolerance
        self.target = round(cost(base).macs * factor)
        self.axes = ("depth", "width", "resolution", *(("group",) if has_groups(base) else ()))
        self._solved: dict[tuple, Scaled] = {}

    @cached_property
    def networks(self) -> dict[str, Decisions]:
        """By digest, every distinct network that rounding multipliers of at least 1 gives within the tolerance."""
        return {digest: dict(point) for point, (digest, _) in self._exact.items()}

    @cached_property
    def _exact(self) -> dict[tuple, tuple[str, Scaled]]:
        """The digest and the network at every point that has one of its own."""
        found: dict[tuple, tuple[str, Scaled]] = {}
        seen: set[str] = set()

        def exponent(multiplier):
            return round(log(multiplier, self.factor), 6)

        for alpha, beta, group in self._depths_and_widths():
            for arch in self._resolutions_within(alpha, beta, group):
                digest, gamma = expand(arch).digest, arch.sides[0] / self.base.sides[0]
                if digest not in seen and max(alpha, beta, gamma) > 1:
                    seen.add(digest)
                    point = self._point(exponent(alpha), exponent(beta**2), exponent(gamma**2), float(group > 1))
                    found[_key(point)] = digest, Scaled(arch, cost(arch).macs, self.target, self.shares(point))
        return found

    def _depths_and_widths(self) -> Iterator[tuple[float, float, float]]:
        """α, β and the multiplier of group widths at which the rounding gives another network, up to the whole growth
        each."""
        alphas = self._alphas()
        specs = (*self.base.stem, *(stage.block for stage in self.base.stages), self.base.head)
        betas, most = {1.0}, self.factor**0.5
        for spec in specs:
            for width in widths(spec):
                step = quantum(spec)
                steps = range(width + step - width % step, int(width * most) + step, step)
                betas |= {
                    beta for rounded_to in steps if 1 < (beta := _first_multiplier(width, rounded_to, step)) <= most
                }
        for beta in sorted(betas):
            for alpha in alphas:
                yield alpha, beta, 1.0
                if "group" in self.axes and beta > 1:
                    yield alpha, beta, beta

    def _alphas(self) -> list[float]:
        """A depth multiplier, up to the whole growth, for every list of depths that the rounding gives: it gives
        another where the depth of a stage or the total crosses a step, or where two stages change places in who is
        rounded up."""
        depths = [stage.depth for stage in self.base.stages]
        inside = [n for stage in self.base.stages if isinstance(n := stage.block.get("repeats", 1), int)]
        apart = {abs(a - b) for a, b in itertools.combinations(depths, 2)} - {0}

        def steps(n, first):
            return ((k + first) / n for k in range(n, int(n * self.factor) + 1))

        edges = {
            1.0,
            self.factor,
            *(e for n in {*depths, *apart} for e in steps(n, 0)),
            *(e for n in {*inside, sum(depths)} for e in steps(n, 0.5)),
        }
        inner = sorted(e for e in edges if 1 <= e <= self.factor)
        tried = sorted([*inner, *((a + b) / 2 for a, b in itertools.pairwise(inner))])

        def layers(alpha):
            return [(s.depth, s.block.get("repeats", 1)) for s in rounded(self.base, alpha, 1.0, 1.0).stages]

        found: dict[str, float] = {}
        for alpha in tried:
            found.setdefault(str(layers(alpha)), alpha)
        return list(found.values())

    def _resolutions_within(self, alpha: float, beta: float, group: float) -> Iterator[Arch]:
        """The networks of these depths and widths within the tolerance: MACs grow with the resolution."""
        step = resolution_step(self.base)
        low, high = self.target * (1 - self.tolerance), self.target * (1 + self.tolerance)
        side = self.base.sides[0]
        most = int(side * self.factor**0.5 / step) * step
        sizes = range(side, most + 1, step)
        grown = rounded(self.base, alpha, beta, 1.0, group)

        def at(size):
            return grown.with_(resolution=of_height(self.base.resolution, size, step))

        def macs(size):
            return c.macs if (c := possible_cost(at(size))) else -1

        for size in sizes[bisect_left(sizes, low, key=macs) :]:
            if macs(size) > high:
                break
            yield at(size)

    def at(self, decisions: Decisions) -> Scaled:
        """The network at `{"depth": a, "width": b, "resolution": c}`. Raises `InputError` for an exponent below 0, or
        all of them 0."""
        key = _key(decisions)
        if key in self._exact:
            return self._exact[key][1]
        if key not in self._solved:
            self._solved[key] = scale_to(self.base, self.target, self.shares(decisions), self.tolerance)
        return self._solved[key]

    @staticmethod
    def shares(decisions: Decisions) -> Shares:
        """What the exponents of a point are of their sum. Raises `InputError` for an exponent below 0, or all of them
        0."""
        exponents, part = [decisions[axis] for axis in ("depth", "width", "resolution")], decisions.get("group", 0.0)
        if min(*exponents, part) < 0 or part > 1 or sum(exponents) <= 0:
            raise InputError(f"exponents must be at least 0 and not all 0, got {exponents}")
        depth, width, resolution = (exponent / sum(exponents) for exponent in exponents)
        return Shares(depth, width, resolution, part * width)

    def decisions_of(self, shares: Shares) -> Decisions:
        return self._point(
            shares.depth, shares.width, shares.resolution, shares.group / shares.width if shares.width else 0.0
        )

    def _point(self, *exponents: float) -> Decisions:
        return dict(zip(self.axes, exponents))


def _key(decisions: Decisions) -> tuple:
    return tuple(sorted(decisions.items()))


def _first_multiplier(width: int, rounded_to: int, step: int) -> float:
    """The least multiplier by which `width` is rounded to `rounded_to`, by bisection of the published rule."""
    low, high = (rounded_to - step) / width, (rounded_to + step) / width
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if make_divisible(width * middle, step) >= rounded_to else (middle, high)
    return high
