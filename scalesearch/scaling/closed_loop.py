"""Closed-loop compound scaling: finds a network with given shares of growth whose counted MACs meet a target."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

from scalesearch.arch import Arch, BlockSpec, Stage, format_sides, with_height
from scalesearch.counting import cost, cost_or_none
from scalesearch.errors import InputError, format_value, unknown_message
from scalesearch.scaling.multipliers import (
    MOST_FACTOR,
    QUANTUM,
    deepen,
    depth_is_within_blocks,
    is_repeatable,
    resolution_step,
    scale,
    width_step,
    widths,
    with_widths,
)

MOST_RESOLUTION = 8_192
MOST_LISTS, NEAREST_LISTS = 200_000, 8  # of depths


class Shares(NamedTuple):
    """Says how a growth of the MACs is shared between depth, width and resolution, which sum to 1.

    A growth by `factor` gives α = factor^depth, β = factor^(width/2), γ = factor^(resolution/2), so that α·β²·γ²
    = `factor` by construction (Tan & Le 2019, eq. 3, where `factor` is 2). The width of groups, where there are
    any, grows by factor^(group/2), in addition to the others (Dollár et al. 2021, who let it grow as the width
    does).
    """

    depth: float
    width: float
    resolution: float
    group: float = 0.0

    def multipliers(self, factor: float = 2.0) -> tuple[float, float, float]:
        """Returns α, β, γ: the multipliers of depth, width and resolution."""
        return factor**self.depth, factor ** (self.width / 2), factor ** (self.resolution / 2)

    def group_multiplier(self, factor: float = 2.0) -> float:
        """Returns the multiplier of the group width."""
        return cast(float, factor ** (self.group / 2))

    @classmethod
    def from_coefficients(cls, alpha: float, beta: float, gamma: float) -> Shares:
        """Returns the shares of coefficients α, β, γ.

        They are log α, 2 log β and 2 log γ, scaled to sum to 1.

        Raises:
            InputError: If a coefficient is below 1, or all are 1.
        """
        logs = math.log(alpha), 2 * math.log(beta), 2 * math.log(gamma)
        if min(logs) < 0 or sum(logs) <= 0:
            raise InputError(f"coefficients must be at least 1 and not all 1, got {alpha}, {beta}, {gamma}")
        return cls(*(part / sum(logs) for part in logs))


PRESETS = {
    "efficientnet": Shares.from_coefficients(1.2, 1.1, 1.15),
    "depth": Shares(1.0, 0.0, 0.0),
    "width": Shares(0.0, 1.0, 0.0),
    "resolution": Shares(0.0, 0.0, 1.0),
    "uniform": Shares(1 / 3, 1 / 3, 1 / 3),
    "fast": Shares(0.1, 0.8, 0.1, 0.8),  # dWr (Dollár et al. 2021): activations grow least, and so does the time taken
}


@dataclass(frozen=True)
class ScaledArch:
    """Holds a network scaled to a target, its counted MACs, the target and the shares of growth."""

    arch: Arch
    macs: int
    target: int
    shares: Shares
    n_candidates: int = 1  # distinct networks that were counted around the target

    def miss(self, tolerance: float) -> str:
        """Returns why the network is not within `tolerance` (a share) of the target; empty if it is."""
        if abs(self.deviation) <= tolerance:
            return ""
        by_axis = zip(("depth", "width", "resolution"), self.shares)
        axes = " and ".join(name for name, share in by_axis if share) or "no axis"
        several = f"none of {self.n_candidates:,} networks around the target is"
        reason = several if self.n_candidates > 1 else "it is not"
        return (
            f"{reason} within {tolerance:.1%}: the steps of {axes} are too coarse here; "
            f"the nearest has {self.macs:,} MACs ({self.deviation:+.2%})"
        )

    @property
    def deviation(self) -> float:
        """Returns how far the MACs are from the target, signed, as a share of the target."""
        return self.macs / self.target - 1


def scale_to(base: Arch, target: int, shares: Shares | str, tolerance: float = 0.02) -> ScaledArch:
    """Scales `base` up or down to a network whose counted MACs are within `tolerance` of `target`.

    The multipliers are stretched by a common exponent and rounded (`scale_rounding_total`). If that misses the
    target, single steps (a layer in one stage, 8 channels in one width, one step of resolution) on the axes with
    a share bring near misses nearer; then each axis grows by an exponent of its own. Of the first candidates
    within the tolerance, the one truest to the shares is returned; if no strategy finds any, the one nearest the
    target.

    Args:
        base: The network to scale.
        target: MACs for one image.
        shares: How the growth is shared, or the name of a preset in `PRESETS`.
        tolerance: Accepted deviation, as a share of `target`.

    Raises:
        InputError: If `shares` is no preset, `target` no positive number, the growth not within a factor of
            `MOST_FACTOR`, or every candidate too small for its strides.
    """
    if isinstance(shares, str):
        if shares not in PRESETS:
            raise InputError(unknown_message("preset", shares, PRESETS), "shares")
        shares = PRESETS[shares]
    if not isinstance(target, (int, float)) or not 0 < target < math.inf:
        raise InputError(f"takes a number of MACs, got {format_value(target)}", "target")
    factor = target / cost(base).macs
    if not 1 / MOST_FACTOR <= factor <= MOST_FACTOR:
        raise InputError(
            f"{target:,} MACs are {factor:.3g} times those of {base.name}; "
            f"takes a factor between 1/{MOST_FACTOR} and {MOST_FACTOR}"
        )
    scaled_by_arch: dict[Arch, ScaledArch] = {}
    for strategy in (_common_exponents, _steps_from, _exponent_grid, _steps_from, _two_steps_from, _depth_lists):
        for arch in strategy(base, shares, factor, list(scaled_by_arch.values())):
            if arch in scaled_by_arch or max(arch.sides) > MOST_RESOLUTION:
                continue
            if (counted := cost_or_none(arch)) is not None:
                scaled_by_arch[arch] = ScaledArch(arch, counted.macs, target, shares)
        within = [s for s in scaled_by_arch.values() if abs(s.deviation) <= tolerance]
        if within:
            truest = min(within, key=lambda s: _deviation_from_shares(s, base, factor))
            return replace(truest, n_candidates=len(scaled_by_arch))
    if not scaled_by_arch:
        raise InputError(
            f"{base.name} cannot be scaled to {target:,} MACs: its resolution {format_sides(base.resolution)} "
            "becomes too small for its strides"
        )
    nearest = min(scaled_by_arch.values(), key=lambda s: (abs(s.deviation), _deviation_from_shares(s, base, factor)))
    return replace(nearest, n_candidates=len(scaled_by_arch))


def realised_multipliers(arch: Arch, base: Arch) -> tuple[float, float, float]:
    """Returns the multipliers of depth, width and resolution that remain after rounding.

    These are the ratios to `base` of the total layers, the geometric mean of the widths, and the height of the
    input.
    """
    layers = sum(s.depth for s in arch.stages) / sum(s.depth for s in base.stages)
    ratios = [
        math.log(w / v) for s, t in zip(arch.stages, base.stages) for w, v in zip(widths(s.block), widths(t.block))
    ]
    return layers, math.exp(sum(ratios) / max(1, len(ratios))), arch.sides[0] / base.sides[0]


def _deviation_from_shares(scaled: ScaledArch, base: Arch, factor: float) -> float:
    """Returns the distance of the realised multipliers from the nominal ones.

    It is the sum of the squared log ratios, each weighted by its effect on MACs (depth 1, width and resolution
    2).
    """
    pairs = zip(realised_multipliers(scaled.arch, base), scaled.shares.multipliers(factor), (1, 2, 2))
    return sum((weight * math.log(real / nominal)) ** 2 for real, nominal, weight in pairs)


def scale_rounding_total(base: Arch, alpha: float, beta: float, gamma: float, group: float = 1.0) -> Arch:
    """Scales widths and resolution as `scale` does, and depths so that only the total of layers is rounded.

    Rounding every stage up, as published, turns any α above 1 into a doubling where stages are one layer deep.

    Args:
        base: The network to scale.
        alpha: Multiplier of the depth.
        beta: Multiplier of the widths.
        gamma: Multiplier of the resolution.
        group: Multiplier of the group widths.
    """
    scaled = scale(base, width=beta, resolution=gamma, group=group)
    inside_blocks = depth_is_within_blocks(base)
    is_fixed = [inside_blocks or not is_repeatable(stage) for stage in base.stages]
    exact_depths = [float(stage.depth) if fixed else stage.depth * alpha for stage, fixed in zip(base.stages, is_fixed)]
    depths = [max(1, math.floor(d)) for d in exact_depths]
    missing = round(sum(exact_depths)) - sum(depths)
    order = sorted(range(len(depths)), key=lambda i: depths[i] - exact_depths[i])
    for i in order[: max(0, missing)]:
        depths[i] += 1
    deeper = (replace(s, depth=d, block=deepen(s.block, alpha)) for s, d in zip(scaled.stages, depths, strict=True))
    return scaled.with_(stages=tuple(deeper))


def _common_exponents(base: Arch, shares: Shares, factor: float, candidates: list[ScaledArch]) -> Iterator[Arch]:
    """Yields the networks whose multipliers share an exponent between half and twice the nominal one."""
    for i in range(97):
        growth = factor ** (0.5 + i / 64)
        yield scale_rounding_total(base, *shares.multipliers(growth), shares.group_multiplier(growth))


def _exponent_grid(base: Arch, shares: Shares, factor: float, candidates: list[ScaledArch]) -> Iterator[Arch]:
    """Yields networks in which every axis with a share grows by an exponent of its own, from none to all.

    This is needed where one step of an axis changes the MACs a lot (a resolution that must be a multiple of the
    total stride), so that no common exponent meets the target.
    """
    max_multipliers = Shares(1, 1, 1).multipliers(factor)
    alphas, betas, gammas = (
        [high ** (i / (count - 1)) for i in range(count)] if share else [1.0]
        for high, share, count in zip(max_multipliers, shares, (9, 25, 17))
    )
    for alpha, beta, gamma in itertools.product(alphas, betas, gammas):
        yield scale_rounding_total(base, alpha, beta, gamma, shares.group_multiplier(factor))


def _steps_from(
    base: Arch, shares: Shares, factor: float, candidates: list[ScaledArch], steps: int = 1
) -> Iterator[Arch]:
    """Yields networks `steps` single steps away from the nearest candidates.

    The first step goes towards the target; none goes back past the base.
    """
    moves = list(_moves(shares, base))
    for start in sorted(candidates, key=lambda s: abs(s.deviation))[:4]:
        towards = 1 if start.deviation < 0 else -1
        for combination in itertools.product(moves, repeat=steps):
            for directions in itertools.product((towards,), *[(1, -1)] * (steps - 1)):
                candidate: Arch | None = start.arch
                for move, direction in zip(combination, directions):
                    candidate = candidate and _step(candidate, move, direction)
                if candidate is not None and _keeps_direction(candidate, base, factor):
                    yield candidate


def _two_steps_from(base: Arch, shares: Shares, factor: float, candidates: list[ScaledArch]) -> Iterator[Arch]:
    return _steps_from(base, shares, factor, candidates, steps=2)


def _depth_lists(base: Arch, shares: Shares, factor: float, candidates: list[ScaledArch]) -> Iterator[Arch]:
    """Yields the lists of depths nearest the target, where depth is the only axis with a share.

    Every layer after a stage's first costs the same, so the MACs of a list are a sum; at most `MOST_LISTS` are
    compared.
    """
    if not shares.depth or shares.width or shares.resolution or depth_is_within_blocks(base):
        return
    free_stages = [i for i, stage in enumerate(base.stages) if is_repeatable(stage)]

    def deeper(i: int) -> tuple[Stage, ...]:
        return tuple(replace(s, depth=s.depth + (i == j)) for j, s in enumerate(base.stages))

    macs_per_layer = {i: cost(base.with_(stages=deeper(i))).macs - cost(base).macs for i in free_stages}
    free_stages = sorted((i for i in free_stages if macs_per_layer[i]), key=macs_per_layer.__getitem__, reverse=True)
    macs_change = round(cost(base).macs * (factor - 1))

    def changes(places: list[int], remaining: int) -> Iterator[tuple[int, ...]]:
        if not places:
            yield ()
            return
        first, *others = places
        max_layers = remaining // macs_per_layer[first] + 1 if factor >= 1 else base.stages[first].depth - 1
        nearest = min(max_layers, round(remaining / macs_per_layer[first]))
        for n in [max(0, nearest)] if not others else range(max(0, max_layers) + 1):
            if factor >= 1 and n * macs_per_layer[first] > remaining * 1.05 + macs_per_layer[first]:
                break
            yield from ((n, *tail) for tail in changes(others, max(0, remaining - n * macs_per_layer[first])))

    sign = 1 if factor >= 1 else -1
    depth_changes = itertools.islice(changes(free_stages, abs(macs_change)), MOST_LISTS)

    def distance(change: Sequence[int]) -> float:
        return abs(sum(n * macs_per_layer[i] for i, n in zip(free_stages, change)) - abs(macs_change))

    for change in heapq.nsmallest(NEAREST_LISTS, depth_changes, key=distance):
        change_by_stage = dict(zip(free_stages, change))
        stages = (replace(s, depth=s.depth + sign * change_by_stage.get(i, 0)) for i, s in enumerate(base.stages))
        yield base.with_(stages=tuple(stages))


def _moves(shares: Shares, arch: Arch) -> Iterator[tuple[str, int]]:
    if shares.depth and not depth_is_within_blocks(arch):
        yield from (("depth", i) for i, stage in enumerate(arch.stages) if is_repeatable(stage))
    if shares.width:
        yield from (("stem", i) for i in range(len(arch.stem)))
        yield from (("width", i) for i in range(len(arch.stages)))
        yield "head", 0
    if shares.resolution:
        yield "resolution", 0


def _step(arch: Arch, move: tuple[str, int], direction: int) -> Arch | None:
    """Returns `arch` after one step of one move; None where the result would be impossible."""
    kind, i = move

    def with_shifted_widths(spec: BlockSpec, step: int) -> BlockSpec | None:
        fits = all(width + direction * step >= step for width in widths(spec))
        return with_widths(spec, lambda width: width + direction * step) if fits else None

    if kind == "resolution":
        step = resolution_step(arch)
        side = arch.sides[0] + direction * step
        return arch.with_(resolution=with_height(arch.resolution, side, step)) if side > 0 else None
    if kind in ("stem", "head"):
        part = arch.stem[i] if kind == "stem" else arch.head
        shifted = with_shifted_widths(part, QUANTUM)
        if shifted is None or not widths(part):
            return None
        if kind == "head":
            return arch.with_(head=shifted)
        return arch.with_(stem=(*arch.stem[:i], shifted, *arch.stem[i + 1 :]))
    stage = arch.stages[i]
    if kind == "depth":
        depth = stage.depth + direction
        changed = replace(stage, depth=depth) if depth >= 1 else None
    else:
        shifted = with_shifted_widths(stage.block, width_step(stage.block))
        changed = replace(stage, block=shifted) if shifted else None
    return None if changed is None else arch.with_(stages=(*arch.stages[:i], changed, *arch.stages[i + 1 :]))


def _keeps_direction(arch: Arch, base: Arch, factor: float) -> bool:
    """Returns whether no stage shrank below the base when growing (`factor` ≥ 1), or grew beyond it when shrinking."""
    pairs = list(zip(arch.sides, base.sides))
    for stage, before in zip(arch.stages, base.stages):
        pairs.append((stage.depth, before.depth))
        pairs += zip(widths(stage.block), widths(before.block))
    return all(a >= b if factor >= 1 else a <= b for a, b in pairs)
