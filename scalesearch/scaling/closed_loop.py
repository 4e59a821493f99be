"""Compound scaling in a closed loop: the network of given shares of growth whose counted MACs meet a target."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from scalesearch.arch import Arch, of_height, sized
from scalesearch.counting import cost, possible_cost
from scalesearch.errors import InputError, shown, unknown
from scalesearch.scaling.multipliers import (
    MOST_FACTOR,
    QUANTUM,
    deepen,
    depth_is_inside,
    quantum,
    repeats,
    resolution_step,
    scale,
    widths,
    with_widths,
)

MOST_RESOLUTION = 8_192
MOST_LISTS, NEAREST_LISTS = 200_000, 8  # of depths


class Shares(NamedTuple):
    """How a growth of the budget is shared out: depth + width + resolution = 1.

    A growth of `factor` gives α = factor^depth, β = factor^(width/2), γ = factor^(resolution/2), so that α·β²·γ² =
    `factor` by construction (Tan & Le 2019, eq. 3, where `factor` is 2). Where there are groups, their width grows by
    factor^(group/2), beside the others (Dollár et al. 2021, who let it grow as the width does).
    """

    depth: float
    width: float
    resolution: float
    group: float = 0.0

    def multipliers(self, factor: float = 2.0) -> tuple[float, float, float]:
        """α, β, γ: the multipliers of depth, width and resolution."""
        return factor**self.depth, factor ** (self.width / 2), factor ** (self.resolution / 2)

    def of_groups(self, factor: float = 2.0) -> float:
        """The multiplier of the group width."""
        return factor ** (self.group / 2)

    @classmethod
    def of(cls, alpha: float, beta: float, gamma: float) -> Shares:
        """The shares of given coefficients, brought onto the surface α·β²·γ² = factor by stretching their logarithms.

        Raises `InputError` for coefficients below 1 or all equal to 1.
        """
        logs = math.log(alpha), 2 * math.log(beta), 2 * math.log(gamma)
        if min(logs) < 0 or sum(logs) <= 0:
            raise InputError(f"coefficients must be at least 1 and not all 1, got {alpha}, {beta}, {gamma}")
        return cls(*(part / sum(logs) for part in logs))


PRESETS = {
    "efficientnet": Shares.of(1.2, 1.1, 1.15),
    "depth": Shares(1.0, 0.0, 0.0),
    "width": Shares(0.0, 1.0, 0.0),
    "resolution": Shares(0.0, 0.0, 1.0),
    "uniform": Shares(1 / 3, 1 / 3, 1 / 3),
    "fast": Shares(0.1, 0.8, 0.1, 0.8),  # dWr (Dollár et al. 2021): activations grow least, and so does the time taken
}


@dataclass(frozen=True)
class Scaled:
    """A network scaled to a target: what it is, what it counts, and how far that is from what was asked."""

    arch: Arch
    macs: int
    target: int
    shares: Shares
    tried: int = 1  # distinct networks that were counted around the target

    def miss(self, tolerance: float) -> str:
        """Why the network is not within `tolerance` of the target, or nothing."""
        if abs(self.deviation) <= tolerance:
            return ""
        named = zip(("depth", "width", "resolution"), self.shares)
        axes = " and ".join(name for name, share in named if share) or "no axis"
        tried = f"none of {self.tried:,} networks around the target is" if self.tried > 1 else "it is not"
        return (
            f"{tried} within {tolerance:.1%}: the steps of {axes} are too coarse here; "
            f"the nearest has {self.macs:,} MACs ({self.deviation:+.2%})"
        )

    @property
    def deviation(self) -> float:
        """Signed, as a share of the target."""
        return self.macs / self.target - 1


def scale_to(base: Arch, target: int, shares: Shares | str, tolerance: float = 0.02) -> Scaled:
    """`base` grown (or shrunk) along `shares` (or a preset's name) to a network whose counted MACs are within
    `tolerance` of `target`.

    The multipliers are stretched by a common exponent and rounded (`rounded`); single steps (a layer in one stage, 8
    channels in one width, a pixel) along the axes that have a share bring near misses nearer; then the axes go each at
    its own pace. Of the first networks inside the tolerance the one truest to the shares is taken; where there is none,
    the one nearest the target.
    """
    if isinstance(shares, str):
        if shares not in PRESETS:
            raise InputError(unknown("preset", shares, PRESETS), "shares")
        shares = PRESETS[shares]
    if not isinstance(target, (int, float)) or not 0 < target < math.inf:
        raise InputError(f"takes a number of MACs, got {shown(target)}", "target")
    factor = target / cost(base).macs
    if not 1 / MOST_FACTOR <= factor <= MOST_FACTOR:
        raise InputError(
            f"{target:,} MACs are {factor:.3g} times those of {base.name}; between 1/{MOST_FACTOR} and "
            f"{MOST_FACTOR} times "
            "are taken"
        )
    found: dict[Arch, Scaled] = {}
    for widen_search in (_along, _steps_from, _lattice, _steps_from, _two_steps_from, _depth_lists):
        for arch in widen_search(base, shares, factor, list(found.values())):
            if arch not in found and max(arch.sides) <= MOST_RESOLUTION and (macs := _macs(arch)) is not None:
                found[arch] = Scaled(arch, macs, target, shares)
        inside = [s for s in found.values() if abs(s.deviation) <= tolerance]
        if inside:
            return replace(min(inside, key=lambda s: _untruth(s, base, factor)), tried=len(found))
    if not found:
        raise InputError(
            f"{base.name} cannot be scaled to {target:,} MACs: its resolution {sized(base.resolution)} "
            "becomes too small for its strides"
        )
    return replace(min(found.values(), key=lambda s: (abs(s.deviation), _untruth(s, base, factor))), tried=len(found))


def realised(arch: Arch, base: Arch) -> tuple[float, float, float]:
    """The multipliers that the rounding left: layers, geometric mean of widths, resolution, each over the base's."""
    layers = sum(s.depth for s in arch.stages) / sum(s.depth for s in base.stages)
    ratios = [
        math.log(w / v) for s, t in zip(arch.stages, base.stages) for w, v in zip(widths(s.block), widths(t.block))
    ]
    return layers, math.exp(sum(ratios) / max(1, len(ratios))), arch.sides[0] / base.sides[0]


def _untruth(scaled: Scaled, base: Arch, factor: float) -> float:
    """How far the realised multipliers are from the nominal ones, in logarithms weighed by their part of the cost."""
    pairs = zip(realised(scaled.arch, base), scaled.shares.multipliers(factor), (1, 2, 2))
    return sum((weight * math.log(real / nominal)) ** 2 for real, nominal, weight in pairs)


def rounded(base: Arch, alpha: float, beta: float, gamma: float, group: float = 1.0) -> Arch:
    """Scaled with widths and resolution as in `scale`, and depths so that the *total* of layers is rounded once.

    Rounding every stage up, as published, turns any α above 1 into a doubling where stages are one layer deep.
    """
    scaled = scale(base, width=beta, resolution=gamma, group=group)
    pinned = [depth_is_inside(base) or not repeats(stage) for stage in base.stages]
    wanted = [float(stage.depth) if pin else stage.depth * alpha for stage, pin in zip(base.stages, pinned)]
    depths = [max(1, math.floor(d)) for d in wanted]
    short = round(sum(wanted)) - sum(depths)
    order = sorted(range(len(depths)), key=lambda i: depths[i] - wanted[i])
    for i in order[: max(0, short)]:
        depths[i] += 1
    deeper = (replace(s, depth=d, block=deepen(s.block, alpha)) for s, d in zip(scaled.stages, depths, strict=True))
    return scaled.with_(stages=tuple(deeper))


def _macs(arch: Arch) -> int | None:
    """Counted MACs, or None where the shapes no longer meet."""
    counted = possible_cost(arch)
    return counted and counted.macs


def _along(base: Arch, shares: Shares, factor: float, found: list[Scaled]) -> Iterator[Arch]:
    """The networks met while the exponent of the multipliers runs from half to twice the nominal."""
    for i in range(97):
        grown = factor ** (0.5 + i / 64)
        yield rounded(base, *shares.multipliers(grown), shares.of_groups(grown))


def _lattice(base: Arch, shares: Shares, factor: float, found: list[Scaled]) -> Iterator[Arch]:
    """Every axis that has a share at its own pace, from the base to all the growth on that axis alone.

    Where one step of an axis is a leap (a pixel more than a multiple of the total stride), no common exponent will do.
    """
    most = Shares(1, 1, 1).multipliers(factor)
    alphas, betas, gammas = (
        _evenly(high, count) if share else [1.0] for high, share, count in zip(most, shares, (9, 25, 17))
    )
    for alpha, beta, gamma in itertools.product(alphas, betas, gammas):
        yield rounded(base, alpha, beta, gamma, shares.of_groups(factor))


def _evenly(high: float, count: int) -> list[float]:
    return [high ** (i / (count - 1)) for i in range(count)]


def _steps_from(base: Arch, shares: Shares, factor: float, found: list[Scaled], steps: int = 1) -> Iterator[Arch]:
    """Networks `steps` single steps from the nearest found, the first towards the target, none back past the base."""
    moves = list(_moves(shares, base))
    for start in sorted(found, key=lambda s: abs(s.deviation))[:4]:
        towards = 1 if start.deviation < 0 else -1
        for chosen in itertools.product(moves, repeat=steps):
            for directions in itertools.product((towards,), *[(1, -1)] * (steps - 1)):
                stepped: Arch | None = start.arch
                for move, direction in zip(chosen, directions):
                    stepped = stepped and _step(stepped, move, direction)
                if stepped is not None and _outward(stepped, base, factor):
                    yield stepped


def _two_steps_from(base: Arch, shares: Shares, factor: float, found: list[Scaled]) -> Iterator[Arch]:
    return _steps_from(base, shares, factor, found, steps=2)


def _depth_lists(base: Arch, shares: Shares, factor: float, found: list[Scaled]) -> Iterator[Arch]:
    """Where depth alone may grow or shrink: of all lists of depths those nearest the target, as far as they can be
    listed. Every layer after a stage's first costs the same, so lists are told from one another by adding up."""
    if not shares.depth or shares.width or shares.resolution or depth_is_inside(base):
        return
    free = [i for i, stage in enumerate(base.stages) if repeats(stage)]

    def deeper(i):
        return tuple(replace(s, depth=s.depth + (i == j)) for j, s in enumerate(base.stages))

    each = {i: cost(base.with_(stages=deeper(i))).macs - cost(base).macs for i in free}
    free = sorted((i for i in free if each[i]), key=each.__getitem__, reverse=True)
    wanted = round(cost(base).macs * (factor - 1))

    def changes(places: list[int], left: int) -> Iterator[tuple[int, ...]]:
        if not places:
            yield ()
            return
        here, *others = places
        most = left // each[here] + 1 if factor >= 1 else base.stages[here].depth - 1
        rest = round(left / each[here]) if factor >= 1 else min(most, round(left / each[here]))
        for n in [max(0, rest)] if not others else range(max(0, most) + 1):
            if factor >= 1 and n * each[here] > left * 1.05 + each[here]:
                break
            yield from ((n, *more) for more in changes(others, max(0, left - n * each[here])))

    sign = 1 if factor >= 1 else -1
    listed = itertools.islice(changes(free, abs(wanted)), MOST_LISTS)

    def off(change):
        return abs(sum(n * each[i] for i, n in zip(free, change)) - abs(wanted))

    for change in heapq.nsmallest(NEAREST_LISTS, listed, key=off):
        more = dict(zip(free, change))
        stages = (replace(s, depth=s.depth + sign * more.get(i, 0)) for i, s in enumerate(base.stages))
        yield base.with_(stages=tuple(stages))


def _moves(shares: Shares, arch: Arch) -> Iterator[tuple[str, int]]:
    if shares.depth and not depth_is_inside(arch):
        yield from (("depth", i) for i, stage in enumerate(arch.stages) if repeats(stage))
    if shares.width:
        yield from (("stem", i) for i in range(len(arch.stem)))
        yield from (("width", i) for i in range(len(arch.stages)))
        yield "head", 0
    if shares.resolution:
        yield "resolution", 0


def _step(arch: Arch, move: tuple[str, int], direction: int) -> Arch | None:
    """One step of one leaf; None where it would leave what is possible."""
    kind, i = move

    def more(width):
        return width + direction * QUANTUM

    if kind == "resolution":
        step = resolution_step(arch)
        side = arch.sides[0] + direction * step
        return arch.with_(resolution=of_height(arch.resolution, side, step)) if side > 0 else None
    if kind in ("stem", "head"):
        part = arch.stem[i] if kind == "stem" else arch.head
        if any(width + direction * QUANTUM < QUANTUM for width in widths(part)) or not widths(part):
            return None
        if kind == "head":
            return arch.with_(head=with_widths(part, more))
        return arch.with_(stem=(*arch.stem[:i], with_widths(part, more), *arch.stem[i + 1 :]))
    stage = arch.stages[i]
    if kind == "depth":
        depth = stage.depth + direction
        changed = replace(stage, depth=depth) if depth >= 1 else None
    else:
        step = quantum(stage.block)
        fits = all(width + direction * step >= step for width in widths(stage.block))
        changed = (
            replace(stage, block=with_widths(stage.block, lambda width: width + direction * step)) if fits else None
        )
    return None if changed is None else arch.with_(stages=(*arch.stages[:i], changed, *arch.stages[i + 1 :]))


def _outward(arch: Arch, base: Arch, factor: float) -> bool:
    """A grown network has no stage shallower or narrower than the base's; a shrunk one none deeper or wider."""
    pairs = list(zip(arch.sides, base.sides))
    for stage, before in zip(arch.stages, base.stages):
        pairs.append((stage.depth, before.depth))
        pairs += zip(widths(stage.block), widths(before.block))
    return all(a >= b if factor >= 1 else a <= b for a, b in pairs)
