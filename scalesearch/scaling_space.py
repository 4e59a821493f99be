"""The ways to scale a network as a space: compound scaling is searched like anything else."""

from __future__ import annotations

from collections.abc import Iterator

from scalesearch.arch import Arch
from scalesearch.counting import cost
from scalesearch.errors import InputError
from scalesearch.scaling import Scaled, Shares, has_groups, scale_to

GROUPS = (0.0, 1.0)  # of the width's share: group widths stay, or grow as the widths do


class ScalingSpace:
    """The ways to grow `base` by `factor`: points of the triangle of shares, each a counted network, distinct ones only.

    Its decisions are decimals, `depth` and `width`, the shares of the budget that go there; the rest is resolution's. Where
    the base has group widths, `group` is a third: which part of the width's growth they take part in. `at` closes the loop
    by `scale_to`.
    """

    def __init__(self, base: Arch, factor: float = 2.0, tolerance: float = 0.02):
        self.base, self.factor, self.tolerance = base, factor, tolerance
        self.target = round(cost(base).macs * factor)
        self.axes = ("depth", "width", "group") if has_groups(base) else ("depth", "width")
        self._solved: dict[Shares, Scaled] = {}

    def at(self, decisions: dict[str, float]) -> Scaled:
        """The network of `{"depth": a, "width": b}`, a + b ≤ 1. Raises `InputError` outside the triangle."""
        shares = self.shares(decisions)
        if shares not in self._solved:
            self._solved[shares] = scale_to(self.base, self.target, shares, self.tolerance)
        return self._solved[shares]

    @staticmethod
    def shares(decisions: dict[str, float]) -> Shares:
        a, b, part = decisions["depth"], decisions["width"], decisions.get("group", 0.0)
        if min(a, b, part) < 0 or a + b > 1 + 1e-9 or part > 1:
            raise InputError(f"shares must be at least 0 and sum up to at most 1, got {a} and {b}")
        return Shares(a, b, max(0.0, 1 - a - b), part * b)

    def decisions_of(self, shares: Shares) -> dict[str, float]:
        found = {"depth": shares.depth, "width": shares.width}
        if "group" in self.axes:
            found["group"] = shares.group / shares.width if shares.width else 0.0
        return found

    def grid(self, steps: int = 12) -> Iterator[dict[str, float]]:
        """The triangle's points at multiples of 1/`steps`, corners included."""
        for i in range(steps + 1):
            for j in range(steps + 1 - i):
                for part in GROUPS if "group" in self.axes and j else (0.0,):
                    yield {"depth": i / steps, "width": j / steps} | ({"group": part} if "group" in self.axes else {})
